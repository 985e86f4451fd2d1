package settings

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/kelseyhightower/envconfig"
	"github.com/spf13/pflag"
)

// envconfig.Process reads the process's environment, Load what it is given: both must find the same in it.
func TestLoadReadsWhatEnvconfigReads(t *testing.T) {
	ours, theirs := New(), New()
	for _, f := range ours.fields {
		if f != Field(&ours.Config) {
			t.Setenv(f.at().about.env, sample(f, 1))
		}
	}
	ours.Load(os.Environ(), nil)
	if err := envconfig.Process(prefix, theirs); err != nil {
		t.Fatalf("Process: %v", err)
	}
	for i, f := range ours.fields {
		if got, want := value(f), value(theirs.fields[i]); got != want || f.at().Layer() != theirs.fields[i].at().Layer() {
			t.Errorf("%s: Load gave %q, envconfig %q", f.at().about.env, got, want)
		}
		if f != Field(&ours.Config) && f.at().Layer() != LayerEnvironment {
			t.Errorf("%s: not read", f.at().about.env)
		}
	}
}

func TestNames(t *testing.T) {
	tests := []struct {
		f                   func(*Settings) Field
		env, flag, own, key string
	}{
		{func(s *Settings) Field { return &s.Cacert }, "ETCDSAFE_CACERT", "cacert", "cacert", "cacert"},
		{func(s *Settings) Field { return &s.ServerName }, "ETCDSAFE_SERVER_NAME", "server-name", "server-name", "serverName"},
		{func(s *Settings) Field { return &s.Spool.Spool }, "ETCDSAFE_SPOOL", "spool", "spool", "spool"},
		{func(s *Settings) Field { return &s.Config }, "ETCDSAFE_CONFIG", "config", "config", ""},
		{
			func(s *Settings) Field { return &s.Snapshot.IfOlderThan },
			"ETCDSAFE_SNAPSHOT_IF_OLDER_THAN", "snapshot-if-older-than", "if-older-than", "snapshot.ifOlderThan",
		},
		{
			func(s *Settings) Field { return &s.Restore.InitialAdvertisePeerUrls },
			"ETCDSAFE_RESTORE_INITIAL_ADVERTISE_PEER_URLS", "restore-initial-advertise-peer-urls",
			"initial-advertise-peer-urls", "restore.initialAdvertisePeerUrls",
		},
	}
	for _, test := range tests {
		a := test.f(New()).at().about
		got := []string{a.env, a.flag, a.own, a.key}
		if want := []string{test.env, test.flag, test.own, test.key}; !slices.Equal(got, want) {
			t.Errorf("names = %q, want %q", got, want)
		}
	}
}

func TestEveryFieldIsDescribed(t *testing.T) {
	for _, c := range concerns(New()) {
		typ := reflect.TypeOf(c).Elem()
		for i := range typ.NumField() {
			f := typ.Field(i)
			desc := f.Tag.Get("desc")
			if desc == "" || strings.ContainsAny(desc, "`\n") {
				t.Errorf("%s.%s: desc %q, want one line without backquotes", typ.Name(), f.Name, desc)
			}
			if f.Tag.Get("split_words") != "true" {
				t.Errorf("%s.%s: no split_words", typ.Name(), f.Name)
			}
			for _, taken := range []string{"envconfig", "default", "required", "ignored"} {
				if _, ok := f.Tag.Lookup(taken); ok {
					t.Errorf("%s.%s has envconfig's tag %s, want none", typ.Name(), f.Name, taken)
				}
			}
		}
	}
}

func TestDefaultsHaveNoFaultAndChoicesHaveWords(t *testing.T) {
	s := New()
	wantFaults(t, faults(t, s), nil)
	for _, f := range s.fields {
		if got, want := f.String(), f.at().about.preset; got != want {
			t.Errorf("%s = %q, want its default %q", f.at().about.path, got, want)
		}
		if _, ok := f.(*Set[Choice]); ok != (f.at().about.choices != nil) {
			t.Errorf("%s: a Choice has an enum tag, and nothing else has", f.at().about.path)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]string{}
	once := func(name, path string) {
		if before, ok := seen[name]; ok && name != "" {
			t.Errorf("%s is the name of %s and of %s", name, before, path)
		}
		seen[name] = path
	}
	for _, f := range New().fields {
		a := f.at().about
		once("path "+a.path, a.path)
		once(a.env, a.path)
		once("--"+a.flag, a.path)
		if a.etcdctl != "" {
			once(a.etcdctl, a.path)
		}
	}
}

// In a job's own command the flags of the job have no prefix; pflag panics where one is defined twice.
func TestOwnFlagsOfAJobDoNotClash(t *testing.T) {
	for job, c := range concerns(New()) {
		s := New()
		all := every(s)
		if job == "" {
			continue
		}
		common := slices.DeleteFunc(all, func(c Concern) bool { return s.of(c)[0].at().about.job != "" })
		mine := slices.IndexFunc(every(s), func(x Concern) bool { return reflect.TypeOf(x) == reflect.TypeOf(c) })
		s.Flags(pflag.NewFlagSet(job, pflag.ContinueOnError), append(common, every(s)[mine])...)
	}
}

func TestNoSettingLooksLikeAServiceLinkOrIsASection(t *testing.T) {
	s := New()
	for _, f := range s.fields {
		if a := f.at().about; link.MatchString(a.env) {
			t.Errorf("%s: Kubernetes makes such a name of a Service", a.env)
		}
		for job := range concerns(s) {
			if f.at().about.path == job {
				t.Errorf("%s is a setting and a job", job)
			}
		}
	}
}
