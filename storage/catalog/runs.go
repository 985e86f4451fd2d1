package catalog

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// Run is the record of a run that a schedule began, or, before that, one process's claim to it, format 1.
type Run struct {
	Format   int       `json:"format"`
	Cluster  string    `json:"cluster"`
	Line     string    `json:"line"`          // of the schedule: its jobs, as "snapshot,verify"
	Job      string    `json:"job,omitempty"` // absent in a claim, which is for the whole line
	Slot     time.Time `json:"slot"`          // when it was due, to the second
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Result   string    `json:"result,omitempty"` // as the job's report tells it
	ExitCode int       `json:"exitCode"`
	Runner
	Holder  string `json:"holder,omitempty"` // of a claim: drawn by Holder, so that no other document is the same
	Version string `json:"version"`

	// SHA256 is taken over the document with this field empty. Encode fills it in.
	SHA256 string `json:"sha256"`
}

// Record is a Run by the name of its object alone.
type Record struct {
	Job    string // "": a claim
	Line   string // of a claim; "": a run's record
	Slot   time.Time
	Object bucket.Object
}

// Future says whether the slot is later than the store took the record: whose clock was ahead when it
// was written is not known.
func (r Record) Future() bool { return isAhead(r.Slot, r.Object.ModTime, time.Time{}) }

// Holder draws what makes a claim its process's own; random yields 16 bytes.
func Holder(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("draw holder: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// Encode returns the record's bytes and sets its SHA256.
func (r *Run) Encode() ([]byte, error) {
	r.Format, r.SHA256 = 1, ""
	r.Slot, r.Started, r.Finished = r.Slot.UTC(), r.Started.UTC(), r.Finished.UTC()
	text, err := encode(r)
	if err != nil {
		return nil, fmt.Errorf("run of %q: %w", r.Line, err)
	}
	if r.SHA256, err = checkSum(text); err != nil {
		return nil, fmt.Errorf("run of %q: %w", r.Line, err)
	}
	return text, nil
}

// DecodeRun reads what lies in cluster's store under the name that at tells. It refuses as DecodeManifest
// does.
func DecodeRun(text []byte, cluster string, at Record) (Run, error) {
	var r Run
	if err := decode(text, &r); err != nil {
		return Run{}, fmt.Errorf("record %q: %w", at.Object.Key, err)
	}
	switch {
	case r.Cluster != cluster:
		return Run{}, fmt.Errorf("record %q: it is for cluster %q: %w", at.Object.Key, r.Cluster, ErrCorrupt)
	case r.Job != at.Job || at.Job == "" && r.Line != at.Line || !r.Slot.Equal(at.Slot):
		return Run{}, fmt.Errorf("record %q: it is of another run: %w", at.Object.Key, ErrCorrupt)
	}
	return r, nil
}

// PutRun writes the record of a run; suffix, 4 hex digits, tells apart those of one slot. The error wraps
// ErrBadName where job or slot make no name.
func (c *Catalog) PutRun(ctx context.Context, r Run, suffix string) error {
	r.Cluster, r.Slot = c.cluster, r.Slot.Truncate(time.Second)
	key, err := c.keys.run(r, suffix)
	if err != nil {
		return err
	}
	text, err := r.Encode()
	if err != nil {
		return err
	}
	if err := c.create(ctx, key, text, false); err != nil {
		return fmt.Errorf("write record of %s in %s: %w", r.Job, c.URL(), err)
	}
	return nil
}

// ClaimSlot says whether what is due of line at slot is the caller's to do: of all that ever ask the
// same store, one wins. r says who asks; its Holder is drawn anew for each slot, and asking again with
// the same r is told the same, also where the store's answer was lost. After an error nobody
// knows: ask again, or leave the slot. The error wraps ErrBadName where line, slot or Holder make no
// claim.
func (c *Catalog) ClaimSlot(ctx context.Context, line string, slot time.Time, r Run) (won bool, err error) {
	r.Cluster, r.Line, r.Job, r.Slot = c.cluster, line, "", slot.Truncate(time.Second)
	key, err := c.keys.claim(r)
	if err != nil {
		return false, err
	}
	if r.Holder == "" {
		return false, fmt.Errorf("claim of %q: holder %q: %w", line, r.Holder, ErrBadName)
	}
	text, err := r.Encode()
	if err != nil {
		return false, err
	}
	err = c.create(ctx, key, text, false)
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("claim %s of %s in %s: %w", line, r.Slot.Format(time.RFC3339), c.URL(), err)
	}
	return true, nil
}

// Claim reads whose a slot is. The error wraps bucket.ErrNotExist where nobody claimed it, ErrBadName where line makes no
// name, and ErrCorrupt or ErrFormat as DecodeRun tells.
func (c *Catalog) Claim(ctx context.Context, line string, slot time.Time) (Run, error) {
	slot = slot.Truncate(time.Second)
	key, err := c.keys.claim(Run{Line: line, Slot: slot})
	if err != nil {
		return Run{}, err
	}
	return c.ReadRun(ctx, Record{Line: line, Slot: slot, Object: bucket.Object{Key: key}})
}

// Runs is what lies under runs/, by names: claims and records, each oldest first. Objects with other
// names are none.
func (c *Catalog) Runs(ctx context.Context) ([]Record, error) { return c.records(ctx, c.keys.runs()) }

func (c *Catalog) records(ctx context.Context, prefix string) (out []Record, err error) {
	for obj, err := range c.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list runs of %q in %s: %w", c.cluster, c.URL(), err)
		}
		if r, ok := c.keys.parseRun(obj.Key); ok {
			r.Object = obj
			out = append(out, r)
		}
	}
	return out, nil
}

// ReadRun reads one of Runs. The error wraps bucket.ErrNotExist where it is gone by now, and ErrCorrupt
// or ErrFormat as DecodeRun tells.
func (c *Catalog) ReadRun(ctx context.Context, r Record) (Run, error) {
	text, _, err := c.store.ReadAll(ctx, r.Object.Key, maxDocument)
	if errors.Is(err, bucket.ErrTooLarge) {
		return Run{}, fmt.Errorf("record %q: %w: %w", r.Object.Key, err, ErrCorrupt)
	}
	if err != nil {
		return Run{}, fmt.Errorf("read record %q in %s: %w", r.Object.Key, c.URL(), err)
	}
	return DecodeRun(text, c.cluster, r)
}

// LastRun is the newest slot for which a run of job is recorded, whatever came of it, and zero where there
// is none. What is in the future of the store's clock or ours does not count, as in Find.
func (c *Catalog) LastRun(ctx context.Context, job string) (slot time.Time, err error) {
	records, err := c.records(ctx, c.keys.runsOf(job))
	for _, r := range records {
		slot = c.later(slot, r.Slot, r.Object)
	}
	return slot, err
}

// LastSnapshot is when the newest archive was taken, suspect or not, and zero where there is none; as
// LastRun.
func (c *Catalog) LastSnapshot(ctx context.Context) (time.Time, error) {
	entries, err := c.List(ctx)
	for _, e := range entries { // newest first
		if !e.Future(c.now()) {
			return e.ID.Time(), nil
		}
	}
	return time.Time{}, err
}

// LastReceipt is when the newest receipt was written, whatever it says, and zero where there is none; as
// LastRun.
func (c *Catalog) LastReceipt(ctx context.Context) (at time.Time, err error) {
	for obj, err := range c.store.List(ctx, c.keys.allReceipts()) {
		if err != nil {
			return time.Time{}, fmt.Errorf("list receipts of %q in %s: %w", c.cluster, c.URL(), err)
		}
		if _, written, ok := parseReceipt(obj.Key); ok && c.keys.parse(obj.Key) != "" {
			at = c.later(at, written, obj)
		}
	}
	return at, nil
}

// later is the later of two times, unless what obj's name says is in the future.
func (c *Catalog) later(than, at time.Time, obj bucket.Object) time.Time {
	if at.After(than) && !isAhead(at, obj.ModTime, c.now()) {
		return at
	}
	return than
}
