package settings

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestAllFaultsComeAtOnceByTheNameThatWasTyped(t *testing.T) {
	s := load(t, input{
		args: []string{"--deadline=2 h", "--snapshot-compare=some", "--report-file=/r "},
		env: []string{
			"ETCDSAFE_DRY_RUN=\"true\"", "ETCDSAFE_VERIFY_SUBSET=9/7", "ETCDCTL_CERT= /c", "ETCDSAFE_CLUSTR=x",
			"ETCDSAFE_IF_OLDER_THAN=1h", "ETCDSAFE_XYZZY=1", "ETCDSAFE_PORT=tcp://10.0.0.1:80", "ETCDSAFE_API_SERVICE_HOST=10.0.0.1",
		},
		file: "snapshot: {streamFloor: -1, ifOlder: 1h, cluster: x}\nlog-level: debug\nspoolMaxBytes: much\n" +
			"config: /other\nprunes: {}\nverify: 5\nrestore: {owner: root}\n",
	})
	wantFaults(t, faults(t, s, Need(&s.Cluster, &s.Restore.DataDir, &s.Deadline)), []string{
		"--report-file: contains whitespace at position 3: \"/r \"",
		"ETCDSAFE_DRY_RUN: the quotes in `\"true\"` are part of the value",
		`--deadline: "2 h" is not a duration`,
		`ETCDCTL_CERT: contains whitespace at position 1: " /c"`,
		`key spoolMaxBytes in /etc/etcdsafe.yaml: "much" is not a size`,
		`--snapshot-compare: "some" is not one of auto, all, off`,
		`key snapshot.streamFloor in /etc/etcdsafe.yaml: must not be negative`,
		`ETCDSAFE_VERIFY_SUBSET: "9/7" is not a part`,
		`key restore.owner in /etc/etcdsafe.yaml: "root" is not uid:gid`,
		"ETCDSAFE_CLUSTR: is no setting; nearest is ETCDSAFE_CLUSTER",
		"ETCDSAFE_IF_OLDER_THAN: is no setting; nearest is ETCDSAFE_SNAPSHOT_IF_OLDER_THAN",
		"ETCDSAFE_XYZZY: is no setting",
		"ETCDSAFE_API_SERVICE_HOST, ETCDSAFE_PORT: made by Kubernetes for a Service: set enableServiceLinks: false",
		"key config in /etc/etcdsafe.yaml: is not for the file: set ETCDSAFE_CONFIG",
		"key log-level in /etc/etcdsafe.yaml: is no setting; nearest is logLevel",
		"key prunes in /etc/etcdsafe.yaml: is no setting",
		"key snapshot.cluster in /etc/etcdsafe.yaml: is no setting; nearest is cluster",
		"key snapshot.ifOlder in /etc/etcdsafe.yaml: is no setting; nearest is snapshot.ifOlderThan",
		"key verify in /etc/etcdsafe.yaml: holds no mapping",
		"--cluster (ETCDSAFE_CLUSTER): must be given",
		"--data-dir (ETCDSAFE_RESTORE_DATA_DIR): must be given",
	})
}

func TestServiceLinksAreToldApart(t *testing.T) {
	for name, want := range map[string]string{
		"ETCDSAFE_SERVICE_HOST":               "enableServiceLinks",
		"ETCDSAFE_SERVICE_PORT":               "enableServiceLinks",
		"ETCDSAFE_SERVICE_PORT_HTTP_METRICS":  "enableServiceLinks",
		"ETCDSAFE_PORT":                       "enableServiceLinks",
		"ETCDSAFE_PORT_2379_TCP":              "enableServiceLinks",
		"ETCDSAFE_PORT_2379_TCP_PROTO":        "enableServiceLinks",
		"ETCDSAFE_PORT_53_UDP_ADDR":           "enableServiceLinks",
		"ETCDSAFE_METRICS_PORT_9090_TCP_PORT": "enableServiceLinks",
		"ETCDSAFE_METRICS_SERVICE_HOST":       "enableServiceLinks",
		"ETCDSAFE_PORTS":                      "is no setting",
		"ETCDSAFE_SERVICE":                    "is no setting",
	} {
		got := faults(t, load(t, input{env: []string{name + "=x"}}))
		if len(got) != 1 || !strings.HasPrefix(got[0], name+": ") || !strings.Contains(got[0], want) {
			t.Errorf("faults of %s = %q, want one with %q", name, got, want)
		}
	}
}

func TestVariablesOfOthersAreLeftAlone(t *testing.T) {
	s := load(t, input{env: []string{"ETCDSAFER=1", "CLUSTER=x", "ETCDCTL_API=3", "HOME=/", "etcdsafe_cluster=y"}})
	wantFaults(t, faults(t, s), nil)
	for _, f := range s.fields {
		if f.at().IsSet() {
			t.Errorf("%s is set by another's variable", f.at().about.path)
		}
	}
}

func TestFileThatCannotBeUsed(t *testing.T) {
	const in = `ETCDSAFE_CONFIG: "/etc/etcdsafe.yaml" `
	for file, want := range map[string]string{
		"a: 'x\nb: 2\n":                      in + "is not YAML: line 3: found unexpected end of stream",
		"cluster: a\ncluster: b\nstores: []": in + `is not YAML: line 2: key "cluster" already set in map`,
		"\tcluster: a\n":                     in + "is not YAML: found character that cannot start any token",
		"cluster: .inf\n":                    in + "is not YAML",
		"cluster: \xff\n":                    in + "is not YAML",
		"- a\n":                              in + "holds no mapping",
		"word\n":                             in + "holds no mapping",
		"cluster: a\n---\ncluster: b\n":      in + "holds more than one YAML document",
		"---\n---\ncluster: b\n":             in + "holds more than one YAML document",
		"cluster: a\n...\ncluster: b\n":      in + "holds more than one YAML document",
		"cluster: a\n--- {}\n":               in + "holds more than one YAML document",
		"\"\": a\n":                          "key  in /etc/etcdsafe.yaml: is no setting",
	} {
		wantFaults(t, faults(t, load(t, input{file: file})), []string{want})
	}
}

func TestFileThatTheReaderRefuses(t *testing.T) {
	s := New()
	s.Load([]string{"ETCDSAFE_CONFIG=/x"}, func(string) ([]byte, error) { return nil, io.ErrUnexpectedEOF })
	wantFaults(t, faults(t, s), []string{`ETCDSAFE_CONFIG: read "/x": unexpected EOF`})
}

func TestParserThatMayNotBeQuoted(t *testing.T) {
	s := load(t, input{file: "user: *root\n"})
	if got, want := faults(t, s)[0], `ETCDSAFE_CONFIG: "/etc/etcdsafe.yaml" is not YAML`; got != want {
		t.Errorf("fault = %q, want %q", got, want)
	}
}

func TestMissingFileIsAFaultOfWhoeverNamedIt(t *testing.T) {
	s := load(t, input{args: []string{"--config=/none.yaml"}})
	wantFaults(t, faults(t, s), []string{`--config: read "/none.yaml": file does not exist`})
	s = load(t, input{env: []string{"ETCDSAFE_CONFIG=/none.yaml "}})
	wantFaults(t, faults(t, s), []string{"ETCDSAFE_CONFIG: contains whitespace at position 11"})
}

func TestFilesThatSetNothing(t *testing.T) {
	for _, file := range []string{"\n", "# nothing\n", "{}\n", "---\n...\n", "%YAML 1.1\n---\n# x\n{}\n...\n# end\n", "snapshot:\n", "\ufeff---\n"} {
		s := load(t, input{file: file})
		wantFaults(t, faults(t, s), nil)
		if s.Cluster.IsSet() {
			t.Errorf("%q set the cluster", file)
		}
	}
}

func TestFormsOfYAML(t *testing.T) {
	s := load(t, input{file: `
cluster: prod # a comment
stores: ["s3://a,b", 's3://c']
endpoints: h:1,h:2
dryRun: true
plaintext: "true"
deadline: 1d
spoolMaxBytes: 129e6
reportFile: |
  /tmp/report
snapshot:
  label: {a: "1,2", b: "x=y"}
  compare: off
  streamFloor: 1048576
  ifOlderThan: 0
verify: {subset: 1/7}
restore:
  bumpRevision: 1000000000
  markCompacted: false
  asOf: 2026-01-02T15:04:05Z
  owner: 1000:1000
  initialCluster: a=http://1:2380,b=http://2:2380
`})
	wantFaults(t, faults(t, s), []string{`key reportFile in /etc/etcdsafe.yaml: contains whitespace at position 12: "/tmp/report\n"`})
	if len(s.Stores.Get()) != 2 || s.Stores.Get()[0].Full() != "s3://a,b" {
		t.Errorf("stores = %v, want two, the first with its comma", s.Stores.Get())
	}
	for name, ok := range map[string]bool{
		"endpoints":      len(s.Endpoints.Get()) == 2,
		"dryRun":         s.DryRun.Get(),
		"plaintext":      s.Plaintext.Get(),
		"deadline":       s.Deadline.Get() == 24*time.Hour,
		"spoolMaxBytes":  s.SpoolMaxBytes.Get() == 129_000_000,
		"label":          s.Snapshot.Label.Get()["a"] == "1,2" && s.Snapshot.Label.Get()["b"] == "x=y",
		"compare":        s.Snapshot.Compare.Get() == "off",
		"streamFloor":    s.Snapshot.StreamFloor.Get() == 1<<20,
		"ifOlderThan":    s.Snapshot.IfOlderThan.Get() == 0 && s.Snapshot.IfOlderThan.IsSet(),
		"subset":         s.Verify.Subset.Get() == Subset{1, 7},
		"bumpRevision":   s.Restore.BumpRevision.Get() == 1_000_000_000,
		"markCompacted":  !s.Restore.MarkCompacted.Get() && s.Restore.MarkCompacted.IsSet(),
		"asOf":           s.Restore.AsOf.Get().Equal(time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)),
		"owner":          s.Restore.Owner.Get() == Owner{1000, 1000},
		"initialCluster": s.Restore.InitialCluster.Get() == "a=http://1:2380,b=http://2:2380",
	} {
		if !ok {
			t.Errorf("%s of the file was read wrongly: %v", name, s)
		}
	}
}

func TestYAMLThatWouldChangeWhatWasWritten(t *testing.T) {
	const in = " in /etc/etcdsafe.yaml: "
	for file, want := range map[string]string{
		"cluster: 012\n":                       "key cluster" + in + "holds a number or a true/false",
		"cluster: yes\n":                       "key cluster" + in + "holds a number or a true/false",
		"reportFile: 1\n":                      "key reportFile" + in + "holds a number",
		"recipients: [a, 1]\n":                 "key recipients" + in + "item 2 holds a number",
		"recipients: [a, null]\n":              "key recipients" + in + "item 2 is empty",
		"recipients: {a: b}\n":                 "key recipients" + in + "holds a mapping where a list is wanted",
		"snapshot: {label: {version: 1.10}}\n": "key snapshot.label" + in + `key "version" holds a number`,
		"snapshot: {label: {a=b: c}}\n":        "key snapshot.label" + in + `key "a=b" has = in its name`,
		"snapshot: {label: 5}\n":               "key snapshot.label" + in + "holds a number",
		"snapshot: {compare: on}\n":            "key snapshot.compare" + in + `"true" is not one of`,
		"dryRun: 1\n":                          "key dryRun" + in + "holds a number",
		"dryRun: [true]\n":                     "key dryRun" + in + "holds a list or a mapping",
		"deadline: 5\n":                        "key deadline" + in + `"5" is not a duration`,
		"deadline: true\n":                     "key deadline" + in + "holds a number or a true/false",
		"restore: {bumpRevision: 1.5}\n":       "key restore.bumpRevision" + in + `"1.5" is not a whole number`,
	} {
		wantFaults(t, faults(t, load(t, input{file: file})), []string{want})
	}
}
