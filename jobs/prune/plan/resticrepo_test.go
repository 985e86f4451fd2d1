package plan

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/poly1305" //nolint:staticcheck // restic's format has it
	"golang.org/x/crypto/scrypt"
)

const resticPassword = "no secret"

// resticRepo is a repository of snapshots without files, written as restic's doc/design.rst
// says. `restic backup` needs most of a second for each, nearly all of it to derive the key;
// ours is as cheap as restic lets it be.
type resticRepo struct {
	dir string
	key resticKey
}

// resticKey encrypts by AES-256-CTR and authenticates by Poly1305-AES.
type resticKey struct {
	MAC struct {
		K []byte `json:"k"`
		R []byte `json:"r"`
	} `json:"mac"`
	Encrypt []byte `json:"encrypt"`
}

func newResticRepo(t *testing.T) resticRepo {
	t.Helper()
	r := resticRepo{dir: t.TempDir(), key: cutKey(random(64))}
	for _, sub := range []string{"data", "index", "keys", "locks", "snapshots"} {
		if err := os.Mkdir(filepath.Join(r.dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	salt := random(64)
	derived, err := scrypt.Key([]byte(resticPassword), salt, 2, 1, 1, 64)
	if err != nil {
		t.Fatal(err)
	}
	master := cutKey(derived).seal(t, r.key)
	r.write(t, "keys", toJSON(t, map[string]any{"kdf": "scrypt", "N": 2, "r": 1, "p": 1, "salt": salt, "data": master, "created": noon}))
	config := r.key.seal(t, map[string]any{"version": 2, "id": strings.Repeat("ab", 32), "chunker_polynomial": "25b468838dcb75"})
	if err := os.WriteFile(filepath.Join(r.dir, "config"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// snapshot adds one and returns its id.
func (r resticRepo) snapshot(t *testing.T, at time.Time, tag string) string {
	t.Helper()
	return r.write(t, "snapshots", r.key.seal(t, map[string]any{"time": at, "tree": strings.Repeat("cd", 32), "paths": []string{"/"}, "hostname": "h", "tags": []string{tag}}))
}

// write stores text under its SHA-256.
func (r resticRepo) write(t *testing.T, sub string, text []byte) string {
	t.Helper()
	sum := sha256.Sum256(text)
	name := hex.EncodeToString(sum[:])
	if err := os.WriteFile(filepath.Join(r.dir, sub, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func cutKey(b []byte) resticKey {
	k := resticKey{Encrypt: b[:32]}
	k.MAC.K, k.MAC.R = b[32:48], b[48:64]
	return k
}

// seal is nonce, ciphertext, MAC.
func (k resticKey) seal(t *testing.T, document any) []byte {
	t.Helper()
	nonce, text := random(aes.BlockSize), toJSON(t, document)
	block, err := aes.NewCipher(k.Encrypt)
	if err != nil {
		t.Fatal(err)
	}
	cipher.NewCTR(block, nonce).XORKeyStream(text, text)
	once, err := aes.NewCipher(k.MAC.K)
	if err != nil {
		t.Fatal(err)
	}
	var mac [poly1305.TagSize]byte
	var key [32]byte
	copy(key[:], k.MAC.R)
	once.Encrypt(key[16:], nonce)
	poly1305.Sum(&mac, text, &key)
	return append(append(nonce, text...), mac[:]...)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func toJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
