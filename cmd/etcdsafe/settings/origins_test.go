package settings

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
)

func origin(t *testing.T, s *Settings, name string) Origin {
	t.Helper()
	for _, o := range s.Origins() {
		if o.Name == name {
			return o
		}
	}
	t.Fatalf("no origin of %q", name)
	return Origin{}
}

func TestOriginsTellWhoSetWhat(t *testing.T) {
	s := load(t, input{
		args: []string{"--snapshot-if-older-than=7d"},
		env:  []string{"ETCDSAFE_PASSWORD=" + canary, "ETCDCTL_CERT=/c", "ETCDSAFE_STORES=s3://u:" + canary + "@b"},
		file: "logLevel: debug\n",
	})
	for name, want := range map[string][3]string{
		"snapshot.ifOlderThan": {"7d", "flag", "--snapshot-if-older-than"},
		"password":             {"[redacted]", "environment", "ETCDSAFE_PASSWORD"},
		"cert":                 {"/c", "etcdctl environment", "ETCDCTL_CERT"},
		"stores":               {"s3://[redacted]@b", "environment", "ETCDSAFE_STORES"},
		"logLevel":             {"debug", "file", "key logLevel in /etc/etcdsafe.yaml"},
		"output":               {"text", "default", ""},
		"cluster":              {"", "default", ""},
	} {
		o := origin(t, s, name)
		if got := [3]string{o.Value, o.Layer.String(), o.From}; got != want {
			t.Errorf("origin of %s = %q, want %q", name, got, want)
		}
	}
}

func TestOriginsGiveNamesTypesAndDefaults(t *testing.T) {
	o := origin(t, New(), "snapshot.compare")
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"snapshot.compare","job":"snapshot","flag":"--snapshot-compare","ownFlag":"--compare",` +
		`"env":"ETCDSAFE_SNAPSHOT_COMPARE","key":"snapshot.compare","type":"auto|all|off","enum":["auto","all","off"],` +
		`"value":"auto","layer":"default","default":"auto","desc":"which members' hashes the snapshot is compared with"}`
	if string(raw) != want {
		t.Errorf("origin = %s, want %s", raw, want)
	}
	if o := origin(t, New(), "password"); o.Flag != "" || o.OwnFlag != "" || o.Key != "password" {
		t.Errorf("password has flag %q and key %q, want none and password", o.Flag, o.Key)
	}
	if o := origin(t, New(), "config"); o.Flag != "--config" || o.Key != "" {
		t.Errorf("config has flag %q and key %q, want --config and none", o.Flag, o.Key)
	}
}

func TestTableHasARowForEverySetting(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(Table(), "\n"), "\n")
	fields := New().fields
	if len(lines) != len(fields)+2 {
		t.Fatalf("Table() has %d lines, want %d", len(lines), len(fields)+2)
	}
	for i, line := range lines {
		if got := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); got != 6 {
			t.Errorf("row %q has %d bars, want 6", line, got)
		}
		if i > 1 && !strings.Contains(line, "| `"+fields[i-2].at().about.env+"` |") {
			t.Errorf("row %q, want that of %s", line, fields[i-2].at().about.env)
		}
	}
	for _, want := range []string{
		"| `snapshot --if-older-than` | `ETCDSAFE_SNAPSHOT_IF_OLDER_THAN` | `snapshot.ifOlderThan` |  | skip when",
		"| `--spool` | `ETCDSAFE_SPOOL` | `spool` | `disk` | where the spools live; memory counts against the container's limit: `disk`, `memory` |",
		"|  | `ETCDSAFE_PASSWORD` | `password` |  | password of",
		"| `--config` | `ETCDSAFE_CONFIG` |  |  | YAML file",
	} {
		if !strings.Contains(Table(), want) {
			t.Errorf("Table() lacks %q", want)
		}
	}
}

func TestLogValueListsWhatWasSet(t *testing.T) {
	s := load(t, input{args: []string{"--snapshot-reason=why"}, env: []string{"ETCDSAFE_PASSWORD=" + canary}})
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("began", "settings", s)
	const want = "settings.password=[redacted] settings.snapshot.reason=why\n"
	if !strings.HasSuffix(out.String(), "msg=began "+want) {
		t.Errorf("log line %q, want it to end in %q", out.String(), want)
	}
}
