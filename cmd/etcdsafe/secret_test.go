package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// The canaries that are ours to choose; the identity is drawn, and the passwords are etcdtest's.
const (
	canaryUser  = "canary-of-a-url-7f3a"
	canaryText  = "canary-of-a-password-b04e"
	canaryValue = "canary-of-a-value-2d91"
)

// secrets is an operator of a cluster with logins, and all that must never be seen.
type secrets struct {
	*user
	identity string
	canaries map[string]string
}

func newSecrets(t *testing.T, endpoints []string) *secrets {
	t.Helper()
	s := &secrets{user: newOperator(t, endpoints)}
	for line := range strings.SplitSeq(s.read(t, "identity.txt"), "\n") {
		if strings.HasPrefix(line, "AGE-SECRET-KEY-") {
			s.identity = line
		}
	}
	if s.identity == "" {
		t.Fatal("no identity in identity.txt")
	}
	s.canaries = map[string]string{
		"identity": s.identity, "user part of a URL": canaryUser, "password": canaryText, "value": canaryValue,
		"root's password": etcdtest.RootPassword, "reader's password": etcdtest.ReaderPassword,
	}
	s.mkdir(t, "xcom")
	s.write(t, "termination-log", "")
	s.env = append(s.env, "ETCDSAFE_REPORT_FILE="+s.path("report.json"), "ETCDSAFE_LOG_LEVEL=debug")
	return s
}

// leaks names each canary that stands in a text, as it is, in another case, or as JSON or a URL
// would write it.
func (s *secrets) leaks(texts map[string]string) []string {
	var found []string
	for where, text := range texts {
		text = strings.ToLower(text)
		for what, canary := range s.canaries {
			if strings.Contains(text, strings.ToLower(canary)) {
				found = append(found, what+" in "+where)
			}
		}
	}
	return found
}

// written is every document that a run leaves outside of archives and data folders.
func (s *secrets) written(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range []string{"report.json", "termination-log", "xcom", "store"} {
		for path, text := range s.files(t, name) {
			if filepath.Base(filepath.Dir(path)) != "archives" {
				out[path] = text
			}
		}
	}
	return out
}

// forget empties what runs before this one wrote.
func (s *secrets) forget(t *testing.T) {
	t.Helper()
	for _, name := range []string{"report.json", "termination-log", "xcom/return.json"} {
		s.write(t, name, "")
	}
}

// check greps what one run printed and what is written so far.
func (s *secrets) check(t *testing.T, r result) {
	t.Helper()
	texts := s.written(t)
	texts["what was printed"] = r.printed()
	if found := s.leaks(texts); found != nil {
		t.Errorf("%q\n%v", found, r)
	}
}

// TestNoSecretIsTold on success: at debug level, in both forms of log and report.
func TestNoSecretIsTold(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Auth: true})
	c.Put(t, func(yield func(string, []byte) bool) { yield("/registry/secrets/a", []byte(canaryValue)) })
	s := newSecrets(t, c.Endpoints())
	s.write(t, "password.txt", etcdtest.RootPassword+"\n")
	s.write(t, "settings.yaml", "user: root\npassword: "+etcdtest.RootPassword+"\n")
	for i, login := range []struct {
		env, args []string
	}{
		{[]string{"ETCDSAFE_USER=root", "ETCDSAFE_PASSWORD=" + etcdtest.RootPassword}, nil},
		{nil, []string{"--user", "root", "--password-file", "password.txt"}},
		{[]string{"ETCDCTL_USER=root", "ETCDCTL_PASSWORD=" + etcdtest.RootPassword}, nil},
		{[]string{"ETCDCTL_USER=root:" + etcdtest.RootPassword}, nil},
		{nil, []string{"--config", "settings.yaml"}},
	} {
		u := s.with(append(login.env, "ETCDSAFE_LOG_FORMAT="+[]string{"text", "json"}[i%2], "ETCDSAFE_OUTPUT="+[]string{"json", "text"}[i/2%2])...)
		s.check(t, u.ok(t, append([]string{"snapshot"}, login.args...)...))
		s.check(t, u.ok(t, append([]string{"config"}, login.args...)...))
	}
	for _, args := range [][]string{{"verify", "all"}, {"list"}, {"list", "--long"}, {"show", "latest"}, {"restore", "latest", "--data-dir", "data", "--endpoints", "127.0.0.1:1"},
		{"restore", "latest", "--db-only", "snapshot.db"}, {"config"}, {"version"}, {"help"}} {
		s.check(t, s.ok(t, args...))
	}
	if n := len(s.glob(t, "store/prod/manifests/*")); n != 5 {
		t.Errorf("%d manifests were searched, want 5", n)
	}
	if raw := s.read(t, "snapshot.db"); !strings.Contains(raw, canaryValue) {
		t.Error("the value is not in the snapshot: this test proves nothing")
	}
}

// TestNoSecretIsToldByAFailure: each command line is refused, and none says what it was given.
func TestNoSecretIsToldByAFailure(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Auth: true})
	s := newSecrets(t, c.Endpoints())
	s.write(t, "password.txt", canaryText)
	s.write(t, "broken-identities.txt", "AGE-SECRET-KEY-1"+canaryText+"\n"+canaryText+"\n"+s.identity+"X\n")
	s.write(t, "recipients-and-identity.txt", s.read(t, "recipients.txt")+strings.ToLower(s.identity)+"\n")
	s.write(t, "anchor.yaml", "password: *"+canaryText+"\n")
	s.write(t, "list.yaml", "password: ["+canaryText+"]\n")
	s.write(t, "torn.yaml", "password: \""+canaryText+"\nuser: root\n")
	s.write(t, "url.yaml", "stores: ['file://me:"+canaryUser+"@localhost/x y']\nendpoints: 'https://me:"+canaryUser+"@localhost:1'\n")
	snapshot := func(args ...string) []string { return append([]string{"snapshot"}, args...) }
	restore := func(args ...string) []string {
		return append([]string{"restore", "latest", "--data-dir", "data"}, args...)
	}
	for _, c := range []struct {
		name string
		env  []string
		args []string
	}{
		{"wrong password", []string{"ETCDSAFE_USER=root", "ETCDSAFE_PASSWORD=" + canaryText}, snapshot()},
		{"wrong password in a file", []string{"ETCDSAFE_USER=root"}, snapshot("--password-file", "password.txt")},
		{"wrong password by etcdctl", []string{"ETCDCTL_USER=root:" + canaryText}, snapshot()},
		{"user without the right", []string{"ETCDCTL_USER=reader:" + etcdtest.ReaderPassword}, snapshot()},
		{"password with white space", []string{"ETCDSAFE_PASSWORD=" + canaryText + " -n"}, snapshot()},
		{"password twice", []string{"ETCDSAFE_PASSWORD=" + canaryText}, snapshot("--password-file", "password.txt")},
		{"password twice by etcdctl", []string{"ETCDCTL_USER=root:" + canaryText, "ETCDCTL_PASSWORD=" + canaryText}, snapshot()},
		{"password in --user", nil, snapshot("--user", "root:"+canaryText)},
		{"password in ETCDSAFE_USER", []string{"ETCDSAFE_USER=root:" + canaryText}, snapshot()},
		{"password as a flag", nil, snapshot("--password", canaryText)},
		{"password as a flag's value", nil, snapshot("--password=" + canaryText)},
		{"password as another tool's flag", nil, snapshot("-p" + canaryText)},
		{"misspelt variable", []string{"ETCDSAFE_PASSWRD=" + canaryText}, snapshot()},
		{"anchor in the file", nil, snapshot("--config", "anchor.yaml")},
		{"list in the file", nil, snapshot("--config", "list.yaml")},
		{"torn quotes in the file", nil, snapshot("--config", "torn.yaml")},
		{"user parts in the file", []string{"ETCDSAFE_STORES=", "ETCDSAFE_ENDPOINTS="}, snapshot("--config", "url.yaml")},
		{"user part of a store", nil, snapshot("--stores", "file://me:"+canaryUser+"@localhost/backups")},
		{"user part of an unknown store", nil, snapshot("--stores", "s3://me:"+canaryUser+"@bucket/prefix")},
		{"user part with a slash and a space", nil, snapshot("--stores", "file://me:"+canaryUser+"/x y@localhost/backups")},
		{"user part and nonsense", nil, snapshot("--stores", "file://me:"+canaryUser+"%zz@localhost/backups")},
		{"token of a store", nil, snapshot("--stores", "file:///backups?token="+canaryUser)},
		{"user part of an endpoint", nil, snapshot("--endpoints", "https://me:"+canaryUser+"@127.0.0.1:1")},
		{"user part of a bare endpoint", nil, snapshot("--endpoints", "me:"+canaryUser+"@127.0.0.1:1")},
		{"user part of etcdctl's endpoint", []string{"ETCDSAFE_ENDPOINTS=", "ETCDCTL_ENDPOINTS=https://me:" + canaryUser + "@127.0.0.1:1"}, snapshot()},
		{"user part, and config asked", nil, []string{"config", "--endpoints", "https://me:" + canaryUser + "@127.0.0.1:1", "--stores", "s3://me:" + canaryUser + "@b"}},
		{"identity file as recipients", nil, snapshot("--recipients-file", "identity.txt")},
		{"identity among recipients", nil, snapshot("--recipients-file", "recipients-and-identity.txt")},
		{"broken identities", nil, []string{"verify", "latest", "--identities-file", "broken-identities.txt"}},
		{"identity as recipient", nil, snapshot("--recipients", s.identity)},
		{"identity as recipient, in the environment", []string{"ETCDSAFE_RECIPIENTS=" + strings.ToLower(s.identity)}, snapshot("--log-format", "json")},
		{"identity as identities file", nil, []string{"verify", "latest", "--identities-file", s.identity}},
		{"identity as recipients file", nil, snapshot("--recipients-file", s.identity)},
		{"user part of a peer", nil, restore("--initial-advertise-peer-urls", "http://me:"+canaryUser+"@10.0.0.1")},
		{"user part in the initial cluster", nil, restore("--initial-cluster", "default=http://me:"+canaryUser+"@10.0.0.1")},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.forget(t)
			r := s.with(c.env...).run(t, c.args...)
			if r.code == 0 {
				t.Errorf("it was not refused: %v", r)
			}
			s.check(t, r)
		})
	}
	t.Run("config with an identity as recipient", func(t *testing.T) {
		s.forget(t)
		s.check(t, s.run(t, "config", "--recipients", s.identity))
	})
}

// TestAPlantedLeakIsFound: the search of the two tests above does find what it looks for.
func TestAPlantedLeakIsFound(t *testing.T) {
	s := newSecrets(t, nil)
	s.write(t, "report.json", "{}")
	s.mkdir(t, "store/prod/manifests")
	s.mkdir(t, "store/prod/receipts/x")
	if found := s.leaks(s.written(t)); found != nil {
		t.Fatalf("found %q before anything was planted", found)
	}
	for what, canary := range s.canaries {
		quoted, err := json.Marshal(canary)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"report.json", "termination-log", "xcom/return.json", "store/prod/manifests/a.json", "store/prod/receipts/x/b.json", "store/prod/RECOVERY.md"} {
			s.write(t, name, fmt.Sprintf(`{"error": %s}`, quoted))
			if found := s.leaks(s.written(t)); len(found) != 1 || !strings.HasPrefix(found[0], what+" in ") || !strings.HasSuffix(found[0], name) {
				t.Errorf("planted the %s in %s, found %q", what, name, found)
			}
			s.write(t, name, "{}")
		}
		if what == "identity" {
			continue // which Mask would catch
		}
		// In what a program prints: keygen of a file whose name is the secret.
		r := s.run(t, "keygen", "missing/"+canary)
		if found := s.leaks(map[string]string{"printed": r.printed()}); len(found) != 1 {
			t.Errorf("printed the %s, found %q in\n%v", what, found, r)
		}
	}
}
