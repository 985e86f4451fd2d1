package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrCorrupt marks a manifest, receipt or record whose bytes are not those that were written, or that
// contradicts itself.
var ErrCorrupt = errors.New("corrupt")

// ErrElsewhere marks a sound manifest that is another archive's or cluster's than its name says: an
// ErrCorrupt too, as what should lie there does not.
var ErrElsewhere error = elsewhereError{}

type elsewhereError struct{}

func (elsewhereError) Error() string        { return "it belongs elsewhere" }
func (elsewhereError) Is(target error) bool { return target == ErrCorrupt }

// ErrFormat marks a document of a format that this release does not know.
var ErrFormat = errors.New("unknown format")

// Every document ends in its own SHA-256: taken over all of its bytes with the 64 digits left
// out. The ending is fixed to the byte, so that no flipped bit anywhere can hide.
const (
	sumBefore = "\n  \"sha256\": \""
	sumAfter  = "\"\n}\n"
	sumDigits = 2 * sha256.Size
)

// encode writes v, whose last field is an empty `sha256`, and fills that in.
func encode(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	text = append(text, '\n')
	head, ok := bytes.CutSuffix(text, []byte(sumBefore+sumAfter))
	if !ok {
		return nil, fmt.Errorf("encode %T: last field is not an empty sha256", v)
	}
	sum := sha256.Sum256(text)
	return fmt.Appendf(nil, "%s%s%x%s", head, sumBefore, sum, sumAfter), nil
}

// decode checks the SHA-256 at the end of text, its format, and reads it into v.
func decode(text []byte, v any) error {
	if _, err := checkSum(text); err != nil {
		return err
	}
	if !bytes.HasPrefix(text, []byte(formatHead)) { // read by itself: another format may have other types
		var head struct {
			Format int `json:"format"`
		}
		if err := json.Unmarshal(text, &head); err != nil {
			return fmt.Errorf("%w: %w", err, ErrCorrupt)
		}
		if head.Format != 1 {
			return fmt.Errorf("format %d: %w: this release reads format 1", head.Format, ErrFormat)
		}
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: %w", err, ErrCorrupt)
	}
	return nil
}

// formatHead is how encode begins a document. Thousands are read at once: looking here takes less than
// reading each twice.
const formatHead = "{\n  \"format\": 1,\n"

func checkSum(text []byte) (string, error) {
	tail := len(sumBefore) + sumDigits + len(sumAfter)
	if len(text) < tail {
		return "", fmt.Errorf("%d bytes are no whole document: %w", len(text), ErrCorrupt)
	}
	head, end := text[:len(text)-tail], text[len(text)-tail:]
	digits := end[len(sumBefore) : len(sumBefore)+sumDigits]
	if !bytes.HasPrefix(end, []byte(sumBefore)) || !bytes.HasSuffix(end, []byte(sumAfter)) {
		return "", fmt.Errorf("document does not end in its SHA-256: %w", ErrCorrupt)
	}
	h := sha256.New()
	h.Write(head)
	h.Write([]byte(sumBefore + sumAfter))
	if got := hex.EncodeToString(h.Sum(nil)); got != string(digits) {
		return "", fmt.Errorf("document has SHA-256 %s, it says %q: %w", got, digits, ErrCorrupt)
	}
	return string(digits), nil
}
