package catalog

import (
	"fmt"
	"slices"
	"time"
)

// Level is how deep a verification looked.
type Level string

// The levels, each holding the one before. Drill is written by later releases.
const (
	Stored  Level = "stored"
	Content Level = "content"
	Drill   Level = "drill"
)

// rank orders levels; 0 is no level.
func (l Level) rank() int { return 1 + slices.Index([]Level{Stored, Content, Drill}, l) }

// AtLeast says whether l looked as deep as other.
func (l Level) AtLeast(other Level) bool { return l.rank() > 0 && l.rank() >= other.rank() }

// What opened an archive that was verified.
const (
	KeyNone     = "none"     // it was not opened, or is not encrypted
	KeyRun      = "run"      // the file key that the run which sealed it still held
	KeyIdentity = "identity" // a lasting key: who holds it can restore
)

// Receipt is the record of one verification, format 1.
type Receipt struct {
	Format         int       `json:"format"`
	Archive        ID        `json:"archive"`
	ManifestSHA256 string    `json:"manifestSHA256"`
	Cluster        string    `json:"cluster"`
	Level          Level     `json:"level"`
	OK             bool      `json:"ok"`
	Finding        string    `json:"finding"`
	Key            string    `json:"key"`
	Started        time.Time `json:"started"`
	Finished       time.Time `json:"finished"`
	Tool           Tool      `json:"tool"`

	// SHA256 is taken over the document with this field empty. Encode fills it in.
	SHA256 string `json:"sha256"`
}

// Encode returns the receipt's bytes and sets its SHA256.
func (r *Receipt) Encode() ([]byte, error) {
	r.Format, r.SHA256 = 1, ""
	text, err := encode(r)
	if err != nil {
		return nil, fmt.Errorf("receipt for %s: %w", r.Archive, err)
	}
	if r.SHA256, err = checkSum(text); err != nil {
		return nil, fmt.Errorf("receipt for %s: %w", r.Archive, err)
	}
	return text, nil
}

// DecodeReceipt reads a receipt for archive id of cluster. It refuses as DecodeManifest does.
func DecodeReceipt(text []byte, cluster string, id ID) (Receipt, error) {
	var r Receipt
	if err := decode(text, &r); err != nil {
		return Receipt{}, fmt.Errorf("receipt for %s: %w", id, err)
	}
	switch {
	case r.Archive != id:
		return Receipt{}, fmt.Errorf("receipt for %s: it is for archive %q: %w", id, r.Archive, ErrCorrupt)
	case r.Cluster != cluster:
		return Receipt{}, fmt.Errorf("receipt for %s: it is for cluster %q: %w", id, r.Cluster, ErrCorrupt)
	case r.Level.rank() == 0:
		return Receipt{}, fmt.Errorf("receipt for %s: level %q is not known: %w", id, r.Level, ErrCorrupt)
	}
	return r, nil
}
