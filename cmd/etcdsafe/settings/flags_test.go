package settings

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestFlagsOfAJobsOwnCommand(t *testing.T) {
	s := New()
	flags := pflag.NewFlagSet("snapshot", pflag.ContinueOnError)
	s.Flags(flags, &s.Common, &s.Job, &s.Snapshot)
	err := flags.Parse([]string{"--if-older-than=1d", "--label", "a=1", "--dry-run", "--compare=x"})
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	wantFaults(t, faults(t, s), []string{`--compare: "x" is not one of`})
	if !s.DryRun.Get() || s.Snapshot.Label.String() != "a=1" || s.Snapshot.IfOlderThan.Name() != "--if-older-than" {
		t.Errorf("flags were read as %v, %v, %s", &s.DryRun, &s.Snapshot.Label, s.Snapshot.IfOlderThan.Name())
	}
	for _, absent := range []string{"snapshot-if-older-than", "endpoints", "level"} {
		if flags.Lookup(absent) != nil {
			t.Errorf("--%s is bound, want the flags of three concerns", absent)
		}
	}
}

func TestTwoCommandsMayBindTheSameSetting(t *testing.T) {
	s := New()
	own, run := pflag.NewFlagSet("snapshot", pflag.ContinueOnError), pflag.NewFlagSet("run", pflag.ContinueOnError)
	s.Flags(own, &s.Snapshot)
	s.PrefixedFlags(run, &s.Snapshot)
	if err := own.Parse([]string{"--compare=x"}); err != nil {
		t.Fatalf("Parse: %v", err)
	}
	wantFaults(t, faults(t, s), []string{"--compare: "})
	if err := run.Parse([]string{"--snapshot-compare=x"}); err != nil {
		t.Fatalf("Parse: %v", err)
	}
	wantFaults(t, faults(t, s), []string{"--snapshot-compare: "})
}

func TestNoSecretIsAFlag(t *testing.T) {
	s := New()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.PrefixedFlags(flags, every(s)...)
	secrets := 0
	for _, f := range s.fields {
		if _, secret := f.(*Set[Secret]); secret {
			secrets++
		}
	}
	bound := 0
	flags.VisitAll(func(f *pflag.Flag) {
		bound++
		if _, secret := f.Value.(typed).Field.(*Set[Secret]); secret {
			t.Errorf("--%s is a secret", f.Name)
		}
		if (f.NoOptDefVal == "true") != (f.Value.Type() == "bool") {
			t.Errorf("--%s: may stand alone: %q, type %s", f.Name, f.NoOptDefVal, f.Value.Type())
		}
	})
	if secrets == 0 || bound != len(s.fields)-secrets {
		t.Errorf("%d flags for %d settings, %d of them secrets", bound, len(s.fields), secrets)
	}
}

func TestHelpNamesKindAndDefault(t *testing.T) {
	s := New()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.Flags(flags, every(s)[0], &s.Job, &s.Snapshot)
	help := flags.FlagUsages()
	for _, want := range []string{
		"--output text|json ", "(default text)\n", "--deadline duration ", "(default 2h)\n", "--dry-run ", "--label key=value ",
		"--stream-floor size ", "(default 1Mi)\n", "--report-file path ",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q:\n%s", want, help)
		}
	}
	if strings.Contains(help, "(default false)") || strings.Contains(help, `(default ")`) {
		t.Errorf("help shows a default that says nothing:\n%s", help)
	}
}

func TestFlagsOfOtherSettingsPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Flags of a concern of other settings did not panic")
		}
	}()
	New().Flags(pflag.NewFlagSet("test", pflag.ContinueOnError), &New().Etcd)
}
