package dbfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// TestATruncatedFileIsCorrupt cuts at each page and at odd lengths. A child must say so: one
// that maps a file shorter than its meta page tells dies at the first touch behind the end.
func TestATruncatedFileIsCorrupt(t *testing.T) {
	t.Parallel()
	s := take(t, "3.6", false)
	f := file(t, s.bytes)
	meta, err := readMeta(f)
	if err != nil {
		t.Fatalf("readMeta of a sound file: %v", err)
	}
	var cuts []int64
	for at := int64(0); at <= int64(len(s.bytes)); at += meta.pageBytes {
		cuts = append(cuts, at, at+1, at-1, at+meta.pageBytes/2+7)
	}
	cuts = append(cuts, 16, 63, 64, 79, 80, 81, 512, 4096+79, 4096+80, meta.bytes()-1, meta.bytes())
	short := 0
	for _, at := range cuts {
		if at < 0 || at > int64(len(s.bytes)) {
			continue
		}
		refill(t, f, s.bytes[:at])
		_, err := Child{}.Inspect(t.Context(), f, Query{})
		if sound := at >= meta.bytes(); sound && err != nil {
			t.Errorf("cut at %d, behind all pages in use: %v", at, err)
		} else if !sound && !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d of %d: %v, want ErrCorrupt", at, meta.bytes(), err)
		}
		if at < meta.bytes() {
			short++
		}
	}
	if short < 100 {
		t.Errorf("%d cuts were made, want at least 100", short)
	}
}

// lies are what a page may say wrongly: bbolt's header is pgid, flags, count, overflow, and
// elements follow.
var lies = []struct {
	name string
	tell func(rnd *rand.Rand, page []byte, pages uint64)
}{
	{"pgid", func(rnd *rand.Rand, p []byte, pages uint64) { binary.LittleEndian.PutUint64(p, rnd.Uint64N(2*pages)) }},
	{"flags", func(rnd *rand.Rand, p []byte, _ uint64) {
		flags := []uint16{0, 1, 2, 4, 0x10, 0x20, 3, 0xffff}
		binary.LittleEndian.PutUint16(p[8:], flags[rnd.IntN(len(flags))])
	}},
	{"count", func(rnd *rand.Rand, p []byte, _ uint64) {
		counts := []uint16{0, 1, 255, 4096, 0xfffe, 0xffff, uint16(rnd.Uint32())}
		binary.LittleEndian.PutUint16(p[10:], counts[rnd.IntN(len(counts))])
	}},
	{"overflow", func(rnd *rand.Rand, p []byte, _ uint64) {
		overflows := []uint32{1, 1000, 0x7fffffff, 0xffffffff, rnd.Uint32()}
		binary.LittleEndian.PutUint32(p[12:], overflows[rnd.IntN(len(overflows))])
	}},
	{"header", func(rnd *rand.Rand, p []byte, _ uint64) { scribble(rnd, p[:pageHeader]) }},
	{"elements", func(rnd *rand.Rand, p []byte, _ uint64) { scribble(rnd, p[pageHeader:pageHeader+64]) }},
	{"an element", func(rnd *rand.Rand, p []byte, _ uint64) {
		at := pageHeader + 4*rnd.IntN(40)
		binary.LittleEndian.PutUint32(p[at:], []uint32{0, 1, 0x7fffffff, 0xffffffff, rnd.Uint32()}[rnd.IntN(5)])
	}},
	{"an element's page", func(rnd *rand.Rand, p []byte, pages uint64) {
		at := pageHeader + 16*rnd.IntN(8) + 8 // of a branch: pos, ksize, pgid
		binary.LittleEndian.PutUint64(p[at:], rnd.Uint64N(pages))
	}},
	{"all", func(rnd *rand.Rand, p []byte, _ uint64) { scribble(rnd, p) }},
}

func scribble(rnd *rand.Rand, p []byte) {
	for i := range p {
		p[i] = byte(rnd.Uint32())
	}
}

// TestPagesThatLieAreAFinding writes nonsense over random pages. Whatever bbolt makes of it, the
// caller gets an error that blames the file, or facts where the page was of no account; never a
// crash of its own, and never a wait without end.
func TestPagesThatLieAreAFinding(t *testing.T) {
	t.Parallel()
	s := take(t, "3.6", true)
	f := file(t, s.bytes)
	meta, err := readMeta(f)
	if err != nil {
		t.Fatalf("readMeta of a sound file: %v", err)
	}
	child, found := bounded(t), 0
	for seed := range filesToSpoil(300) {
		rnd := rand.New(rand.NewPCG(uint64(seed), 13))
		data := bytes.Clone(s.bytes)
		lie := lies[seed%len(lies)]
		for range 1 + rnd.IntN(4) {
			at := rnd.Int64N(meta.pages) * meta.pageBytes
			lie.tell(rnd, data[at:at+meta.pageBytes], uint64(meta.pages))
		}
		if s.wantFinding(t, child, f, data, lie.name, seed) {
			found++
		}
	}
	if found < filesToSpoil(300)/4 {
		t.Errorf("%d of %d files were found to be corrupt, want at least a quarter", found, filesToSpoil(300))
	}
}

// wantFinding inspects data in a child, and says whether it was found to be corrupt.
func (s sample) wantFinding(t *testing.T, child Child, f *os.File, data []byte, lie string, seed int) bool {
	t.Helper()
	refill(t, f, data)
	began := time.Now()
	_, err := child.Inspect(t.Context(), f, Query{Revision: s.rev, CompactRevision: s.compact})
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("seed %d, %s: took %s", seed, lie, took)
	}
	if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrCrashed) {
		t.Errorf("seed %d, %s: %v, want ErrCorrupt or ErrCrashed", seed, lie, err)
	}
	return err != nil
}

// bounded is this very binary as a child that the kernel ends should it go round for ever. Its
// memory is its own to bound, and what the race detector maps forbids a limit from outside.
func bounded(t *testing.T) Child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return script(t, "ulimit -t 25; exec "+exe+` "$@"`)
}

// TestAPageThatPointsAtItselfIsAFinding makes each branch page its own first, last or middle
// child: a walk that trusts it never ends, and may take all memory on its way.
func TestAPageThatPointsAtItselfIsAFinding(t *testing.T) {
	t.Parallel()
	s := take(t, "3.6", false)
	f := file(t, s.bytes)
	meta, err := readMeta(f)
	if err != nil {
		t.Fatalf("readMeta of a sound file: %v", err)
	}
	child, found := bounded(t), 0
	for page := range meta.pages {
		at := page * meta.pageBytes
		const branch = 1
		if binary.LittleEndian.Uint16(s.bytes[at+8:]) != branch {
			continue
		}
		count := int64(binary.LittleEndian.Uint16(s.bytes[at+10:]))
		for _, element := range []int64{0, count / 2, count - 1} {
			data := bytes.Clone(s.bytes)
			binary.LittleEndian.PutUint64(data[at+pageHeader+16*element+8:], uint64(page))
			refill(t, f, data)
			for _, quick := range []bool{true, false} {
				began := time.Now()
				_, err := child.Inspect(t.Context(), f, Query{Quick: quick})
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("child %d of page %d is the page itself, quick %v: took %s", element, page, quick, took.Round(time.Millisecond))
				}
				// The race detector has words of its own for memory that is used up.
				raced := err != nil && strings.Contains(err.Error(), "ThreadSanitizer failed to allocate")
				if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrCrashed) && !raced {
					t.Errorf("child %d of page %d is the page itself, quick %v: %v, want ErrCorrupt or ErrCrashed", element, page, quick, err)
				}
				if err != nil {
					found++
				}
			}
		}
	}
	if found < 4 { // pages that are free may say what they like
		t.Errorf("%d files were found to be corrupt, want those of the page in use", found)
	}
}

// TestOneSoundMetaPageIsEnough: one torn meta page is what a crash leaves, two are the end.
func TestOneSoundMetaPageIsEnough(t *testing.T) {
	t.Parallel()
	s := take(t, "3.6", false)
	f := file(t, s.bytes)
	for _, torn := range []struct {
		first, second bool
	}{{false, false}, {true, false}, {false, true}, {true, true}} {
		data := bytes.Clone(s.bytes)
		if torn.first {
			data[pageHeader+20] ^= 1
		}
		if torn.second {
			data[4096+pageHeader+20] ^= 1
		}
		refill(t, f, data)
		_, err := Child{}.Inspect(t.Context(), f, Query{})
		if both := torn.first && torn.second; both != errors.Is(err, ErrCorrupt) || !both && err != nil {
			t.Errorf("meta pages torn %+v: %v", torn, err)
		}
	}
}

// TestReadMetaRefusesGarbage gives it every length up to 200 bytes, of several kinds.
func TestReadMetaRefusesGarbage(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	f := file(t, nil)
	for n := range 201 {
		noise := make([]byte, n)
		scribble(rnd, noise)
		for _, data := range [][]byte{noise, make([]byte, n), bytes.Repeat([]byte{0xff}, n), soundMeta(4096, 1<<40)[:min(n, 80)]} {
			refill(t, f, data)
			if m, err := readMeta(f); !errors.Is(err, ErrCorrupt) {
				t.Errorf("readMeta of %d bytes %x = %+v, %v; want ErrCorrupt", len(data), data[:min(len(data), 20)], m, err)
			}
		}
	}
}

// TestReadMetaRefusesWhatCannotBe: sums that fit, and sizes that no file has.
func TestReadMetaRefusesWhatCannotBe(t *testing.T) {
	f := file(t, nil)
	for _, c := range []struct {
		name             string
		pageBytes, pages uint64
		refused          bool
	}{
		{"sound", 4096, 1, false},
		{"longer than the file", 4096, 3, true},
		{"pages of no size", 0, 1, true},
		{"tiny pages", 256, 1, true},
		{"huge pages", 128 << 10, 1, true},
		{"more pages than numbers", 4096, 1 << 63, true},
		{"a product that overflows", 64 << 10, 1 << 48, true},
	} {
		data := append(soundMeta(uint32(c.pageBytes), c.pages), make([]byte, 4096)...)
		refill(t, f, data)
		if m, err := readMeta(f); c.refused != errors.Is(err, ErrCorrupt) || !c.refused && err != nil {
			t.Errorf("%s: readMeta = %+v, %v; want refused %v", c.name, m, err, c.refused)
		}
	}
}

// soundMeta is a first meta page whose sum fits.
func soundMeta(pageBytes uint32, pages uint64) []byte {
	le := binary.LittleEndian
	b := make([]byte, pageHeader+metaBytes)
	m := b[pageHeader:]
	le.PutUint32(m[0:], boltMagic)
	le.PutUint32(m[4:], boltVersion)
	le.PutUint32(m[8:], pageBytes)
	le.PutUint64(m[40:], pages)
	le.PutUint64(m[48:], 7)
	sum := fnv.New64a()
	sum.Write(m[:56])
	le.PutUint64(m[56:], sum.Sum64())
	return b
}

// TestEntriesAreParsedOrRefused cuts a revision and a KeyValue at every length.
func TestEntriesAreParsedOrRefused(t *testing.T) {
	key := append(binary.BigEndian.AppendUint64(append(binary.BigEndian.AppendUint64(nil, 7), '_'), 3), 't')
	for n := range len(key) + 1 {
		rev, err := parseRevision(key[:n])
		if sound := n >= 17; sound != (err == nil) || sound && rev != (revision{7, 3, n == 18}) {
			t.Errorf("parseRevision(%x) = %+v, %v", key[:n], rev, err)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("parseRevision(%x): %v, want ErrCorrupt", key[:n], err)
		}
	}
	for _, bad := range [][]byte{append(bytes.Clone(key), 't'), append(bytes.Clone(key[:17]), 'x'), bytes.Replace(key, []byte("_"), []byte("-"), 1), append([]byte{0x80}, key[1:]...)} {
		if _, err := parseRevision(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("parseRevision(%x) = %v, want ErrCorrupt", bad, err)
		}
	}
	kv := mvccpb.KeyValue{Key: []byte("/registry/k"), CreateRevision: 300, ModRevision: 301, Version: 2, Value: []byte("value"), Lease: 9}
	wire, err := proto.Marshal(&kv)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(wire) + 1 {
		name, err := keyOf(wire[:n])
		switch whole := 2 + len(kv.Key); {
		case n >= whole && (err != nil || string(name) != string(kv.Key)):
			t.Errorf("keyOf(%x) = %q, %v; want the key", wire[:n], name, err)
		case n > 0 && n < whole && !errors.Is(err, ErrCorrupt): // an empty one is what a revision bump leaves
			t.Errorf("keyOf(%x) = %q, %v; want ErrCorrupt", wire[:n], name, err)
		}
	}
}
