package archive

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestARunKeyOpensWhatItSealed, for recipients of every kind; so do their identities, and nothing in the
// archive tells that a key was kept.
func TestARunKeyOpensWhatItSealed(t *testing.T) {
	snap := fakeSnapshot(1000)
	for name, kind := range map[string]func(*testing.T) (recipient, identity string){
		"x25519":       func(t *testing.T) (string, string) { return generated(t, false) },
		"post-quantum": func(t *testing.T) (string, string) { return generated(t, true) },
		"ssh-rsa":      func(t *testing.T) (string, string) { return sshKey(t, "rsa") },
	} {
		t.Run(name, func(t *testing.T) {
			rec1, _ := kind(t)
			rec2, id2 := kind(t)
			to, err := ParseRecipients([]string{rec1, rec2})
			if err != nil {
				t.Fatal(err)
			}
			var key RunKey
			plain, _ := sealed(t, snap, to)
			arch, want := sealed(t, snap, to.Keep(&key))
			if len(arch) != len(plain) || bytes.Count(arch[:1000], []byte("\n-> ")) != bytes.Count(plain[:1000], []byte("\n-> ")) {
				t.Errorf("with a run key the archive has %d bytes, without %d", len(arch), len(plain))
			}
			ids, err := ParseIdentities([]byte(id2))
			if err != nil {
				t.Fatal(err)
			}
			for _, ids := range []Identities{key.Identities(), ids} {
				if got, err := open(arch, want, ids); err != nil || !bytes.Equal(got, snap) {
					t.Errorf("open: %d bytes, %v", len(got), err)
				}
			}
		})
	}
}

// TestARunKeyOpensNothingElse: another archive, to the same recipient, and none once it is wiped.
func TestARunKeyOpensNothingElse(t *testing.T) {
	snap := fakeSnapshot(100)
	to, _ := newKey(t)
	var key RunKey
	if _, err := openOther(t, snap, to, &key); !errors.Is(err, ErrKey) {
		t.Errorf("a key that sealed nothing opens: %v, want ErrKey", err)
	}
	arch, want := sealed(t, snap, to.Keep(&key))
	if _, err := openOther(t, snap, to, &key); !errors.Is(err, ErrKey) {
		t.Errorf("it opens another archive: %v, want ErrKey", err)
	}
	for _, text := range []string{fmt.Sprint(&key), fmt.Sprintf("%#v", &key), slog.AnyValue(&key).Resolve().String()} {
		if text != "[redacted]" {
			t.Errorf("it prints itself: %q", text)
		}
	}
	key.Wipe()
	if _, err := open(arch, want, key.Identities()); !errors.Is(err, ErrKey) {
		t.Errorf("once wiped it opens: %v, want ErrKey", err)
	}
	if got := Plaintext().Keep(&key).Codecs(); strings.Join(got, " ") != "zstd" {
		t.Errorf("plaintext with a run key has codecs %q", got)
	}
}

// openOther opens an archive that was sealed to the same recipient without the key.
func openOther(t *testing.T, snap []byte, to Recipients, key *RunKey) ([]byte, error) {
	t.Helper()
	arch, want := sealed(t, snap, to)
	return open(arch, want, key.Identities())
}
