package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/bucket/storetest"
)

// s3URL is a store's URL as users write it.
func s3URL(s storetest.S3, bucket string) string {
	return "s3://" + bucket + "/team/etcd?endpoint=" + s.Endpoint + "&path_style=true"
}

// operatorOf has an etcd with a few keys.
func operatorOf(t *testing.T, env ...string) *user {
	t.Helper()
	c := etcdtest.Start(t, etcdtest.Options{})
	c.Put(t, func(yield func(string, []byte) bool) {
		for i := range 50 {
			if !yield(fmt.Sprintf("/app/%d", i), bytes.Repeat([]byte{byte(i)}, 2000)) {
				return
			}
		}
	})
	return newOperator(t, c.Endpoints()).with(env...)
}

// TestOneSnapshotGoesToFourStoresAtOnce: one of them is down; copy fills it when it is back.
func TestOneSnapshotGoesToFourStoresAtOnce(t *testing.T) {
	gateway, google, azure := storetest.Versitygw(t), storetest.FakeGCS(t), storetest.Azurite(t)
	toxi := storetest.Toxi(t, google.Endpoint)
	u := operatorOf(t, append(gateway.Env(), azure.Env()...)...)
	urls := []string{
		s3URL(gateway, gateway.Bucket(t, storetest.Plain)),
		"gs://" + google.Bucket(t) + "/team/etcd?anonymous=true&endpoint=" + toxi.Endpoint,
		"azblob://" + azure.Container(t) + "/team/etcd?endpoint=" + azure.Endpoint + "/" + azure.Account,
		"file://" + u.mkdir(t, "folder"),
	}
	u = u.with("ETCDSAFE_STORES=" + strings.Join(urls, ","))

	toxi.Refuse(t)
	r := u.exits(t, exitPartial, "snapshot")
	if r.field(t, "cause") != "store" || r.field(t, "stores.1.result") != "failed" || r.field(t, "stores.0.result") != "ok" || r.field(t, "stores.2.result") != "ok" || r.field(t, "stores.3.result") != "ok" {
		t.Fatalf("want three stores of four\n%v", r)
	}
	id := r.field(t, "archive.id")
	toxi.Heal(t)
	if r := u.ok(t, "copy"); r.field(t, "archives.0.id") != id || r.field(t, "archives.0.result") != "ok" {
		t.Fatalf("want the archive copied\n%v", r)
	}
	v := u.ok(t, "verify", "latest", "--level", "content")
	for i := range urls {
		if v.field(t, fmt.Sprintf("archives.%d.result", i)) != "ok" {
			t.Errorf("store %d is not verified\n%v", i, v)
		}
	}
	var first []byte
	for i, url := range urls {
		dir := u.mkdir(t, fmt.Sprintf("fetched%d", i))
		u.ok(t, "restore", id, "--stores", url, "--fetch-only", dir)
		got := readFiles(t, dir)
		if i == 0 {
			first = got
		}
		if len(got) == 0 || !bytes.Equal(got, first) {
			t.Errorf("archive and manifest in %s are not those of the first store", url)
		}
	}
	u.ok(t, "restore", "latest", "--data-dir", "data", "--endpoints", "127.0.0.1:1")
	d := u.ok(t, "doctor", "store")
	for i := range urls {
		if got := d.field(t, fmt.Sprintf("%d.jobs.2", i)); got != "prune" {
			t.Errorf("doctor's last job in store %d is %q, want prune\n%v", i, got, d)
		}
	}
	u.ok(t, "prune", "--keep-last", "1")
}

// readFiles is all that lies in a folder, one after the other.
func readFiles(t *testing.T, dir string) []byte {
	t.Helper()
	var out []byte
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		out = append(append(out, d.Name()...), text...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAByteFlippedBehindTheGatewayIsFound: the store itself has not noticed.
func TestAByteFlippedBehindTheGatewayIsFound(t *testing.T) {
	gateway := storetest.Versitygw(t)
	name := gateway.Bucket(t, storetest.Plain)
	u := operatorOf(t, gateway.Env()...)
	u = u.with("ETCDSAFE_STORES=" + s3URL(gateway, name))
	id := u.ok(t, "snapshot").field(t, "archive.id")
	file := filepath.Join(gateway.Dir, name, "team/etcd/prod/archives", id+".db.zst.age")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, level := range []string{"stored", "content"} {
		r := u.exits(t, exitIntegrity, "verify", "latest", "--level", level)
		for _, said := range []string{id, "s3://" + name, "object archives/" + id, "corrupt"} {
			if !strings.Contains(r.stderr, said) {
				t.Errorf("level %s does not name %q\n%v", level, said, r)
			}
		}
	}
	u.exits(t, exitIntegrity, "restore", "latest", "--data-dir", "data", "--endpoints", "127.0.0.1:1")
}

// TestAnArchiveThatTheStoreEmptiedIsNotCommitted: the store says that all is well.
func TestAnArchiveThatTheStoreEmptiedIsNotCommitted(t *testing.T) {
	gateway := storetest.Versitygw(t)
	name := gateway.Bucket(t, storetest.Plain)
	liar := storetest.Liar(t, gateway.Endpoint)
	liar.Lie(storetest.Ask{Method: "PUT", URI: "/archives/"}, 0, storetest.Answer(200, ""))
	u := operatorOf(t, gateway.Env()...)
	u = u.with("ETCDSAFE_STORES=" + s3URL(gateway.Through(liar.Endpoint), name))
	r := u.exits(t, exitIntegrity, "snapshot")
	if r.field(t, "committed") != "false" {
		t.Error(r)
	}
	if got := u.ok(t, "list").stdout; strings.TrimSpace(got) != "[]" {
		t.Errorf("list shows %s", got)
	}
}

// policyOf is one of the files that SECURITY.md names, for one bucket.
func policyOf(t *testing.T, who, bucket string) string {
	t.Helper()
	text, err := os.ReadFile("../../scripts/policies/s3-" + who + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "BUCKET", bucket)
}

// TestLeastRights tries what each identity may, and what it may not, with a raw client too.
func TestLeastRights(t *testing.T) {
	server := storetest.MinIO(t)
	name := server.Bucket(t, storetest.Versioned)
	snapshotter := server.User(t, policyOf(t, "snapshot", name))
	auditor := server.User(t, policyOf(t, "auditor", name))
	pruner := server.User(t, policyOf(t, "pruner", name))
	base := operatorOf(t, "ETCDSAFE_STORES="+s3URL(server.S3, name))
	as := func(s storetest.S3) *user { return base.with(s.Env()...) }

	var ids []string
	for range 3 {
		ids = append(ids, as(snapshotter).ok(t, "snapshot").field(t, "archive.id"))
		time.Sleep(1100 * time.Millisecond)
	}
	key := "team/etcd/prod/manifests/" + ids[0] + ".json"
	if _, err := snapshotter.Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &name, Key: &key}); err == nil {
		t.Error("the snapshot identity may delete")
	}
	if _, err := auditor.Client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: &key, Body: strings.NewReader("x")}); err == nil {
		t.Error("the auditor may write")
	}
	as(snapshotter).exits(t, exitStore, "prune", "--keep-last", "1", "--keep-min", "1")
	as(snapshotter).ok(t, "prune", "--keep-last", "1", "--keep-min", "1", "--dry-run")

	audit := as(auditor)
	audit.ok(t, "list")
	audit.ok(t, "verify", "latest", "--level", "content")
	audit.ok(t, "restore", "latest", "--data-dir", "data", "--endpoints", "127.0.0.1:1")
	audit.exits(t, exitStore, "snapshot")
	audit.ok(t, "prune", "--keep-last", "1", "--keep-min", "1", "--dry-run")

	// An overwrite leaves the first version, which the past still has.
	past := time.Now().UTC()
	time.Sleep(1100 * time.Millisecond)
	if _, err := snapshotter.Client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: &key, Body: strings.NewReader("overwritten")}); err != nil {
		t.Fatal(err)
	}
	base.with(auditor.Env()...).exits(t, exitIntegrity, "restore", ids[0], "--data-dir", "overwritten", "--endpoints", "127.0.0.1:1")
	audit.ok(t, "restore", ids[0], "--data-dir", "overwritten", "--endpoints", "127.0.0.1:1", "--at", past.Format(time.RFC3339))

	r := as(pruner).ok(t, "prune", "--keep-last", "1", "--keep-min", "1")
	if r.field(t, "stores.0.removed") != "1" || r.field(t, "stores.0.hidden") != "true" {
		t.Errorf("want the second archive hidden, the first one left alone as corrupt\n%v", r)
	}
	audit.exits(t, exitFailed, "restore", ids[1], "--data-dir", "hidden", "--endpoints", "127.0.0.1:1")
	audit.ok(t, "restore", ids[1], "--data-dir", "hidden", "--endpoints", "127.0.0.1:1", "--at", past.Format(time.RFC3339))

	for _, row := range []struct {
		who  storetest.S3
		may  string
		jobs string
	}{
		{snapshotter, "list get put create-only", "list, show, restore, verify snapshot, copy, hold"},
		{auditor, "list", "list, show, restore, verify"},
		{pruner, "list get put create-only delete", "list, show, restore, verify snapshot, copy, hold prune"},
	} {
		r := as(row.who).ok(t, "doctor", "store")
		var may []string
		for i := range 5 {
			if r.field(t, fmt.Sprintf("0.rights.%d.may", i)) == "true" {
				may = append(may, r.field(t, fmt.Sprintf("0.rights.%d.name", i)))
			}
		}
		if got := strings.Join(may, " "); got != row.may {
			t.Errorf("doctor says %q, want %q\n%v", got, row.may, r)
		}
		for i, job := range strings.SplitAfter(strings.NewReplacer("verify snapshot", "verify;snapshot", "hold prune", "hold;prune").Replace(row.jobs), ";") {
			if got := r.field(t, fmt.Sprintf("0.jobs.%d", i)); got != strings.TrimSuffix(job, ";") {
				t.Errorf("doctor's job %d is %q, want %q", i, got, job)
			}
		}
	}
}

// TestASnapshotNeedsNoMoreThanToCreate: a token of Azure that may create, read and list, and neither
// overwrite nor delete.
func TestASnapshotNeedsNoMoreThanToCreate(t *testing.T) {
	azure := storetest.Azurite(t)
	name := azure.Container(t)
	token := azure.SAS(t, name, sas.ContainerPermissions{Create: true, Read: true, List: true})
	u := operatorOf(t, "AZURE_STORAGE_SAS_TOKEN="+token, "AZURE_STORAGE_ACCOUNT="+azure.Account)
	u = u.with("ETCDSAFE_STORES=azblob://" + name + "?endpoint=" + azure.Endpoint + "/" + azure.Account)
	id := u.ok(t, "snapshot").field(t, "archive.id")
	u.ok(t, "verify", id, "--level", "content")
	u.exits(t, exitStore, "prune", "--keep-last", "1")
	_, err := azure.ClientSAS(t, token).UploadBuffer(t.Context(), name, "prod/manifests/"+id+".json", []byte("x"), nil)
	if err == nil {
		t.Error("the token may overwrite a manifest")
	}
}

// TestALockedArchiveOutlivesAnAttacker: COMPLIANCE lock, versions, and somebody with every right.
func TestALockedArchiveOutlivesAnAttacker(t *testing.T) {
	server := storetest.MinIO(t)
	name := server.Bucket(t, storetest.Lockable)
	u := operatorOf(t, server.Env()...)
	u = u.with("ETCDSAFE_STORES=" + s3URL(server.S3, name) + "&retain=7d")
	var ids []string
	for range 2 {
		ids = append(ids, u.ok(t, "snapshot").field(t, "archive.id"))
		time.Sleep(1100 * time.Millisecond)
	}
	r := u.ok(t, "prune", "--keep-last", "1", "--keep-min", "1")
	if r.field(t, "plan.1.verdict") != "retained" || !strings.Contains(r.stdout, "locked until") || r.field(t, "stores.0.removed") != "0" {
		t.Errorf("want the older archive retained\n%v", r)
	}
	r = u.ok(t, "prune", "--keep-last", "2", "--keep-min", "1", "--extend-locks", "14d", "--interval", "1d")
	if r.field(t, "stores.0.extended") != "2" {
		t.Errorf("want two locks lengthened\n%v", r)
	}
	u.exits(t, exitConfig, "prune", "--keep-last", "2", "--extend-locks", "1d", "--interval", "1d")

	past := time.Now().UTC()
	time.Sleep(1100 * time.Millisecond)
	raw := server.Client()
	versions, err := raw.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &name})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions.Versions {
		if strings.Contains(*v.Key, "/archives/") || strings.Contains(*v.Key, "/manifests/") {
			if _, err := raw.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &name, Key: v.Key, VersionId: v.VersionId}); err == nil {
				t.Errorf("%s could be deleted for good", *v.Key)
			}
		}
		if _, err := raw.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &name, Key: v.Key}); err != nil {
			t.Fatal(err)
		}
	}
	u.exits(t, exitFailed, "restore", "latest", "--data-dir", "data", "--endpoints", "127.0.0.1:1")
	r = u.ok(t, "restore", "latest", "--data-dir", "data", "--endpoints", "127.0.0.1:1", "--at", past.Format(time.RFC3339))
	if r.field(t, "archive.id") != ids[1] {
		t.Errorf("want %s\n%v", ids[1], r)
	}
	u.exits(t, exitConfig, "restore", "latest", "--data-dir", "x", "--stores", "file:///x", "--at", past.Format(time.RFC3339))
}

// TestListTellsWhyAStoreIsNotKnown: one that refuses, or has no such bucket, did answer.
func TestListTellsWhyAStoreIsNotKnown(t *testing.T) {
	gateway := storetest.Versitygw(t)
	u := newOperator(t, nil).with(gateway.Env()...)
	for said, who := range map[string]*user{"NoSuchBucket": u, "SignatureDoesNotMatch": u.with("AWS_SECRET_ACCESS_KEY=another")} {
		name := "no-such-bucket"
		if said != "NoSuchBucket" {
			name = gateway.Bucket(t, storetest.Plain)
		}
		r := who.exits(t, exitStore, "list", "-o", "text", "--stores", "file://"+u.path("store")+","+s3URL(gateway, name))
		if !strings.Contains(r.stdout, name) || !strings.Contains(r.stdout, "what it holds is not known: ") || !strings.Contains(r.stdout, said) {
			t.Errorf("list does not say %s\n%v", said, r)
		}
	}
}
