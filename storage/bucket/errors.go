package bucket

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// The errors that callers act on. When the caller's context has ended, an error wraps that
// context's error and none of these.
var (
	// ErrNotExist says that the store answers and has no such object.
	ErrNotExist = errors.New("no such object")
	// ErrExists says that the key is taken, and that what lies there was not touched.
	ErrExists = errors.New("object exists")
	// ErrTooLarge says that an object is larger than the caller is ready to hold.
	ErrTooLarge = errors.New("object too large")
	// ErrVanished says that an object is listed and yet not to be had: it was removed and the listing
	// is old, or it is refused. ErrUnavailable stands beside it.
	ErrVanished = errors.New("listed, yet not to be had")
	// ErrUnavailable marks every other fault of the store itself: out of reach, denied, full,
	// broken, closed. Test for it before context.DeadlineExceeded: a store's client may have run
	// into a deadline of its own, and then the chain holds both.
	ErrUnavailable = errors.New("store unavailable")
)

// Unavailable marks an error from below as the store's own fault, told on one line and without
// credentials. One that is marked already stays as it is.
func Unavailable(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return unavailable(err)
}

// unavailable marks what a store said as its own fault.
func unavailable(err error) error {
	var authority x509.UnknownAuthorityError
	if errors.As(err, &authority) {
		return fmt.Errorf("%w: its certificate is signed by a CA that is not known here (?ca=FILE in the store's URL names one): %w", ErrUnavailable, storeError{err})
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, storeError{err})
}

// fault turns a store's error into one of this package, or into the error of the caller's
// context where that has ended: what a store says then follows from it.
func fault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return unavailable(err)
}

// storeError is an error from below, told on one line and without credentials. Some clients
// put whole URLs into their errors, tokens included, and spread them over many lines.
type storeError struct{ err error }

func (e storeError) Error() string { return redactText(e.err.Error()) }
func (e storeError) Unwrap() error { return e.err }

func redactText(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		words[i] = redactWord(word)
	}
	return strings.Join(words, " ")
}

// redactWord redacts each URL in a word, whatever quotes and punctuation stand around it.
func redactWord(word string) string {
	colon := strings.Index(word, "://")
	if colon < 0 {
		return word
	}
	start := colon - len(schemeBefore(word[:colon]))
	end := len(word)
	if i := strings.IndexAny(word[colon:], "\"'<>`\\"); i >= 0 {
		end = colon + i
	}
	end = start + len(strings.TrimRight(word[start:end], ".,:;)]}"))
	return word[:start] + Redact(word[start:end]) + redactWord(word[end:])
}

// schemeBefore returns the end of text that can be a URL's scheme.
func schemeBefore(text string) string {
	return text[len(strings.TrimRightFunc(text, isSchemeRune)):]
}

func isSchemeRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '+'
}
