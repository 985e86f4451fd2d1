package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// TestAHungHolderTurnsOthersTo11: a snapshot whose store says nothing renews its lock all the while.
// Others skip while it is young; when it is too old they end with 11, whatever they were told.
func TestAHungHolderTurnsOthersTo11(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a lease and a quarter")
	}
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints())
	addr, _ := silent(t)
	hung := u.start(t, "snapshot", "--stores", "gs://bucket/x?anonymous=true&endpoint=http://"+addr)
	hung.until(t, "members found", 1)
	if r := u.exits(t, exitOK, "snapshot"); r.field(t, "result") != "skipped" || !strings.Contains(r.field(t, "reason"), "held by snapshot of host") {
		t.Errorf("want a skip that names the holder\n%v", r)
	}
	wait(t, 2e9)
	r := u.inProcess(t.Context(), 0, "snapshot", "--max-lock-age", "1s")
	if r.code != exitLocked || r.field(t, "result") != "refused" || !strings.Contains(r.field(t, "error"), "still renewed, longer than 1s") {
		t.Errorf("want exit code %d\n%v", exitLocked, r)
	}
	hung.signal(t, syscall.SIGTERM)
	hung.ends(t)
	u.ok(t, "snapshot", "--max-lock-age", "1s")
}

// TestALockThatWasWaitedForInVainIsNoDeadline: 11 at the deadline, 143 when stopped.
func TestALockThatWasWaitedForInVainIsNoDeadline(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	u := newOperator(t, c.Endpoints())
	addr, _ := silent(t)
	holder := u.start(t, "snapshot", "--stores", "gs://bucket/x?anonymous=true&endpoint=http://"+addr)
	holder.until(t, "members found", 1)
	u.exits(t, exitLocked, "snapshot", "--if-locked", "wait", "--deadline", "2s")
	waiting := u.start(t, "snapshot", "--if-locked", "wait")
	waiting.until(t, "lock waited for", 1)
	waiting.signal(t, syscall.SIGTERM)
	checkStopped(t, waiting.ends(t), exitTerminated, "stopped by SIGTERM")
	holder.signal(t, syscall.SIGTERM)
	checkStopped(t, holder.ends(t), exitTerminated, "stopped by SIGTERM")
	u.ok(t, "snapshot")
}
