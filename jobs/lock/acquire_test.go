package lock

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// testAcquire has a holder for each case: one that lives, old or young, or one that died.
func testAcquire(t *testing.T, r rig) {
	old := func(job string) Claim {
		c := claim(job)
		c.Started = c.Started.Add(-3 * time.Hour)
		return c
	}
	policy := func(what IfLocked) Policy { return Policy{IfLocked: what, Poll: 200 * time.Millisecond} }
	refused := func(t *testing.T, p Policy, c Claim) (*HeldError, error) {
		t.Helper()
		held, err := Acquire(t.Context(), r.locker(), c, p)
		if err == nil {
			release(t, held)
			t.Fatal("Acquire succeeded, want a refusal")
		}
		var refusal *HeldError
		if !errors.As(err, &refusal) {
			t.Fatalf("Acquire = %v, want a refusal", err)
		}
		return refusal, err
	}
	t.Run("skip a young one", func(t *testing.T) {
		holder := take(t, r.locker(), claim("defrag"))
		defer release(t, holder)
		refusal, err := refused(t, policy(Skip), claim("snapshot"))
		if Skipped(err) != refusal || errors.Is(err, ErrStuck) || refusal.Holder != holder.Claim() {
			t.Errorf("Acquire = %v, want a skip", err)
		}
	})
	t.Run("skip after patience", func(t *testing.T) {
		holder := take(t, r.locker(), claim("defrag"))
		defer release(t, holder)
		p := policy(Skip)
		p.Patience = time.Second
		began := time.Now()
		if _, err := refused(t, p, claim("snapshot")); Skipped(err) == nil || time.Since(began) < p.Patience {
			t.Errorf("Acquire = %v after %v, want a skip after %v", err, time.Since(began), p.Patience)
		}
		p.Patience = time.Minute
		go func() { <-time.After(300 * time.Millisecond); _ = holder.Release(context.WithoutCancel(t.Context())) }()
		held, err := Acquire(t.Context(), r.locker(), claim("snapshot"), p)
		if err != nil {
			t.Fatalf("Acquire = %v, want the lock, which was released meanwhile", err)
		}
		release(t, held)
	})
	t.Run("fail at a young one", func(t *testing.T) {
		holder := take(t, r.locker(), claim("defrag"))
		defer release(t, holder)
		if _, err := refused(t, policy(Fail), claim("snapshot")); Skipped(err) != nil || !errors.Is(err, ErrHeld) || errors.Is(err, ErrStuck) {
			t.Errorf("Acquire = %v, want ErrHeld", err)
		}
	})
	t.Run("an old one that lives is stuck", func(t *testing.T) {
		holder := take(t, r.locker(), old("defrag"))
		defer release(t, holder)
		began := time.Now()
		refusal, err := refused(t, policy(Skip), claim("snapshot"))
		if !errors.Is(err, ErrStuck) || Skipped(err) != nil || refusal.Age < 3*time.Hour || time.Since(began) < shortLease {
			t.Errorf("Acquire = %v after %v, want ErrStuck after a lease", err, time.Since(began))
		}
		p := policy(Skip)
		p.MaxAge = 4 * time.Hour
		if _, err := refused(t, p, claim("snapshot")); Skipped(err) == nil {
			t.Errorf("with a greater age: %v, want a skip", err)
		}
	})
	t.Run("one from the future is stuck", func(t *testing.T) {
		c := claim("defrag")
		c.Started = c.Started.Add(3 * time.Hour)
		defer release(t, take(t, r.locker(), c))
		if _, err := refused(t, policy(Skip), claim("snapshot")); !errors.Is(err, ErrStuck) {
			t.Errorf("Acquire = %v, want ErrStuck", err)
		}
	})
	t.Run("an old one that died lapses", func(t *testing.T) {
		startHolder(t, r.out(old("defrag"))).signal(9)
		held, err := Acquire(t.Context(), r.locker(), claim("snapshot"), policy(Skip))
		if err != nil {
			t.Fatalf("Acquire = %v, want the lock", err)
		}
		release(t, held)
	})
	t.Run("our Pod's last container lapses", func(t *testing.T) {
		before, now := claim("snapshot"), claim("snapshot")
		before.Pod, now.Pod = "backup/snapshot-1", "backup/snapshot-1"
		startHolder(t, r.out(before)).signal(9)
		held, err := Acquire(t.Context(), r.locker(), now, policy(Fail))
		if err != nil {
			t.Fatalf("Acquire = %v, want the lock", err)
		}
		if got := held.Claim().Started; got.Before(before.Started.Add(shortLease / 2)) {
			t.Errorf("the claim's start is %v, want when it was taken", got)
		}
		release(t, held)
	})
	t.Run("another in our Pod that lives is skipped after a lease", func(t *testing.T) {
		before, now := claim("snapshot"), claim("snapshot")
		before.Pod, now.Pod = "backup/snapshot-1", "backup/snapshot-1"
		defer release(t, take(t, r.locker(), before))
		if _, err := refused(t, policy(Skip), now); Skipped(err) == nil {
			t.Errorf("Acquire = %v, want a skip", err)
		}
	})
	t.Run("wait for the end", func(t *testing.T) {
		holder := take(t, r.locker(), old("defrag"))
		p := policy(Wait)
		told := 0
		p.Waiting = func(e *HeldError) {
			told++
			if e.Holder != holder.Claim() {
				t.Errorf("waiting for %v, want %v", e.Holder, holder.Claim())
			}
			time.AfterFunc(time.Second, func() { _ = holder.Release(context.WithoutCancel(t.Context())) })
		}
		held, err := Acquire(t.Context(), r.locker(), claim("snapshot"), p)
		if err != nil || told != 1 {
			t.Fatalf("Acquire = %v, told %d times; want the lock", err, told)
		}
		release(t, held)
	})
	t.Run("wait in vain", func(t *testing.T) {
		defer release(t, take(t, r.locker(), claim("defrag")))
		errDeadline, errStop := errors.New("deadline"), errors.New("stop")
		ctx, stop := context.WithTimeoutCause(t.Context(), time.Second, errDeadline)
		defer stop()
		_, err := Acquire(ctx, r.locker(), claim("snapshot"), policy(Wait))
		if !errors.Is(err, ErrStuck) || !errors.Is(err, errDeadline) || !strings.Contains(err.Error(), "held by defrag") {
			t.Errorf("at the deadline Acquire = %v, want ErrStuck", err)
		}
		cancelled, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errStop) })
		_, err = Acquire(cancelled, r.locker(), claim("snapshot"), policy(Wait))
		if errors.Is(err, ErrHeld) || !errors.Is(err, errStop) {
			t.Errorf("when stopped Acquire = %v, want the cause alone", err)
		}
	})
	t.Run("the deadline is the context's", func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		held, err := Acquire(ctx, r.locker(), claim("snapshot"), Policy{})
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := ctx.Deadline(); !held.Claim().Deadline.Equal(want) {
			t.Errorf("deadline is %v, want %v", held.Claim().Deadline, want)
		}
		release(t, held)
	})
}
