package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
)

// ErrCorrupt marks bytes that are not what they were promised to be: a digest, a length or a
// structure that does not fit. Reading them again will not help.
var ErrCorrupt = errors.New("corrupt")

// Digest checks a snapshot while its bytes pass: the last 32 must be the SHA-256 of the rest.
// The zero value is not usable; it is not safe for two goroutines.
type Digest struct {
	body  hash.Hash
	tail  [sha256.Size]byte // the last n bytes seen, not yet in body
	n     int
	total int64
}

// NewDigest returns a Digest that has seen nothing.
func NewDigest() *Digest {
	return &Digest{body: sha256.New()}
}

// Write takes the next bytes of the snapshot. It never fails.
func (d *Digest) Write(p []byte) (int, error) {
	d.take(p)
	return len(p), nil
}

// take holds back the last 32 bytes: they may be the trailer.
func (d *Digest) take(p []byte) {
	d.total += int64(len(p))
	if len(p) >= len(d.tail) {
		d.body.Write(d.tail[:d.n])
		d.body.Write(p[:len(p)-len(d.tail)])
		d.n = copy(d.tail[:], p[len(p)-len(d.tail):])
		return
	}
	if spill := d.n + len(p) - len(d.tail); spill > 0 {
		d.body.Write(d.tail[:spill])
		d.n = copy(d.tail[:], d.tail[spill:d.n])
	}
	d.n += copy(d.tail[d.n:], p)
}

// Bytes is how many bytes were written, the trailer among them.
func (d *Digest) Bytes() int64 { return d.total }

// SHA256 is the SHA-256 of all bytes written, trailer included, in hex: what sha256sum says
// of the snapshot as a file.
func (d *Digest) SHA256() (string, error) {
	whole, err := d.body.(hash.Cloner).Clone()
	if err != nil {
		return "", fmt.Errorf("clone SHA-256 state: %w", err)
	}
	whole.Write(d.tail[:d.n])
	return hex.EncodeToString(whole.Sum(nil)), nil
}

// Check says whether what was written so far is a whole snapshot. The error wraps ErrCorrupt.
func (d *Digest) Check() error {
	if d.total <= sha256.Size {
		return fmt.Errorf("snapshot of %d bytes is too short to hold a digest: %w", d.total, ErrCorrupt)
	}
	if [sha256.Size]byte(d.body.Sum(nil)) != d.tail {
		return fmt.Errorf("snapshot of %d bytes does not end in the SHA-256 of the rest: %w", d.total, ErrCorrupt)
	}
	return nil
}
