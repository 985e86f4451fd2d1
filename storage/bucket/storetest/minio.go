package storetest

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// A MinIOServer has users besides the one that S3 names.
type MinIOServer struct{ S3 }

// MinIO runs a server of its own on one folder.
func MinIO(t testing.TB) MinIOServer {
	t.Helper()
	addr := freeAddr(t)
	m := MinIOServer{S3{
		Endpoint: "http://" + addr, Region: region, Dir: t.TempDir(),
		AccessKey: "storetest", SecretKey: "storetest-minio-secret",
	}}
	start(t, "minio", addr, "/minio/health/cluster", []string{
		child.Tool(t, "minio", "minio"), "server", "--address", addr, m.Dir,
	}, []string{
		"MINIO_ROOT_USER=" + m.AccessKey, "MINIO_ROOT_PASSWORD=" + m.SecretKey,
		"MINIO_UPDATE=off", "MINIO_BROWSER=off", "HOME=" + t.TempDir(),
	})
	return m
}

// User makes a user who may do what policy says and no more; policy is JSON as IAM has it.
// The result is the same store with that user's keys.
func (m MinIOServer) User(t testing.TB, policy string) S3 {
	t.Helper()
	user := m.S3
	user.AccessKey, user.SecretKey = randomName("user"), randomName("secret")
	m.importIAM(t, map[string]any{
		"policies.json":      map[string]any{user.AccessKey: json.RawMessage(policy)},
		"users.json":         map[string]any{user.AccessKey: map[string]string{"secretKey": user.SecretKey, "status": "enabled"}},
		"user_mappings.json": map[string]any{user.AccessKey: map[string]any{"version": 1, "policy": user.AccessKey}},
	})
	return user
}

// importIAM is the one call of the admin API that takes users without encrypting them, and so
// needs no library of MinIO's.
func (m MinIOServer) importIAM(t testing.TB, files map[string]any) {
	t.Helper()
	body := zipped(t, files)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, m.Endpoint+"/minio/admin/v3/import-iam-v2", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", digest)
	keys := aws.Credentials{AccessKeyID: m.AccessKey, SecretAccessKey: m.SecretKey}
	if err := v4.NewSigner().SignHTTP(t.Context(), keys, req, digest, "s3", m.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := httpClient(t).Do(req)
	if err != nil {
		t.Fatalf("import users: %v", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("import users: %s, %v: %s", resp.Status, err, answer)
	}
	checkImported(t, answer)
}

// checkImported fails where the server took the archive and not what is in it.
func checkImported(t testing.TB, answer []byte) {
	t.Helper()
	var result struct{ Failed map[string]any }
	if err := json.Unmarshal(answer, &result); err != nil {
		t.Fatalf("import users: %v in %q", err, answer)
	}
	for _, failed := range result.Failed {
		if failed != nil {
			t.Fatalf("import users: %s", answer)
		}
	}
}

func zipped(t testing.TB, files map[string]any) []byte {
	t.Helper()
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for name, content := range files {
		w, err := z.Create(path.Join("iam-assets", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(w).Encode(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}
