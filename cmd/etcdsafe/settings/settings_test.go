package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

const configFile = "/etc/etcdsafe.yaml"

// input is what a user gives one run.
type input struct {
	args []string
	env  []string
	file string // set as ETCDSAFE_CONFIG where it is not empty
}

// load returns the settings of a run of in, with every flag under its prefixed name.
func load(t *testing.T, in input) *Settings {
	t.Helper()
	s := New()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.PrefixedFlags(flags, every(s)...)
	if err := flags.Parse(in.args); err != nil {
		t.Fatalf("Parse(%q) = %v, want no error: faults wait for Validate", in.args, err)
	}
	env := in.env
	if in.file != "" {
		env = append([]string{"ETCDSAFE_CONFIG=" + configFile}, env...)
	}
	s.Load(env, func(path string) ([]byte, error) {
		if path != configFile {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return []byte(in.file), nil
	})
	return s
}

func every(s *Settings) []Concern {
	var all []Concern
	for _, c := range concerns(s) {
		all = append(all, c)
	}
	return all
}

// faults returns what Validate says, one line each.
func faults(t *testing.T, s *Settings, checks ...Check) []string {
	t.Helper()
	err := s.Validate(checks...)
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrConfig) {
		t.Errorf("Validate() = %v, want an ErrConfig", err)
	}
	var all Faults
	if !errors.As(err, &all) {
		t.Fatalf("Validate() = %T, want Faults", err)
	}
	if len(all) == 0 {
		t.Errorf("Validate() = empty Faults, want nil")
	}
	var lines []string
	for _, f := range all {
		if !errors.Is(f, ErrConfig) {
			t.Errorf("fault %v is no ErrConfig", f)
		}
		if !strings.Contains(err.Error(), f.Error()) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Validate() = %q, want one line that holds %q", err, f)
		}
		lines = append(lines, f.Error())
	}
	return lines
}

// wantFaults compares line by line, each by its beginning.
func wantFaults(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(want):
			t.Errorf("fault %q, want none", got[i])
		case i >= len(got):
			t.Errorf("no fault, want %q", want[i])
		case !strings.HasPrefix(got[i], want[i]):
			t.Errorf("fault %q, want it to begin with %q", got[i], want[i])
		}
	}
}

// sample is the nth value that f can take; neighbours differ.
func sample(f Field, n int) string {
	switch f.(type) {
	case *Set[bool]:
		return fmt.Sprint(n%2 == 0)
	case *Set[Choice]:
		choices := f.at().about.choices
		return choices[n%len(choices)]
	case *Set[int64], *Set[Bytes]:
		return fmt.Sprint(n + 1)
	}
	format, ok := map[string]string{
		"string": "v%d", "path": "/p%d", "duration": "%dh", "time": "200%d-01-02T15:04:05Z", "list": "age1%d",
		"addresses": "host-%d:2379", "URLs": "s3://bucket-%d", "key=value": "k=v%d", "uid:gid": "%d:0", "n/t": "1/%d", "jobs=schedule": "snapshot=%d * * * *",
	}[f.Type()]
	if !ok {
		panic("no sample of " + f.Type())
	}
	return fmt.Sprintf(format, n+1)
}

// value is what f holds as text, a secret's own included.
func value(f Field) string {
	if secret, ok := f.(*Set[Secret]); ok {
		return secret.Get().Reveal()
	}
	return f.String()
}
