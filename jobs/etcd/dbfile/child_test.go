package dbfile

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestAChildsEndIsToldApart plays children that end in each way.
func TestAChildsEndIsToldApart(t *testing.T) {
	t.Parallel()
	sentinels := []error{ErrCorrupt, ErrCrashed, ErrChild, syscall.ENOSPC}
	for _, c := range []struct {
		name, script string
		want         []error
	}{
		{"is killed", "kill -KILL $$", []error{ErrChild}},
		{"faults", "kill -SEGV $$", []error{ErrCrashed}},
		{"meets a bus error", "kill -BUS $$", []error{ErrCrashed}},
		{"aborts", "kill -ABRT $$", []error{ErrCrashed}},
		{"panics", "echo 'panic: page 7 already freed' >&2; exit 2", []error{ErrCrashed}},
		{"exits 1", "echo no >&2; exit 1", []error{ErrChild}},
		{"exits 1 on a full disk", "echo 'write x: no space left on device' >&2; exit 1", []error{ErrChild, syscall.ENOSPC}},
		{"panics on a full disk", "echo 'panic: write x: no space left on device' >&2; exit 2", []error{ErrChild, syscall.ENOSPC}},
		{"says nothing", "exit 0", []error{ErrChild}},
		{"prints nonsense", "echo 'Segmentation fault'", []error{ErrChild}},
		{"prints an unfinished reply", `echo '{"Facts":{"Revision":7}'`, []error{ErrChild}},
		{"prints a reply that is not done", `echo '{"Facts":{"Revision":7}}'`, []error{ErrChild}},
		{"prints two replies", `echo '{"Facts":{"Revision":7},"Done":true}{}'`, []error{ErrChild}},
		{"is done without facts", `echo '{"Done":true}'`, []error{ErrChild}},
		{"finds the file corrupt", `echo '{"Done":true,"Corrupt":true,"Error":"page 7"}'`, []error{ErrCorrupt}},
		{"answers before it reads", "exec 0<&-; exit 0", []error{ErrChild}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := script(t, c.script).Inspect(t.Context(), file(t, nil), Query{})
			for _, s := range sentinels {
				want := false
				for _, w := range c.want {
					want = want || errors.Is(w, s)
				}
				if errors.Is(err, s) != want {
					t.Errorf("Inspect = %v, want %v in its chain: %v", err, s, want)
				}
			}
		})
	}
	t.Run("does not exist", func(t *testing.T) {
		t.Parallel()
		if _, err := (Child{Exe: "/nowhere/child"}).Inspect(t.Context(), file(t, nil), Query{}); !errors.Is(err, ErrChild) {
			t.Errorf("Inspect = %v, want ErrChild", err)
		}
	})
	t.Run("does its work", func(t *testing.T) {
		t.Parallel()
		facts, err := script(t, `echo '{"Facts":{"Revision":7},"Done":true}'`).Inspect(t.Context(), file(t, nil), Query{})
		if err != nil || facts.Revision != 7 {
			t.Errorf("Inspect = %+v, %v; want what the child said", facts, err)
		}
	})
}

// TestAChildsHeapHasALimit plays a child that answers with its GOMEMLIMIT.
func TestAChildsHeapHasALimit(t *testing.T) {
	t.Parallel()
	child := script(t, `echo "{\"Facts\":{\"Revision\":${GOMEMLIMIT:-0}},\"Done\":true}"`)
	for limit, want := range map[string]int64{"": 0, "67108864": 67108864} {
		child.MemoryLimit = limit
		facts, err := child.Inspect(t.Context(), file(t, nil), Query{})
		if err != nil || facts.Revision != want {
			t.Errorf("with the limit %q the child has %d, %v; want %d", limit, facts.Revision, err, want)
		}
	}
}

// TestAChildEndsWithItsCaller cancels while the child hangs, and while a grandchild holds its
// output open.
func TestAChildEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	mine := errors.New("stopped by hand")
	for name, text := range map[string]string{"hangs": "exec sleep 600", "leaves a grandchild": "sleep 20 & exec sleep 600"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			timer := time.AfterFunc(200*time.Millisecond, func() { stop(mine) })
			defer timer.Stop()
			began := time.Now()
			_, err := script(t, text).Inspect(ctx, file(t, nil), Query{})
			if !errors.Is(err, mine) {
				t.Errorf("Inspect = %v, want the context's cause", err)
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("Inspect took %s to end", took)
			}
		})
	}
}

// TestWhatAChildSaysIsKeptShort: an error is one line, whatever a crash writes.
func TestWhatAChildSaysIsKeptShort(t *testing.T) {
	t.Parallel()
	_, err := script(t, `i=0; while [ $i -lt 5000 ]; do echo "line $i of a long story" >&2; i=$((i+1)); done; exit 2`).Inspect(t.Context(), file(t, nil), Query{})
	if text := fmt.Sprint(err); !errors.Is(err, ErrCrashed) || len(text) > 600 {
		t.Errorf("Inspect = %d bytes %q, want one short line", len(text), text[:min(len(text), 200)])
	} else {
		for _, r := range text {
			if r == '\n' {
				t.Errorf("Inspect = %q, want one line", text)
				break
			}
		}
	}
}
