package buckettest

import (
	"context"
	"errors"

	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// What a store of a test answers.
var (
	ErrTaken   = errors.New("taken")   // a create met an object
	ErrMissing = errors.New("missing") // there is no such object
	ErrBroken  = errors.New("broken by the test")
)

// Base is what every gocloud driver of a test has alike: the meaning of its errors, and the calls that
// nobody makes. Embed it.
type Base struct{}

// ErrorCode serves gocloud.
func (Base) ErrorCode(err error) gcerrors.ErrorCode {
	switch {
	case errors.Is(err, ErrTaken):
		return gcerrors.FailedPrecondition
	case errors.Is(err, ErrMissing):
		return gcerrors.NotFound
	}
	return gcerrors.Unknown
}

// As serves gocloud.
func (Base) As(any) bool { return false }

// ErrorAs serves gocloud.
func (Base) ErrorAs(error, any) bool { return false }

// Close serves gocloud.
func (Base) Close() error { return nil }

// Copy fails.
func (Base) Copy(context.Context, string, string, *driver.CopyOptions) error { return ErrBroken }

// SignedURL fails.
func (Base) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", ErrBroken
}
