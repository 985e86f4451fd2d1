package lock

import (
	"errors"
	"fmt"
	"time"
)

// What callers act on. ErrHeld and ErrStuck come as a *HeldError.
var (
	ErrHeld   = errors.New("lock is held")
	ErrStuck  = errors.New("lock is held for too long")
	ErrCannot = errors.New("lock is not to be had")
	ErrLost   = errors.New("lock was lost")
)

// HeldError is a lock that another holds. It is ErrHeld, and ErrStuck as well where Stuck.
type HeldError struct {
	Holder Claim
	Where  string
	Age    time.Duration // of the holder's claim, by its start and our clock; as of Acquire
	Stuck  bool          // the holder is older than MaxAge, or was waited for in vain
	Skip   bool          // the policy takes this as well: nothing was done, rightly
	Why    string        // of Stuck
}

// Error is one line that names the holder.
func (e *HeldError) Error() string {
	text := fmt.Sprintf("%s: held by %s", e.Where, e.Holder)
	if e.Age > 0 {
		text += fmt.Sprintf(" (%s)", e.Age.Round(time.Second))
	}
	if e.Why != "" {
		text += ": " + e.Why
	}
	return text
}

// Is serves errors.Is.
func (e *HeldError) Is(target error) bool {
	return target == ErrHeld || target == ErrStuck && e.Stuck
}

// Skipped is the refusal inside err if the caller was told to skip then: its job ends well, with
// nothing done. nil: err is something else.
func Skipped(err error) *HeldError {
	var held *HeldError
	if errors.As(err, &held) && held.Skip {
		return held
	}
	return nil
}
