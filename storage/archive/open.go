package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync/atomic"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// ErrKey marks an archive that no identity at hand opens.
var ErrKey = errors.New("no identity fits")

// ErrNoIdentity marks an encrypted archive that was to be opened without any identity.
var ErrNoIdentity = errors.New("no identity given")

// Expect is what a manifest promises of an archive. Unseal and Prove hold the bytes to each of
// it.
type Expect struct {
	ArchiveBytes   int64
	ArchiveSHA256  string // hex
	SnapshotBytes  int64  // trailer included
	SnapshotSHA256 string // hex
	Codecs         []string

	// found is set where no manifest promises anything: then only the snapshot's own digest
	// and maxBytes hold.
	found bool
}

// Found expects an archive that came without its manifest, and at most maxBytes of snapshot in
// it: only the snapshot's own digest proves it then.
func Found(archiveBytes, maxBytes int64, codecs []string) Expect {
	return Expect{ArchiveBytes: archiveBytes, SnapshotBytes: maxBytes, Codecs: codecs, found: true}
}

// Unseal writes the snapshot inside the archive src to dst, and holds src to its length and
// SHA-256. What dst holds then is proven only when Prove has read it again: hashing it meanwhile
// would take twice the time. Bytes may reach dst before an error: they are a liar's.
//
// The error wraps ErrKey or ErrNoIdentity where no identity fits, and ErrCorrupt where the bytes
// do not; errors of src and dst come back in the chain. Never is more than SnapshotBytes written.
// After an error a read of src may still be under way, until src is closed.
func Unseal(dst io.Writer, src io.Reader, want Expect, ids Identities) error {
	if err := want.check(); err != nil {
		return err
	}
	source, sink := newMeter(src, want.ArchiveBytes), &sink{w: dst}
	err := want.unseal(sink, source, ids)
	switch {
	case sink.err != nil:
		return fmt.Errorf("write snapshot: %w", sink.err)
	case err != nil:
		return source.blame(err)
	}
	return nil
}

// unseal decrypts, decompresses and writes in three goroutines, so that two cores are busy.
func (e Expect) unseal(dst io.Writer, source *meter, ids Identities) error {
	sealed, err := unlock(source, e.Codecs, ids)
	if err != nil {
		return err
	}
	packed := readAhead(sealed, 4, readBytes/4)
	// The decoder's own goroutines were slower than none.
	dec, err := zstd.NewReader(packed, zstd.WithDecoderMaxWindow(windowBytes), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1))
	if err != nil {
		packed.stop()
		return fmt.Errorf("open zstd: %w", err)
	}
	raw := readAhead(&bounded{dec, e.SnapshotBytes}, 3, readBytes)
	defer func() {
		packed.stop() // so that raw, which may wait for it, ends
		raw.stop()
		<-raw.ended
		dec.Close()
	}()
	n, err := io.Copy(dst, raw)
	if err != nil {
		return fmt.Errorf("open archive at snapshot byte %d: %w", n, err)
	}
	if n != e.SnapshotBytes && !e.found {
		return fmt.Errorf("snapshot has %d bytes, %d were promised: %w", n, e.SnapshotBytes, ErrCorrupt)
	}
	return e.end(source)
}

func (e Expect) check() error {
	if e.SnapshotBytes <= sha256.Size || e.ArchiveBytes <= 0 {
		return fmt.Errorf("archive of %d bytes that promises %d: %w", e.ArchiveBytes, e.SnapshotBytes, ErrCorrupt)
	}
	return nil
}

// Unlock reads as much of the archive src as tells whether one of ids opens it. The error wraps
// ErrKey, ErrNoIdentity or ErrCorrupt, or is src's.
func Unlock(src io.Reader, want Expect, ids Identities) error {
	if want.Codecs == nil {
		return nil
	}
	source := newMeter(src, want.ArchiveBytes)
	if _, err := unlock(source, want.Codecs, ids); err != nil {
		return source.blame(err)
	}
	return nil
}

// unlock returns the zstd stream inside src.
func unlock(src io.Reader, codecs []string, ids Identities) (io.Reader, error) {
	switch {
	case slices.Equal(codecs, plainCodecs()):
		return src, nil
	case !slices.Equal(codecs, ageCodecs()):
		return nil, fmt.Errorf("codecs %q are not of this format: %w", codecs, ErrCorrupt)
	case len(ids.list) == 0:
		return nil, fmt.Errorf("open archive: %w", ErrNoIdentity)
	}
	r, err := age.Decrypt(src, ids.list...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, fmt.Errorf("open archive with %d identities: %w", len(ids.list), ErrKey)
	}
	if err != nil {
		return nil, fmt.Errorf("open age: %w", err)
	}
	return r, nil
}

// end holds the archive to its own length and SHA-256, now that it was read to its end.
func (e Expect) end(source *meter) error {
	if _, err := io.Copy(io.Discard, source); err != nil {
		return err //nolint:wrapcheck // blame wraps it
	}
	if source.n != e.ArchiveBytes {
		return fmt.Errorf("archive has %d bytes, %d were promised: %w", source.n, e.ArchiveBytes, ErrCorrupt)
	}
	if got := hex.EncodeToString(source.h.Sum(nil)); got != e.ArchiveSHA256 && !e.found {
		return fmt.Errorf("archive has SHA-256 %s, %s was promised: %w", got, e.ArchiveSHA256, ErrCorrupt)
	}
	return nil
}

// bounded fails with ErrCorrupt where more than left bytes come.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if int64(n) > b.left {
		return int(b.left), fmt.Errorf("snapshot is longer than promised: %w", ErrCorrupt)
	}
	b.left -= int64(n)
	return n, err //nolint:wrapcheck // io.EOF must stay bare
}

// Prove reads a snapshot that Unseal wrote, to its end: it must have the length and SHA-256 that
// were promised, and end in the SHA-256 of the rest. The error wraps ErrCorrupt, or is src's.
func (e Expect) Prove(src io.Reader) error {
	digest := NewDigest()
	if _, err := io.CopyBuffer(digest, src, make([]byte, readBytes)); err != nil {
		return fmt.Errorf("prove snapshot: %w", err)
	}
	if err := digest.Check(); err != nil || e.found {
		return err
	}
	if got := digest.Bytes(); got != e.SnapshotBytes {
		return fmt.Errorf("snapshot has %d bytes, %d were promised: %w", got, e.SnapshotBytes, ErrCorrupt)
	}
	got, err := digest.SHA256()
	if err != nil {
		return err
	}
	if got != e.SnapshotSHA256 {
		return fmt.Errorf("snapshot has SHA-256 %s, %s was promised: %w", got, e.SnapshotSHA256, ErrCorrupt)
	}
	return nil
}

// meter counts and hashes what is read, and keeps the source's own error, so that a broken
// line is told from broken bytes.
type meter struct {
	r   io.Reader
	h   hash.Hash
	n   int64
	err atomic.Pointer[error] // asked for while another goroutine reads
}

// newMeter reads one byte more than most, so that too long is seen.
func newMeter(r io.Reader, most int64) *meter {
	return &meter{r: io.LimitReader(r, most+1), h: sha256.New()}
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.h.Write(p[:n])
	m.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err.Store(&err)
	}
	return n, err
}

// blame returns err as it is where the source broke or the key was at fault, and as
// ErrCorrupt where the bytes were.
func (m *meter) blame(err error) error {
	broke := m.err.Load()
	switch {
	case broke != nil:
		return fmt.Errorf("read archive: %w", *broke)
	case errors.Is(err, ErrKey), errors.Is(err, ErrNoIdentity), errors.Is(err, ErrCorrupt):
		return err
	}
	return fmt.Errorf("%w: %w", err, ErrCorrupt)
}

// sink keeps the destination's own error, so that a full disk is told from broken bytes.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.err = err
	return n, err //nolint:wrapcheck // Unseal wraps it
}

// Sealed returns src, the archive still sealed, held to e's length and SHA-256: its end is
// io.EOF only where both fit, else an error that wraps ErrCorrupt.
func (e Expect) Sealed(src io.Reader) io.Reader {
	return &sealedReader{want: e, src: newMeter(src, e.ArchiveBytes)}
}

type sealedReader struct {
	want Expect
	src  *meter
}

func (s *sealedReader) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if got := hex.EncodeToString(s.src.h.Sum(nil)); s.src.n != s.want.ArchiveBytes || got != s.want.ArchiveSHA256 {
		return n, fmt.Errorf("archive has %d bytes with SHA-256 %s, promised were %d with %s: %w", s.src.n, got, s.want.ArchiveBytes, s.want.ArchiveSHA256, ErrCorrupt)
	}
	return n, io.EOF
}
