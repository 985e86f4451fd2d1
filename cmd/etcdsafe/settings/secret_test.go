package settings

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
)

const canary = "c4n4ry"

// holder holds settings where fmt cannot call their methods.
type holder struct {
	inner  Settings
	secret Secret
	set    Set[Secret]
	stores URLs
	list   []Secret
}

func withCanary(t *testing.T) *Settings {
	t.Helper()
	s := load(t, input{env: []string{
		"ETCDSAFE_PASSWORD=" + canary, "ETCDSAFE_STORES=s3://key:" + canary + "@bucket?session_token=" + canary,
	}})
	wantFaults(t, faults(t, s), nil)
	if got := s.Password.Get().Reveal() + s.Stores.Get()[0].Full(); strings.Count(got, canary) != 3 {
		t.Fatalf("settings hold %q, want the canary three times", got)
	}
	return s
}

// faces is everything a careless line may print.
func faces(s *Settings) map[string]any {
	secret := s.Password.Get()
	return map[string]any{
		"Secret": secret, "*Secret": &secret, "[]Secret": []Secret{secret}, "map": map[string]Secret{"a": secret},
		"Set": s.Password, "*Set": &s.Password, "Stores": s.Stores, "URLs": s.Stores.Get(), "URL": s.Stores.Get()[0],
		"Etcd": s.Etcd, "*Etcd": &s.Etcd, "Settings": *s, "*Settings": s, "Origins": s.Origins(),
		"holder":  holder{inner: *s, secret: secret, set: s.Password, stores: s.Stores.Get(), list: []Secret{secret}},
		"*holder": &holder{inner: *s, secret: secret, set: s.Password, stores: s.Stores.Get(), list: []Secret{secret}},
	}
}

func wantNoCanary(t *testing.T, by, out string) {
	t.Helper()
	low := strings.ToLower(out)
	for _, leak := range []string{canary, hex.EncodeToString([]byte(canary)), fmt.Sprint([]byte(canary))} {
		if strings.Contains(low, strings.ToLower(leak)) {
			t.Errorf("%s printed a secret: %s", by, out)
		}
	}
}

func TestNoFormatPrintsASecret(t *testing.T) {
	for name, v := range faces(withCanary(t)) {
		for _, verb := range "vsqxXdtpbeEfFgGcoOUT" {
			for _, flag := range []string{"", "+", "#", "10", "-.3", " "} {
				format := "%" + flag + string(verb)
				wantNoCanary(t, format+" of "+name, fmt.Sprintf(format, v))
			}
		}
		wantNoCanary(t, "Sprintln of "+name, fmt.Sprintln(v))
	}
}

func TestNoLogOrJSONPrintsASecret(t *testing.T) {
	var out bytes.Buffer
	text, asJSON := slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))
	for name, v := range faces(withCanary(t)) {
		out.Reset()
		text.Info("message", "key", v)
		asJSON.Info("message", "key", v)
		raw, err := json.Marshal(v)
		if err != nil {
			t.Errorf("Marshal(%s): %v", name, err)
		}
		wantNoCanary(t, "a log or json of "+name, out.String()+string(raw))
	}
}

func TestRedactedIsWhatIsPrinted(t *testing.T) {
	s := withCanary(t)
	raw, err := json.Marshal(s.Password.Get())
	if err != nil {
		t.Fatal(err)
	}
	secret := s.Password.Get()
	for by, got := range map[string]string{
		"String": secret.String(), "GoString": secret.GoString(), "LogValue": secret.LogValue().String(),
		"MarshalJSON": strings.Trim(string(raw), `"`), "Format": fmt.Sprintf("%x", secret),
		"Set": s.Password.String(), "Set's LogValue": s.Password.LogValue().String(), "Set's Format": fmt.Sprintf("%#v", &s.Password),
	} {
		if got != redacted {
			t.Errorf("%s = %q, want %q", by, got, redacted)
		}
	}
	if got, want := s.Stores.String(), "s3://[redacted]@bucket?session_token=[redacted]"; got != want {
		t.Errorf("Stores = %q, want %q", got, want)
	}
	if got := New().Password.String() + (URL{}).String(); got != "" {
		t.Errorf("String() of no password and no URL = %q, want nothing", got)
	}
}

func TestNoFaultHoldsASecret(t *testing.T) {
	tests := []input{
		{env: []string{"ETCDSAFE_PASSWORD=" + canary + " -n"}},
		{env: []string{"ETCDSAFE_PASSWORD=\n" + canary}},
		{env: []string{"ETCDCTL_PASSWORD=" + canary + "\t"}},
		{env: []string{"ETCDCTL_USER=root:x " + canary}},
		{env: []string{"ETCDCTL_USER=root:" + canary, "ETCDCTL_PASSWORD=x"}},
		{env: []string{"ETCDSAFE_USER=root:" + canary}},
		{args: []string{"--user=root:" + canary}},
		{args: []string{"--stores=s3://key:" + canary + "@bucket -n"}},
		{args: []string{"--stores=s3://key:" + canary + "/bucket"}},
		{args: []string{"--stores=s3://key:1?" + canary + "@bucket b"}},
		{args: []string{"--stores=key:" + canary + "@bucket"}},
		{args: []string{"--stores='s3://key:" + canary + "@bucket'"}},
		{args: []string{`--stores="s3://a,s3://key:` + canary + `@bucket"`}},
		{args: []string{"--stores=s3://bucket/%zz?secret=" + canary}},
		{args: []string{"--stores=s3://bucket?sig=" + canary + " "}},
		{args: []string{"--endpoints=https://root:" + canary + "@etcd:2379"}},
		{args: []string{"--endpoints=root:" + canary + "@etcd:2379 "}},
		{args: []string{`--endpoints="https://root:` + canary + `@etcd:2379"`}},
		{file: "password: [" + canary + ", " + canary + "]\n"},
		{file: "password: {" + canary + ": 1}\n"},
		{file: "password: {" + canary + "}\n"},
		{file: "password: *" + canary + "\n"},
		{file: "password: *found_" + canary + "\n"},
		{file: "password: !!int " + canary + "\n"},
		{file: "password: !!int |\n  found " + canary + "\n  could not\n"},
		{file: "password: \"\\q" + canary + "\"\n"},
		{file: "password: \"" + canary + "\n"},
		{file: "password: @" + canary + "\n"},
		{file: "password: x: " + canary + "\n"},
		{file: "password: |\n  " + canary + "\n  " + canary + "\n"},
		{file: "stores: [s3://key:" + canary + "@b c]\n"},
		{file: "stores: {s3://key:" + canary + "@b: 1}\n"},
		{file: "- password: " + canary + "\n"},
		{file: "password: " + canary + "\n---\n"},
		{file: canary + "\n"},
	}
	for _, in := range tests {
		err := load(t, in).Validate()
		if err == nil {
			t.Errorf("%+v has no fault, want one", in)
			continue
		}
		wantNoCanary(t, fmt.Sprintf("the fault of %+v", in), fmt.Sprintf("%v %+v %#v", err, err, err))
	}
}

func TestNumberAsPasswordIsNotShown(t *testing.T) {
	s := load(t, input{file: "password: 90210\n"})
	got := faults(t, s)
	wantFaults(t, got, []string{"key password in " + configFile + ": holds a number or a true/false where text is wanted"})
	if strings.Contains(got[0], "90210") {
		t.Errorf("fault %q holds the password", got[0])
	}
}

func TestPasswordsSurviveEveryWayIn(t *testing.T) {
	for _, password := range []string{`S!B\*d$zDsb=`, `39528$vdg7Jb`, `"quoted"`, `{a:b,c}`, `#x`} {
		for _, end := range []string{"", "\n", "\r\n", "\n\n"} {
			text := password + end
			block := "password: |\n  " + password + "\n"
			quoted := "password: '" + password + "'\n"
			for _, in := range []input{{env: []string{"ETCDSAFE_PASSWORD=" + text}}, {file: block}, {file: quoted}} {
				s := load(t, in)
				wantFaults(t, faults(t, s), nil)
				if got := s.Password.Get().Reveal(); got != password {
					t.Errorf("password of %+v = %q, want %q", in, got, password)
				}
			}
			s := load(t, input{env: []string{"ETCDSAFE_PASSWORD_FILE=/pw", "ETCDCTL_PASSWORD=other"}})
			wantFaults(t, faults(t, s), nil)
			got, err := s.ReadPassword(func(path string) ([]byte, error) { return []byte(text), nil })
			if err != nil || got.Reveal() != password {
				t.Errorf("ReadPassword of %q = %q, %v, want %q", text, got.Reveal(), err, password)
			}
		}
	}
}

func TestReadPassword(t *testing.T) {
	s := load(t, input{args: []string{"--password-file=/no such"}})
	tests := []struct {
		name, content, want string
		err                 error
	}{
		{"no file", "", `--password-file: read "/no such": file does not exist`, &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}},
		{"empty", "\n", `--password-file: secret in "/no such": is empty`, nil},
		{"white space", "pässword -n\n", `--password-file: secret in "/no such": contains whitespace at position 9`, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := s.ReadPassword(func(string) ([]byte, error) { return []byte(test.content), test.err })
			if err == nil || err.Error() != test.want || !errors.Is(err, ErrConfig) {
				t.Errorf("ReadPassword() = %v, want %q, an ErrConfig", err, test.want)
			}
			if test.err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("ReadPassword() = %v, want fs.ErrNotExist in it", err)
			}
		})
	}
}

func TestReadPasswordWithoutAny(t *testing.T) {
	got, err := New().ReadPassword(nil)
	if err != nil || got.Reveal() != "" {
		t.Errorf("ReadPassword() = %q, %v, want nothing", got.Reveal(), err)
	}
}

func TestMaskURL(t *testing.T) {
	for in, want := range map[string]string{
		"s3://bucket/a@b":              "s3://[redacted]@b",
		"s3://k:p/w@bucket":            "s3://[redacted]",
		"s3://k:1/w@bucket":            "s3://[redacted]@bucket",
		"s3://bucket?region=x&SIG=y":   "s3://bucket?region=x&SIG=[redacted]",
		"s3://bucket?a=b;accessKey=pw": "s3://bucket?a=[redacted]&accessKey=[redacted]",
		"s3://my bucket":               "s3://my bucket",
		"user:pw":                      "[redacted]",
		"/backup":                      "/backup",
		"":                             "",
	} {
		if got := maskURL(in); got != want {
			t.Errorf("maskURL(%q) = %q, want %q", in, got, want)
		}
	}
}
