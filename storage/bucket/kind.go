package bucket

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"gocloud.dev/gcerrors"
	"golang.org/x/sys/unix"
)

// Kind is what a kind of store knows of itself. The zero value is a store that never gives a
// second chance, such as a folder: what failed there once fails again.
type Kind struct {
	// Again says of a store's error whether the same call may well succeed a little later.
	Again func(error) bool
	// Taken says of a store's error that a create met an object; by gocloud's code where nil.
	Taken func(error) bool
	// Refuses says of a store's error that it takes no object from us, for lack of space or of the
	// right; by a file system's errors where nil.
	Refuses func(error) bool
	// Settle is told of an upload that failed for good. Where the store will be written to in another
	// way from now on, it says in which, for people to read; else "".
	Settle func(ctx context.Context, err error) string
	// BeforeWrite is gocloud's hook of an upload; retained says that the object is to be locked.
	BeforeWrite func(as func(any) bool, retained bool) error

	// What some kinds of store can do besides; nil: this one cannot.
	LockedUntil func(ctx context.Context, key string) (time.Time, error)
	Lock        func(ctx context.Context, key string, until time.Time) error
	Versioned   func(ctx context.Context) bool
	Unfinished  func(ctx context.Context, prefix string) ([]Unfinished, error)
	Abort       func(ctx context.Context, u Unfinished) error
	Facts       func(ctx context.Context) []Fact
	Identity    string // 8 hex digits, different for each who uses the store

	// Parts of 8 MiB are under way at once in one upload; 3 where 0.
	Parts int
	// Stall is how long a store may take or give nothing; a minute where 0.
	Stall time.Duration
	// Pause is the first one between two tries of a call; half a second where 0.
	Pause time.Duration
}

// taken tells whether a create-only write met an object. Every gocloud driver says so by
// FailedPrecondition, and that of Google says it of other refusals too.
func (k Kind) taken(err error) bool {
	if k.Taken != nil {
		return k.Taken(err)
	}
	code := gcerrors.Code(err)
	return code == gcerrors.FailedPrecondition || code == gcerrors.AlreadyExists
}

func (k Kind) refuses(err error) bool {
	if k.Refuses != nil {
		return k.Refuses(err)
	}
	return slices.ContainsFunc([]error{unix.ENOSPC, unix.EDQUOT, unix.EROFS, fs.ErrPermission}, func(is error) bool { return errors.Is(err, is) })
}

func (k Kind) parts() int {
	if k.Parts <= 0 {
		return uploadParts
	}
	return k.Parts
}

func (k Kind) stall() time.Duration {
	if k.Stall <= 0 {
		return time.Minute
	}
	return k.Stall
}

func (k Kind) pause() time.Duration {
	if k.Pause <= 0 {
		return 500 * time.Millisecond
	}
	return k.Pause
}
