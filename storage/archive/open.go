package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// ErrKey marks an archive that no identity at hand opens.
var ErrKey = errors.New("no identity fits")

// ErrNoIdentity marks an encrypted archive that was to be opened without any identity.
var ErrNoIdentity = errors.New("no identity given")

// Expect is what a manifest promises of an archive. Open holds the bytes to each of it.
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

// Reader yields the snapshot inside an archive. Its bytes are proven only when Read has
// returned io.EOF: until then they may be a liar's. Close it to free the decoder; closing
// does not close the source. It is not safe for two goroutines.
type Reader struct {
	want   Expect
	source *meter
	zstd   *zstd.Decoder
	digest *Digest

	decoded int64
	err     error
}

// Open begins to read the archive in src, promised to be want. The error wraps ErrKey where no
// identity fits, and ErrCorrupt where the bytes do not; errors of src come back in the chain.
// No more than SnapshotBytes+1 bytes are ever decompressed.
func Open(src io.Reader, want Expect, ids Identities) (*Reader, error) {
	if err := want.check(); err != nil {
		return nil, err
	}
	source := &meter{r: io.LimitReader(src, want.ArchiveBytes+1), h: sha256.New()}
	packed, err := unlock(source, want.Codecs, ids)
	if err != nil {
		return nil, source.blame(err)
	}
	// One goroutine: WriteTo gives the other core to the digest, and the decoder's own
	// goroutines were slower than none.
	dec, err := zstd.NewReader(packed, zstd.WithDecoderMaxWindow(windowBytes), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, source.blame(fmt.Errorf("open zstd: %w", err))
	}
	return &Reader{want: want, source: source, zstd: dec, digest: NewDigest()}, nil
}

func (e Expect) check() error {
	if e.SnapshotBytes <= sha256.Size || e.ArchiveBytes <= 0 {
		return fmt.Errorf("archive of %d bytes that promises %d: %w", e.ArchiveBytes, e.SnapshotBytes, ErrCorrupt)
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

// Read implements io.Reader. After an error it goes on returning that error.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.decode(p)
	r.digest.take(p[:n])
	if errors.Is(err, io.EOF) {
		r.err = r.end()
	}
	return n, r.err
}

// WriteTo implements io.WriterTo, for io.Copy: a goroutine of its own hashes while the next
// bytes are decompressed. An error of w comes back in the chain. It does not return before
// that goroutine has ended.
func (r *Reader) WriteTo(w io.Writer) (total int64, err error) {
	buffers := [2][]byte{make([]byte, readBytes), make([]byte, readBytes)}
	hashed := make(chan struct{}, 1)
	hashed <- struct{}{}
	for i := 0; ; i++ {
		p := buffers[i%2]
		n, err := r.fill(p)
		<-hashed
		go func() { r.digest.take(p[:n]); hashed <- struct{}{} }()
		written, writeErr := w.Write(p[:n])
		total += int64(written)
		if err == nil && writeErr == nil {
			continue
		}
		<-hashed
		if writeErr != nil {
			return total, fmt.Errorf("write snapshot: %w", writeErr)
		}
		if errors.Is(err, io.EOF) {
			r.err = r.end()
		}
		if errors.Is(r.err, io.EOF) {
			return total, nil
		}
		return total, r.err
	}
}

// fill reads until p is full or the snapshot ends.
func (r *Reader) fill(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.decode(p[n:])
		n += more
	}
	return n, err
}

// decode returns the next bytes; nobody has looked at them yet. At the end it returns io.EOF
// without setting r.err, which end does.
func (r *Reader) decode(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.zstd.Read(p)
	r.decoded += int64(n)
	if r.decoded > r.want.SnapshotBytes {
		r.err = fmt.Errorf("snapshot is longer than the %d bytes promised: %w", r.want.SnapshotBytes, ErrCorrupt)
		return 0, r.err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = r.source.blame(fmt.Errorf("read archive at snapshot byte %d: %w", r.decoded, err))
		err = r.err
	}
	return n, err
}

// end compares what passed with what was promised: io.EOF where all fits.
func (r *Reader) end() error {
	if _, err := io.Copy(io.Discard, r.source); err != nil {
		return r.source.blame(err)
	}
	if got := r.source.n; got != r.want.ArchiveBytes {
		return fmt.Errorf("archive has %d bytes, %d were promised: %w", got, r.want.ArchiveBytes, ErrCorrupt)
	}
	if err := r.digest.Check(); err != nil {
		return err
	}
	if r.want.found {
		return io.EOF
	}
	if got := hex.EncodeToString(r.source.h.Sum(nil)); got != r.want.ArchiveSHA256 {
		return fmt.Errorf("archive has SHA-256 %s, %s was promised: %w", got, r.want.ArchiveSHA256, ErrCorrupt)
	}
	if got := r.digest.Bytes(); got != r.want.SnapshotBytes {
		return fmt.Errorf("snapshot has %d bytes, %d were promised: %w", got, r.want.SnapshotBytes, ErrCorrupt)
	}
	got, err := r.digest.SHA256()
	if err != nil {
		return err
	}
	if got != r.want.SnapshotSHA256 {
		return fmt.Errorf("snapshot has SHA-256 %s, %s was promised: %w", got, r.want.SnapshotSHA256, ErrCorrupt)
	}
	return io.EOF
}

// Close frees the decoder.
func (r *Reader) Close() error {
	r.zstd.Close()
	if r.err == nil {
		r.err = errors.New("archive reader is closed")
	}
	return nil
}

// meter counts and hashes what is read, and keeps the source's own error, so that a broken
// line is told from broken bytes.
type meter struct {
	r   io.Reader
	h   hash.Hash
	n   int64
	err error
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.h.Write(p[:n])
	m.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

// blame returns err as it is where the source broke or the key was at fault, and as
// ErrCorrupt where the bytes were.
func (m *meter) blame(err error) error {
	switch {
	case m.err != nil:
		return fmt.Errorf("read archive: %w", m.err)
	case errors.Is(err, ErrKey), errors.Is(err, ErrNoIdentity), errors.Is(err, ErrCorrupt):
		return err
	}
	return fmt.Errorf("%w: %w", err, ErrCorrupt)
}

// Sealed returns src, the archive still sealed, held to e's length and SHA-256: its end is
// io.EOF only where both fit, else an error that wraps ErrCorrupt.
func (e Expect) Sealed(src io.Reader) io.Reader {
	return &sealedReader{want: e, src: &meter{r: io.LimitReader(src, e.ArchiveBytes+1), h: sha256.New()}}
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
