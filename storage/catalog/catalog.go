package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// ErrConflict marks a name under which other bytes lie than those to be written.
var ErrConflict = errors.New("other bytes lie under that name")

// Catalog is the archives of one cluster in one store. It is safe for several goroutines.
type Catalog struct {
	// Now is our own clock, by which Find tells the future besides the store's; nil: by the store's alone.
	Now func() time.Time

	store   *bucket.Bucket
	cluster string
	keys    keys
}

// Open returns the catalogue of cluster in store, which stays the caller's to close. Nothing
// is read yet. The error wraps ErrBadName.
func Open(store *bucket.Bucket, cluster string) (*Catalog, error) {
	if err := CheckCluster(cluster); err != nil {
		return nil, err
	}
	return &Catalog{store: store, cluster: cluster, keys: keys{cluster}}, nil
}

// Cluster is the cluster's name.
func (c *Catalog) Cluster() string { return c.cluster }

// URL is the store's, safe to print.
func (c *Catalog) URL() string { return c.store.URL() }

// Notes is what a person should know of how the store is used.
func (c *Catalog) Notes() []string { return c.store.Notes() }

// Entry is one archive as the LIST of manifests tells it.
type Entry struct {
	ID      ID
	Written time.Time // by the store's clock
}

// maxAhead is how far the time in a name may lie ahead of a clock.
const maxAhead = 5 * time.Minute

// Future says whether the archive claims to have been taken later than it was written, or than now by
// our own clock, unless that is zero: the store's may have been wrong too.
func (e Entry) Future(now time.Time) bool {
	return isAhead(e.ID.Time(), e.Written, now)
}

func isAhead(at, written, now time.Time) bool {
	return at.After(written.Add(maxAhead)) || !now.IsZero() && at.After(now.Add(maxAhead))
}

// now is our own clock, or zero.
func (c *Catalog) now() time.Time {
	if c.Now == nil {
		return time.Time{}
	}
	return c.Now()
}

// List returns all archives, newest first, by one LIST. Objects with other names are none.
func (c *Catalog) List(ctx context.Context) ([]Entry, error) {
	var out []Entry
	for obj, err := range c.store.List(ctx, c.keys.manifests()) {
		if err != nil {
			return nil, fmt.Errorf("list archives of %q in %s: %w", c.cluster, c.store.URL(), err)
		}
		if id, ok := c.keys.parseManifest(obj.Key); ok {
			out = append(out, Entry{ID: id, Written: obj.ModTime})
		}
	}
	slices.Reverse(out)
	return out, nil
}

// Manifest reads one manifest. The error wraps bucket.ErrNotExist where there is no such
// archive, and ErrCorrupt or ErrFormat as DecodeManifest tells.
func (c *Catalog) Manifest(ctx context.Context, id ID) (Manifest, error) {
	m, _, err := c.ManifestText(ctx, id)
	return m, err
}

// ManifestText is Manifest, and the document as it lies in the store, with fields that this
// release does not know.
func (c *Catalog) ManifestText(ctx context.Context, id ID) (Manifest, []byte, error) {
	text, _, err := c.store.ReadAll(ctx, c.keys.manifest(id), maxDocument)
	if errors.Is(err, bucket.ErrTooLarge) {
		return Manifest{}, nil, fmt.Errorf("manifest %s in %s: %w: %w", id, c.store.URL(), err, ErrCorrupt)
	}
	if err != nil {
		return Manifest{}, nil, fmt.Errorf("read manifest %s in %s: %w", id, c.store.URL(), err)
	}
	m, err := DecodeManifest(text, c.cluster, id)
	return m, text, err
}

// putArchive uploads the sealed bytes of archive id. It exists only after commit. Where bytes lie
// under that name already, taken: an answer may have been lost, and whoever reads back will see
// whose they are.
func (c *Catalog) putArchive(ctx context.Context, id ID, codecs []string, sealed io.ReaderAt, size int64) (taken bool, err error) {
	err = c.store.Put(ctx, c.keys.archive(id, codecs), sealed, size, true)
	if taken = errors.Is(err, bucket.ErrExists); err != nil && !taken {
		return false, fmt.Errorf("store archive %s in %s: %w", id, c.store.URL(), err)
	}
	return taken, nil
}

// OpenArchive reads the sealed bytes of archive id from the store. The caller closes.
func (c *Catalog) OpenArchive(ctx context.Context, id ID, codecs []string) (io.ReadCloser, bucket.Object, error) {
	r, obj, err := c.store.Open(ctx, c.keys.archive(id, codecs))
	if err != nil {
		return nil, obj, fmt.Errorf("read archive %s in %s: %w", id, c.store.URL(), err)
	}
	return r, obj, nil
}

// Commit writes the manifest, create-only: the archive exists from here on. Where the store's
// answer was lost and our own bytes lie there, that is success; other bytes are ErrConflict.
func (c *Catalog) Commit(ctx context.Context, m Manifest) error {
	text, err := m.Encode()
	if err != nil {
		return err
	}
	return c.commit(ctx, m.ID, text)
}

func (c *Catalog) commit(ctx context.Context, id ID, text []byte) error {
	if err := c.create(ctx, c.keys.manifest(id), text, true); err != nil {
		return fmt.Errorf("commit %s in %s: %w", id, c.store.URL(), err)
	}
	return nil
}

// PutReceipt writes a receipt; suffix, 4 hex digits, tells apart those of the same second.
func (c *Catalog) PutReceipt(ctx context.Context, r Receipt, suffix string) error {
	text, err := r.Encode()
	if err != nil {
		return err
	}
	if err := c.create(ctx, c.keys.receipt(r, suffix), text, false); err != nil {
		return fmt.Errorf("write receipt for %s in %s: %w", r.Archive, c.store.URL(), err)
	}
	return nil
}

// create writes a small object that must not exist yet, and settles doubtful answers by
// reading back.
func (c *Catalog) create(ctx context.Context, key string, text []byte, retained bool) error {
	err := c.store.Put(ctx, key, bytes.NewReader(text), int64(len(text)), retained)
	if err == nil || ctx.Err() != nil {
		return err
	}
	there, _, readErr := c.store.ReadAll(ctx, key, maxDocument)
	switch {
	case readErr != nil:
		return errors.Join(err, readErr)
	case bytes.Equal(there, text):
		return nil
	}
	return fmt.Errorf("%w: %w", err, ErrConflict)
}

// putRecovery writes RECOVERY.md once; where it lies already it is left as it is.
func (c *Catalog) putRecovery(ctx context.Context) error {
	err := c.store.Put(ctx, c.keys.recovery(), strings.NewReader(recoveryText), int64(len(recoveryText)), false)
	if err != nil && !errors.Is(err, bucket.ErrExists) {
		return fmt.Errorf("write RECOVERY.md in %s: %w", c.store.URL(), err)
	}
	return nil
}

// Receipts reads the receipts of archive id, oldest first, of at least the given level.
// Receipts that are corrupt or of another format come back as an error each, after those that
// are sound.
func (c *Catalog) Receipts(ctx context.Context, id ID, least Level) ([]Receipt, error) {
	var out []Receipt
	var faults []error
	for obj, err := range c.store.List(ctx, c.keys.receipts(id)) {
		if err != nil {
			return nil, fmt.Errorf("list receipts of %s in %s: %w", id, c.store.URL(), err)
		}
		if level, _, ok := parseReceipt(obj.Key); !ok || !level.AtLeast(least) {
			continue
		}
		r, err := c.receiptAt(ctx, id, obj.Key)
		switch {
		case isPassed(err):
			faults = append(faults, err)
		case err != nil:
			return nil, err
		default:
			out = append(out, r)
		}
	}
	return out, errors.Join(faults...)
}

// receiptAt reads one. Where it is corrupt or of another format, the error says so.
func (c *Catalog) receiptAt(ctx context.Context, id ID, key string) (Receipt, error) {
	text, _, err := c.store.ReadAll(ctx, key, maxDocument)
	if errors.Is(err, bucket.ErrTooLarge) {
		return Receipt{}, fmt.Errorf("%q: %w: %w", key, err, ErrCorrupt)
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("read receipt %q in %s: %w", key, c.store.URL(), err)
	}
	r, err := DecodeReceipt(text, c.cluster, id)
	if err != nil {
		return Receipt{}, fmt.Errorf("%q: %w", key, err)
	}
	return r, nil
}

// Verified is the deepest level at which the newest verification of m found nothing wrong, or
// "", and what opened it then. A newer failure at a level takes away an older success at it. Receipts
// for other bytes of the manifest, and corrupt ones, do not count.
func (c *Catalog) Verified(ctx context.Context, m Manifest) (level Level, key string, err error) {
	receipts, err := c.Receipts(ctx, m.ID, Stored)
	if err != nil && receipts == nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) {
		return "", "", err
	}
	level, key = verified(receipts, m.SHA256)
	return level, key, nil
}

// Failed is what the newest receipt of m found wrong, or "" where it is sound, there is none, or
// it cannot be read.
func (c *Catalog) Failed(ctx context.Context, m Manifest) string {
	receipts, _ := c.Receipts(ctx, m.ID, Stored) // a mark, no proof
	return finding(receipts, m.SHA256)
}

func finding(receipts []Receipt, manifestSHA256 string) string {
	for _, r := range slices.Backward(receipts) {
		if r.ManifestSHA256 == manifestSHA256 {
			return r.Finding
		}
	}
	return ""
}

// verified looks from the newest receipt back: a failure rules out its own level and those
// above it for everything older. Of two at one level, that by a lasting key tells more.
func verified(receipts []Receipt, manifestSHA256 string) (Level, string) {
	var best Receipt
	ceiling := Drill.rank() + 1
	for _, r := range slices.Backward(receipts) {
		switch {
		case r.ManifestSHA256 != manifestSHA256:
		case !r.OK:
			ceiling = min(ceiling, r.Level.rank())
		case r.Level.rank() < ceiling && (r.Level.rank() > best.Level.rank() || r.Level == best.Level && best.Key == KeyRun):
			best = r
		}
	}
	return best.Level, best.Key
}
