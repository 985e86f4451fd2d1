package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// fakeSnapshot is n bytes and their SHA-256: what Digest asks of a snapshot, and no more.
func fakeSnapshot(n int) []byte {
	body := make([]byte, n)
	mathrand.NewChaCha8([32]byte{1}).Read(body[n/2:])
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}

func newKey(t *testing.T) (Recipients, Identities) {
	t.Helper()
	identity, recipient, err := GenerateIdentity(false)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := ParseRecipients([]string{recipient})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ParseIdentities([]byte(identity))
	if err != nil {
		t.Fatal(err)
	}
	return rec, ids
}

// sealed seals snap and says what a manifest would of it.
func sealed(t *testing.T, snap []byte, to Recipients) ([]byte, Expect) {
	t.Helper()
	var out bytes.Buffer
	s, err := Seal(&out, bytes.NewReader(snap), to, 2)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(snap)
	return out.Bytes(), Expect{ArchiveBytes: s.Bytes, ArchiveSHA256: s.SHA256, SnapshotBytes: int64(len(snap)),
		SnapshotSHA256: hex.EncodeToString(sum[:]), Codecs: s.Codecs}
}

// open returns the snapshot inside archive once it is proven.
func open(archive []byte, want Expect, ids Identities) ([]byte, error) {
	var out bytes.Buffer
	if err := Unseal(&out, bytes.NewReader(archive), want, ids); err != nil {
		return nil, err
	}
	return out.Bytes(), want.Prove(bytes.NewReader(out.Bytes()))
}

func TestDigestKnowsWholeSnapshotsHoweverTheyAreCut(t *testing.T) {
	snap := fakeSnapshot(5000)
	want := hex.EncodeToString(func() []byte { s := sha256.Sum256(snap); return s[:] }())
	for _, piece := range []int{1, 7, 31, 32, 33, 64, 1000, len(snap)} {
		d := NewDigest()
		for at := 0; at < len(snap); at += piece {
			d.Write(snap[at:min(at+piece, len(snap))])
		}
		if err := d.Check(); err != nil {
			t.Errorf("Check after pieces of %d: %v", piece, err)
		}
		if got, err := d.SHA256(); err != nil || got != want {
			t.Errorf("SHA256 after pieces of %d = %q, %v, want %q", piece, got, err, want)
		}
		if d.Bytes() != int64(len(snap)) {
			t.Errorf("Bytes = %d, want %d", d.Bytes(), len(snap))
		}
	}
}

func TestDigestRefusesEveryCutAndEveryFlip(t *testing.T) {
	snap := fakeSnapshot(300)
	check := func(p []byte) error {
		d := NewDigest()
		d.Write(p)
		return d.Check()
	}
	for n := range snap {
		if err := check(snap[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("Check of the first %d bytes = %v, want ErrCorrupt", n, err)
		}
	}
	for bit := range 8 * len(snap) {
		p := bytes.Clone(snap)
		p[bit/8] ^= 1 << (bit % 8)
		if err := check(p); !errors.Is(err, ErrCorrupt) {
			t.Errorf("Check with bit %d flipped = %v, want ErrCorrupt", bit, err)
		}
	}
}

func TestOpenReturnsWhatSealTook(t *testing.T) {
	rec, ids := newKey(t)
	for _, n := range []int{1, 100, 1 << 20, segmentBytes - 33, segmentBytes - 32, segmentBytes - 31, 2*segmentBytes - 32, 3*segmentBytes + 5} {
		snap := fakeSnapshot(n)
		for _, to := range []Recipients{rec, Plaintext()} {
			arch, want := sealed(t, snap, to)
			got, err := open(arch, want, ids)
			if err != nil || !bytes.Equal(got, snap) {
				t.Errorf("open of %d bytes, codecs %q: %d bytes, %v", n, want.Codecs, len(got), err)
			}
		}
	}
}

func TestOpenRefusesEveryCut(t *testing.T) {
	rec, ids := newKey(t)
	for _, to := range []Recipients{rec, Plaintext()} {
		arch, want := sealed(t, fakeSnapshot(700), to)
		for n := range arch {
			if _, err := open(arch[:n], want, ids); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrKey) {
				t.Errorf("codecs %q cut to %d of %d bytes: %v, want ErrCorrupt", want.Codecs, n, len(arch), err)
			}
		}
		if _, err := open(append(bytes.Clone(arch), 0), want, ids); !errors.Is(err, ErrCorrupt) {
			t.Errorf("codecs %q with a byte more: %v, want ErrCorrupt", want.Codecs, err)
		}
	}
}

func TestOpenRefusesEveryFlippedBit(t *testing.T) {
	rec, ids := newKey(t)
	for _, to := range []Recipients{rec, Plaintext()} {
		arch, want := sealed(t, fakeSnapshot(200), to)
		for bit := range 8 * len(arch) {
			p := bytes.Clone(arch)
			p[bit/8] ^= 1 << (bit % 8)
			if _, err := open(p, want, ids); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrKey) {
				t.Fatalf("codecs %q with bit %d flipped: %v, want ErrCorrupt", want.Codecs, bit, err)
			}
		}
	}
}

func TestOpenRefusesAnotherArchivesBytes(t *testing.T) {
	rec, ids := newKey(t)
	_, want := sealed(t, fakeSnapshot(500), rec)
	other, _ := sealed(t, fakeSnapshot(501), rec)
	if _, err := open(other, want, ids); !errors.Is(err, ErrCorrupt) {
		t.Errorf("open of another archive: %v, want ErrCorrupt", err)
	}
}

func TestOpenHoldsBytesToEachPromise(t *testing.T) {
	rec, ids := newKey(t)
	arch, want := sealed(t, fakeSnapshot(5000), rec)
	for name, lie := range map[string]func(*Expect){
		"archive longer":     func(e *Expect) { e.ArchiveBytes++ },
		"archive shorter":    func(e *Expect) { e.ArchiveBytes-- },
		"archive digest":     func(e *Expect) { e.ArchiveSHA256 = strings.Repeat("0", 64) },
		"snapshot longer":    func(e *Expect) { e.SnapshotBytes++ },
		"snapshot shorter":   func(e *Expect) { e.SnapshotBytes-- },
		"snapshot digest":    func(e *Expect) { e.SnapshotSHA256 = strings.Repeat("0", 64) },
		"no encryption":      func(e *Expect) { e.Codecs = []string{"zstd"} },
		"unknown codec":      func(e *Expect) { e.Codecs = []string{"lz4", "age"} },
		"no codec":           func(e *Expect) { e.Codecs = nil },
		"nothing inside":     func(e *Expect) { e.SnapshotBytes = 0 },
		"negative lengths":   func(e *Expect) { e.ArchiveBytes, e.SnapshotBytes = -1, -1 },
		"lengths overflow":   func(e *Expect) { e.ArchiveBytes = 1 },
		"swapped sha fields": func(e *Expect) { e.ArchiveSHA256, e.SnapshotSHA256 = e.SnapshotSHA256, e.ArchiveSHA256 },
	} {
		e := want
		lie(&e)
		if _, err := open(arch, e, ids); !errors.Is(err, ErrCorrupt) {
			t.Errorf("open with a lie about %s: %v, want ErrCorrupt", name, err)
		}
	}
}

// A bomb is a small archive of something huge; it must stop at what the manifest promises.
func TestOpenStopsABomb(t *testing.T) {
	var bomb bytes.Buffer
	w, err := zstd.NewWriter(&bomb)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 512 {
		w.Write(zeros)
	}
	w.Close()
	var out bytes.Buffer
	err = Unseal(&out, &bomb, Expect{ArchiveBytes: int64(bomb.Len()), ArchiveSHA256: "x", SnapshotBytes: 1000, SnapshotSHA256: "x", Codecs: plainCodecs()}, Identities{})
	if !errors.Is(err, ErrCorrupt) || out.Len() > 1000 {
		t.Errorf("reading a bomb gave %d bytes and %v, want at most 1000 and ErrCorrupt", out.Len(), err)
	}
}

func TestOpenRefusesALargeWindow(t *testing.T) {
	snap := fakeSnapshot(20 << 20)
	var arch bytes.Buffer
	w, err := zstd.NewWriter(&arch, zstd.WithWindowSize(16<<20))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(snap)
	w.Close()
	sum, whole := sha256.Sum256(arch.Bytes()), sha256.Sum256(snap)
	_, err = open(arch.Bytes(), Expect{ArchiveBytes: int64(arch.Len()), ArchiveSHA256: hex.EncodeToString(sum[:]), SnapshotBytes: int64(len(snap)), SnapshotSHA256: hex.EncodeToString(whole[:]), Codecs: plainCodecs()}, Identities{})
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("open with a window of 16 MiB: %v, want ErrCorrupt", err)
	}
}

var errBroken = errors.New("the line broke")

// brokenReader fails at its end.
type brokenReader struct{ r io.Reader }

func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if errors.Is(err, io.EOF) {
		err = errBroken
	}
	return n, err
}

// brokenAt fails where it ends.
type brokenAt struct{ p []byte }

func (b brokenAt) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, b.p[min(off, int64(len(b.p))):])
	if n < len(p) {
		return n, errBroken
	}
	return n, nil
}

// What a cut stream leaves must not open: EBR's compressor made a smaller, valid archive of it.
func TestSealOfABrokenStreamDoesNotOpen(t *testing.T) {
	rec, ids := newKey(t)
	snap := fakeSnapshot(segmentBytes + 1000)
	for _, to := range []Recipients{rec, Plaintext()} {
		for _, n := range []int{0, 1, 1000, segmentBytes - 1, segmentBytes, segmentBytes + 1, len(snap) - 32, len(snap)} {
			var out bytes.Buffer
			_, err := Seal(&out, brokenAt{snap[:n]}, to, 2)
			if !errors.Is(err, errBroken) {
				t.Fatalf("Seal of a stream that breaks at %d: %v, want %v", n, err, errBroken)
			}
			if got, err := openLoose(out.Bytes(), to, ids); err == nil {
				t.Errorf("what Seal left of a stream broken at %d opens, with %d bytes", n, len(got))
			}
		}
	}
}

// openLoose opens as the stock tools do: without a manifest.
func openLoose(arch []byte, to Recipients, ids Identities) ([]byte, error) {
	var src io.Reader = bytes.NewReader(arch)
	if !to.plain {
		r, err := age.Decrypt(src, ids.list...)
		if err != nil {
			return nil, err
		}
		src = r
	}
	z, err := zstd.NewReader(src)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	got, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	// etcdutl's restore looks at the digest too.
	d := NewDigest()
	d.Write(got)
	return got, d.Check()
}

func TestOpenTellsABrokenLineFromBrokenBytes(t *testing.T) {
	rec, ids := newKey(t)
	arch, want := sealed(t, fakeSnapshot(100_000), rec)
	for _, n := range []int{0, 10, 300, len(arch) - 1} {
		err := Unseal(io.Discard, brokenReader{bytes.NewReader(arch[:n])}, want, ids)
		if !errors.Is(err, errBroken) || errors.Is(err, ErrCorrupt) {
			t.Errorf("line broken at %d: %v, want %v and not ErrCorrupt", n, err, errBroken)
		}
	}
}

func TestOpenNeedsTheRightIdentity(t *testing.T) {
	rec, _ := newKey(t)
	_, other := newKey(t)
	arch, want := sealed(t, fakeSnapshot(100), rec)
	if _, err := open(arch, want, other); !errors.Is(err, ErrKey) {
		t.Errorf("open with another identity: %v, want ErrKey", err)
	}
	if _, err := open(arch, want, Identities{}); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("open without an identity: %v, want ErrNoIdentity", err)
	}
}

func TestSealedReaderHoldsBytesToTheirDigest(t *testing.T) {
	rec, _ := newKey(t)
	arch, want := sealed(t, fakeSnapshot(5000), rec)
	if got, err := io.ReadAll(want.Sealed(bytes.NewReader(arch))); err != nil || !bytes.Equal(got, arch) {
		t.Errorf("Sealed of the archive itself: %d bytes, %v", len(got), err)
	}
	for n := range len(arch) {
		if _, err := io.ReadAll(want.Sealed(bytes.NewReader(arch[:n]))); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("Sealed of %d bytes: %v, want ErrCorrupt", n, err)
		}
	}
	if _, err := io.ReadAll(want.Sealed(io.MultiReader(bytes.NewReader(arch), strings.NewReader("x")))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Sealed of a byte more: %v, want ErrCorrupt", err)
	}
}

func TestRecipientsOfEveryKindSealAndOpen(t *testing.T) {
	snap := fakeSnapshot(1000)
	for name, kind := range map[string]func(*testing.T) (recipient, identity string){
		"x25519":       func(t *testing.T) (string, string) { return generated(t, false) },
		"post-quantum": func(t *testing.T) (string, string) { return generated(t, true) },
		"ssh-ed25519":  func(t *testing.T) (string, string) { return sshKey(t, "ed25519") },
		"ssh-rsa":      func(t *testing.T) (string, string) { return sshKey(t, "rsa") },
	} {
		t.Run(name, func(t *testing.T) {
			rec1, id1 := kind(t)
			rec2, id2 := kind(t)
			to, err := ParseRecipients([]string{rec1, rec2})
			if err != nil {
				t.Fatal(err)
			}
			if f := to.Fingerprints(); len(f) != 2 || f[0] == f[1] || f[0] != Fingerprint(rec1) {
				t.Errorf("Fingerprints = %q", f)
			}
			arch, want := sealed(t, snap, to)
			for _, text := range []string{id1, id2} {
				ids, err := ParseIdentities([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := open(arch, want, ids); err != nil || !bytes.Equal(got, snap) {
					t.Errorf("open: %d bytes, %v", len(got), err)
				}
			}
		})
	}
}

func generated(t *testing.T, postQuantum bool) (string, string) {
	t.Helper()
	identity, recipient, err := GenerateIdentity(postQuantum)
	if err != nil {
		t.Fatal(err)
	}
	return recipient, identity
}

func TestParseRecipientsRefuses(t *testing.T) {
	classic, secret := generated(t, false)
	hybrid, _ := generated(t, true)
	for name, texts := range map[string][]string{
		"nobody":                       nil,
		"post-quantum beside classic":  {hybrid, classic},
		"post-quantum beside SSH":      {hybrid, first(sshKey(t, "ed25519"))},
		"a cut one":                    {classic[:len(classic)-1]},
		"an identity":                  {secret},
		"an identity in lower case":    {strings.ToLower(secret)},
		"a word":                       {"nobody"},
		"a plugin's":                   {"age1yubikey1qwerty"},
		"an SSH kind that age has not": {"ssh-dss AAAAB3NzaC1kc3MAAACB"},
	} {
		_, err := ParseRecipients(texts)
		if !errors.Is(err, ErrBadKey) {
			t.Errorf("ParseRecipients of %s: %v, want ErrBadKey", name, err)
		}
		if err != nil && strings.Contains(strings.ToUpper(err.Error()), strings.ToUpper(secret[20:40])) {
			t.Errorf("ParseRecipients of %s prints the identity: %v", name, err)
		}
	}
}

func first(a, _ string) string { return a }

func TestParseIdentitiesRefusesAndKeepsQuiet(t *testing.T) {
	_, secret := generated(t, false)
	for name, text := range map[string]string{
		"nothing":       "",
		"a comment":     "# nothing here\n",
		"a cut one":     secret[:len(secret)-1],
		"two, one bad":  secret + "\n" + secret[:30],
		"a certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
	} {
		_, err := ParseIdentities([]byte(text))
		if !errors.Is(err, ErrBadKey) {
			t.Errorf("ParseIdentities of %s: %v, want ErrBadKey", name, err)
		}
		if err != nil && strings.Contains(err.Error(), secret[16:30]) {
			t.Errorf("ParseIdentities of %s prints the identity: %v", name, err)
		}
	}
}

// What format 1 wrote is read for ever.
func TestOpenReadsFormat1(t *testing.T) {
	arch, err := os.ReadFile("testdata/format1.db.zst.age")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/format1.identity.txt")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ParseIdentities(text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := open(arch, Expect{ArchiveBytes: 1326, ArchiveSHA256: "cf1223977414cb51ee714d7b815bbe9c550dfab67432affe65a02eae3e8f5369",
		SnapshotBytes: 24608, SnapshotSHA256: "974083b369917f93e74764a17d2d7e76e4b7bc29111363816dd18ce79e3e2d4c", Codecs: []string{"zstd", "age"}}, ids)
	if err != nil || len(got) != 24608 {
		t.Errorf("open of format 1: %d bytes, %v", len(got), err)
	}
}

// The stock tools open what Seal wrote, and Open what they wrote.
func TestStockToolsAndOursReadEachOther(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	recipient, identity := generated(t, false)
	rec, err := ParseRecipients([]string{recipient})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ParseIdentities([]byte(identity))
	if err != nil {
		t.Fatal(err)
	}
	snap := fakeSnapshot(3 << 20)
	arch, _ := sealed(t, snap, rec)
	theirs := shell(t, child.Tool(t, "age", "age")+" -d -i "+file("id", []byte(identity))+" "+file("a", arch)+" | zstd -d")
	if !bytes.Equal(theirs, snap) {
		t.Errorf("age and zstd made %d bytes of our archive, want %d", len(theirs), len(snap))
	}
	made := shell(t, "zstd -3 -c "+file("s", snap)+" | "+child.Tool(t, "age", "age")+" -r "+recipient)
	if got, err := open(made, Found(int64(len(made)), 1<<30, ageCodecs()), ids); err != nil || !bytes.Equal(got, snap) {
		t.Errorf("open of what zstd and age made: %d bytes, %v", len(got), err)
	}
}

func shell(t *testing.T, line string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-o", "pipefail", "-c", line)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return out
}

func FuzzOpen(f *testing.F) {
	arch, err := os.ReadFile("testdata/format1.db.zst.age")
	if err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile("testdata/format1.identity.txt")
	if err != nil {
		f.Fatal(err)
	}
	ids, err := ParseIdentities(text)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(arch)
	f.Add(arch[:100])
	f.Fuzz(func(t *testing.T, p []byte) {
		if got, err := open(p, Found(int64(len(p)), 1<<20, ageCodecs()), ids); err == nil && !bytes.Equal(p, arch) && len(got) != 24608 {
			t.Errorf("%d bytes opened as a snapshot of %d", len(p), len(got))
		}
	})
}
