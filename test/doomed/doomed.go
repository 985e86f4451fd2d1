// Package doomed runs what must fail a test, for the tests of what tests are made of.
//
//	doomed.Said(t, f) ─▶ f(a test that is not real) ─▶ Fatalf ─▶ what it said
//
// It takes Fatalf alone: a cleanup, an Errorf and all the rest are the real test's.
package doomed

import (
	"fmt"
	"runtime"
	"testing"
)

// Said is what f tells the test by Fatalf, which ends f, or nothing.
func Said(t testing.TB, f func(t testing.TB)) string {
	d := &doomed{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(d)
	}()
	<-done
	return d.said
}

// A doomed test notes how it failed; the code under test never sees that it is not real.
type doomed struct {
	testing.TB
	said string
}

func (d *doomed) Fatalf(format string, args ...any) {
	d.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
