package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestRulesThatAlwaysHold(t *testing.T) {
	tests := []struct {
		name string
		in   input
		want []string
	}{
		{"password twice", input{env: []string{"ETCDSAFE_PASSWORD=x"}, file: "passwordFile: /pw\n"},
			[]string{"ETCDSAFE_PASSWORD: is set, and key passwordFile in /etc/etcdsafe.yaml too: keep one"}},
		{"password of etcdctl beside a file", input{args: []string{"--password-file=/pw"}, env: []string{"ETCDCTL_PASSWORD=x"}}, nil},
		{"certificate alone", input{args: []string{"--cert=/c"}}, []string{"--cert: needs its key: --key (ETCDSAFE_KEY)"}},
		{"key alone", input{env: []string{"ETCDCTL_KEY=/k"}}, []string{"ETCDCTL_KEY: needs its certificate: --cert"}},
		{"a pair", input{env: []string{"ETCDCTL_KEY=/k", "ETCDSAFE_CERT=/c"}}, nil},
		{"plaintext and recipients", input{args: []string{"--plaintext"}, env: []string{"ETCDSAFE_RECIPIENTS=age1x"}},
			[]string{"--plaintext: is set, and ETCDSAFE_RECIPIENTS too: keep one"}},
		{"plaintext and a file of them", input{args: []string{"--plaintext", "--recipients-file=/r"}},
			[]string{"--plaintext: is set, and --recipients-file too: keep one"}},
		{"plaintext and none", input{args: []string{"--plaintext", "--recipients="}, env: []string{"ETCDSAFE_RECIPIENTS=age1x"}}, nil},
		{"recipients alone", input{args: []string{"--recipients=age1x"}}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantFaults(t, faults(t, load(t, test.in)), test.want)
		})
	}
}

func TestChecksAreTakenApart(t *testing.T) {
	s := load(t, input{args: []string{"--cluster=a b"}})
	check := func(s *Settings) error {
		return errors.Join(s.Cluster.Errorf("one"), nil, errors.Join(s.Stores.Errorf("two"), s.Reason()))
	}
	wantFaults(t, faults(t, s, check, func(*Settings) error { return nil }), []string{
		"--cluster: one", "--stores (ETCDSAFE_STORES): two", "ETCDSAFE_SNAPSHOT_REASON: three",
	})
}

func TestCheckMayReturnAnyError(t *testing.T) {
	err := New().Validate(func(*Settings) error { return fs.ErrInvalid }, func(*Settings) error { return Faults{fs.ErrExist} })
	if !errors.Is(err, fs.ErrInvalid) || !errors.Is(err, fs.ErrExist) || !errors.Is(err, ErrConfig) {
		t.Errorf("Validate() = %v, want both errors and ErrConfig in it", err)
	}
	if got, want := fmt.Sprint(err), "configuration: invalid argument; file already exists"; got != want {
		t.Errorf("Validate() = %q, want %q", got, want)
	}
}

func TestZeroWhereItWouldEndEverything(t *testing.T) {
	s := load(t, input{args: []string{"--deadline=0", "--dial-timeout=0s", "--snapshot-if-older-than=0"}})
	wantFaults(t, faults(t, s), []string{"--deadline: must be more than 0", "--dial-timeout: must be more than 0"})
}

// Reason is a fault for TestChecksAreTakenApart.
func (s *Settings) Reason() error {
	_ = s.Snapshot.Reason.Decode("x")
	return s.Snapshot.Reason.Errorf("three")
}

func TestNeedCountsFaultsAndDefaultsAsGiven(t *testing.T) {
	s := load(t, input{args: []string{"--stores=x", "--cluster="}})
	wantFaults(t, faults(t, s, Need(&s.Stores, &s.Cluster, &s.Output, &s.Password)), []string{
		`--stores: "x" is not a URL`, "--cluster: must be given", "ETCDSAFE_PASSWORD: must be given",
	})
}

func TestReadableNamesAllThatAreNot(t *testing.T) {
	s := load(t, input{
		args: []string{"--cacert=/ca.pem", "--report-file=/r "},
		env:  []string{"ETCDSAFE_CERT=/cert.pem", "ETCDCTL_KEY=/key.pem"},
	})
	open := func(path string) error {
		if path == "/cert.pem" {
			return nil
		}
		return fmt.Errorf("%w", &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission})
	}
	check := Readable(open, &s.ReportFile, &s.PasswordFile, &s.Cacert, &s.Cert, &s.Key)
	wantFaults(t, faults(t, s, check), []string{
		`--report-file: contains whitespace`,
		`--cacert: open "/ca.pem": permission denied`,
		`ETCDCTL_KEY: open "/key.pem": permission denied`,
	})
	if err := s.Validate(check); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Validate() = %v, want fs.ErrPermission in it", err)
	}
}
