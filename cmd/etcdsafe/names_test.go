package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// TestTimesAreUTCWhereverOneIs: names, manifests, receipts and reports; a log may say where it
// was written.
func TestTimesAreUTCWhereverOneIs(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints()).with("TZ=Asia/Tokyo", "ETCDSAFE_LOG_FORMAT=json")
	began := time.Now().Add(-time.Second)
	r := u.ok(t, "snapshot")
	if !strings.Contains(r.stderr, `+09:00","level"`) {
		t.Fatalf("the process was not in Tokyo: this test proves nothing\n%v", r)
	}
	id, err := catalog.ParseID(r.field(t, "archive.id"))
	if err != nil {
		t.Fatal(err)
	}
	if id.Time().Before(began.Truncate(time.Second)) || id.Time().After(time.Now()) {
		t.Errorf("id %s is not of now, %s", id, time.Now().UTC())
	}
	u.ok(t, "verify", string(id))
	manifest := u.read(t, "store/prod/manifests/"+string(id)+".json")
	receipts := u.glob(t, "store/prod/receipts/"+string(id)+"/*")
	if len(receipts) != 1 || !strings.HasPrefix(receipts[0], u.path("store/prod/receipts/"+string(id)+"/"+time.Now().UTC().Format("20060102T"))) {
		t.Errorf("receipts are named %q", receipts)
	}
	texts := map[string]string{"manifest": manifest, "report": r.stdout, "list": u.ok(t, "list", "--long").stdout, "show": u.ok(t, "show", "latest").stdout,
		"verify": u.ok(t, "verify", "latest").stdout, "restore": u.ok(t, "restore", "latest", "--dry-run", "--data-dir", "data", "--endpoints", "127.0.0.1:1").stdout}
	for where, text := range texts {
		times := 0
		walkStrings(t, text, func(s string) {
			at, err := time.Parse(time.RFC3339Nano, s)
			if err != nil {
				return
			}
			times++
			if !strings.HasSuffix(s, "Z") || at.Before(began.Truncate(time.Second)) || at.After(time.Now()) {
				t.Errorf("%s holds the time %s", where, s)
			}
		})
		if times == 0 {
			t.Errorf("%s holds no time", where)
		}
	}
	text := u.with("ETCDSAFE_OUTPUT=text").ok(t, "show", "latest")
	if want := id.Time().Format("2006-01-02 15:04:05Z"); !strings.Contains(text.stdout, want) {
		t.Errorf("show does not say %s\n%v", want, text)
	}
}

// walkStrings calls visit with every string of a JSON document.
func walkStrings(t *testing.T, text string, visit func(string)) {
	t.Helper()
	var doc any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			visit(v)
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(doc)
}

// TestStockToolsOpenWhatSnapshotMade: `age -d | zstd -d | etcdutl snapshot restore`, and etcd
// on that, without this program.
func TestStockToolsOpenWhatSnapshotMade(t *testing.T) {
	for _, keys := range []string{"x25519", "post-quantum", "plaintext"} {
		t.Run(keys, func(t *testing.T) {
			c := etcdtest.Start(t, etcdtest.Options{})
			c.Put(t, func(yield func(string, []byte) bool) { yield("/app/key", []byte("what was written")) })
			u := newOperator(t, c.Endpoints())
			switch keys {
			case "post-quantum":
				u.write(t, "recipients.txt", u.ok(t, "keygen", "--post-quantum", "pq.txt").stdout)
				if err := os.Rename(u.path("pq.txt"), u.path("identity.txt")); err != nil {
					t.Fatal(err)
				}
			case "plaintext":
				u = u.with("ETCDSAFE_RECIPIENTS_FILE=", "ETCDSAFE_PLAINTEXT=true")
			}
			r := u.ok(t, "snapshot")
			object := "store/prod/archives/" + r.field(t, "archive.id") + ".db.zst"
			var packed string
			if keys == "plaintext" {
				packed = u.read(t, object)
			} else {
				packed = u.tool(t, nil, "age", "-d", "-i", "identity.txt", object+".age")
			}
			u.write(t, "snapshot.db", u.tool(t, strings.NewReader(packed), "zstd", "-d", "-c"))
			status := u.tool(t, nil, "etcdutl-3.6", "snapshot", "status", "snapshot.db", "--write-out", "json")
			for theirs, ours := range map[string]string{"revision": "archive.revision", "totalKey": "archive.totalKey", "totalSize": "archive.totalSize"} {
				if got, err := at(status, theirs); err != nil || got != r.field(t, ours) {
					t.Errorf("etcdutl says %s %s, the report %s: %v", theirs, got, r.field(t, ours), err)
				}
			}
			u.tool(t, nil, "etcdutl-3.6", "snapshot", "restore", "snapshot.db", "--data-dir", "data")
			again := etcdtest.StartOnDataDir(t, "3.6", u.path("data"))
			got, err := again.Client(t).Get(t.Context(), "/app/key")
			if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "what was written" {
				t.Errorf("the restored etcd says %v: %v", got, err)
			}
		})
	}
}
