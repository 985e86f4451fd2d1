package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// How much a slot's run knows of who else may do it.
const (
	slotLed   = "led"   // its process leads, and saw the slot come
	slotFresh = "fresh" // its process leads, but not for long: the stores know whether the slot was done
	slotAlone = "alone" // nobody knows who leads: the stores choose one
)

// slotFlags are how cron tells the process of a slot what it is. Users never type them.
type slotFlags struct {
	line, mode, slot, only string
}

func (f *slotFlags) bind(fs *pflag.FlagSet) {
	fs.StringVar(&f.line, "slot-line", "", "line of a slot")
	fs.StringVar(&f.slot, "slot-time", "", "time of a slot")
	fs.StringVar(&f.mode, "slot-mode", slotLed, "led, fresh or alone")
	fs.StringVar(&f.only, "slot-only", "", "jobs of the line to do")
	for _, name := range []string{"slot-line", "slot-time", "slot-mode", "slot-only"} {
		_ = fs.MarkHidden(name) // it exists
	}
}

func (f *slotFlags) args() []string {
	return []string{"--slot-line", f.line, "--slot-time", f.slot, "--slot-mode", f.mode, "--slot-only", f.only}
}

// slotRun does the jobs of one line for one slot, as `run` would, and ends when its schedule's process does.
func (c *cli) slotRun(ctx context.Context, f *slotFlags) error {
	at, err := time.Parse(time.RFC3339, f.slot)
	if err != nil {
		return usageError(fmt.Errorf("--slot-time %q: %w", f.slot, err))
	}
	names, err := jobNames(f.line)
	if err != nil {
		return usageError(err)
	}
	if f.only != "" {
		only := strings.Split(f.only, ",")
		names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(only, n) })
	}
	syscall.CloseOnExec(configFile) // no child of ours is to have it
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() { // nobody waits for it: it ends with the process, when the other end is gone
		_, _ = io.Copy(io.Discard, c.stdin)
		stop(errTerminated)
	}()
	if !slices.Contains([]string{slotLed, slotFresh, slotAlone}, f.mode) {
		return usageError(fmt.Errorf("--slot-mode %q: it is none", f.mode))
	}
	c.patience = slotPatience
	ch := &chain{cli: c, names: names, slot: &slotOf{line: f.line, at: at.UTC(), mode: f.mode}}
	return c.within(ctx, &runReport{Report: jobs.Report{Job: "run"}, names: names, Jobs: []outcome{}}, ch.runSlot, ch.checks()...)
}

// slotPatience is for how long a slot's run waits for the lock: lines of one schedule may be due at the same time, and the
// one that comes second must not lose its slot to one that is done in a moment.
const slotPatience = 5 * time.Minute

// slotOf is the slot that a chain is done for.
type slotOf struct {
	line string
	at   time.Time
	mode string
}

// runSlot leaves out what the stores say was done for the slot. A store that says nothing hinders nothing.
func (ch *chain) runSlot(ctx context.Context, log *slog.Logger, tell jobs.Progress) (outcome, error) {
	if ch.slot.mode != slotLed && len(ch.set.Stores.Get()) > 0 {
		why, err := ch.leaveOutDone(ctx)
		own := ch.logOf(log, "run")
		switch {
		case err != nil:
			own.Warn("slot not looked up", "err", settings.Mask(jobs.OneLine(err)))
		case why != "":
			own.Info("slot skipped", "slot", ch.slot.at, "reason", why)
			return &runReport{Report: jobs.Report{Job: "run", Cluster: ch.set.Cluster.Get(), Started: ch.now().UTC(), Skip: true, Reason: why}, Jobs: []outcome{}}, nil
		}
	}
	return ch.run(ctx, log, tell)
}

// lookTime bounds what a slot asks of stores before its jobs begin.
const lookTime = 3 * time.Minute

// leaveOutDone drops the jobs that were done since the slot, and claims the slot where nobody leads. why is the reason
// to do nothing, or "".
func (ch *chain) leaveOutDone(ctx context.Context) (why string, err error) {
	ctx, stop := context.WithTimeout(ctx, lookTime)
	defer stop()
	stores, shut, err := ch.openStores(ctx)
	defer shut() //nolint:errcheck // small objects that were read or created
	if err != nil {
		return "", err
	}
	if ch.slot.mode == slotFresh {
		ch.letClaimerEnd(ctx, stores)
	}
	var left []string
	for _, name := range ch.names {
		done, err := ch.doneSince(ctx, stores, name)
		if err != nil {
			return "", err
		}
		if !done {
			left = append(left, name)
		}
	}
	if left = ch.withoutKey(left); len(left) == 0 {
		return "done for this slot already", nil
	}
	ch.names = left
	if ch.slot.mode != slotAlone || ch.set.DryRun.Get() {
		return "", nil
	}
	return ch.claimSlot(ctx, stores)
}

// letClaimerEnd waits, where a process that could not know who leads has claimed the slot, until that has done a snapshot
// or a lease and a quarter have passed since: it works without a lock, and the slot is to be done once.
func (ch *chain) letClaimerEnd(ctx context.Context, stores catalog.Stores) {
	if !slices.Contains(ch.names, "snapshot") {
		return
	}
	lease := cmp.Or(ch.lease, lock.Lease)
	for _, s := range stores {
		claim, err := s.Claim(ctx, ch.slot.line, ch.slot.at)
		if err != nil || claim.Pod != "" && claim.Pod == ch.runner().Pod {
			continue
		}
		for ch.now().Sub(claim.Started).Abs() < lease+lease/4 {
			if done, err := ch.doneSince(ctx, stores, "snapshot"); done || err != nil {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(lease / 12):
			}
		}
		return
	}
}

// withoutKey leaves verify out where the run that sealed the archive has ended, and only its key could open it: a look
// that is less deep must not pass for this one.
func (ch *chain) withoutKey(left []string) []string {
	if !ch.sealsFirst() || slices.Contains(left, "snapshot") || ch.set.IdentitiesFile.Get() != "" || ch.set.Plaintext.Get() || !slices.Contains(left, "verify") {
		return left
	}
	ch.log.Warn("verify left out", "reason", "the run that sealed this slot's archive ended before, and no identity is given")
	return slices.DeleteFunc(left, func(name string) bool { return name == "verify" })
}

// waitsForTheDead says, after a pause, whether a snapshot that stood back from another run is to ask for the lock again:
// that may be the run of the leader before, which is dead and whose claim outlives it by a lease. It is not where that
// run has done the slot by now.
func (ch *chain) waitsForTheDead(ctx context.Context, stores catalog.Stores, since time.Time) bool {
	lease := cmp.Or(ch.lease, lock.Lease)
	if ch.slot == nil || ch.slot.mode != slotFresh || ch.now().Sub(since) > lease+lease/4 {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(lease / 12):
	}
	done, err := ch.doneSince(ctx, stores, "snapshot")
	return err == nil && !done
}

// doneSince asks the first store that answers.
func (ch *chain) doneSince(ctx context.Context, stores catalog.Stores, job string) (bool, error) {
	var last time.Time
	var err error
	for _, s := range stores {
		switch {
		case job == "snapshot":
			last, err = s.LastSnapshot(ctx)
		case ch.isRecorded(job):
			last, err = s.LastRun(ctx, job)
		default:
			last, err = s.LastReceipt(ctx)
		}
		if err == nil {
			return !last.Before(ch.slot.at), nil
		}
	}
	return false, err
}

// claimSlot has the first store that answers choose one of all who ask for the slot.
func (ch *chain) claimSlot(ctx context.Context, stores catalog.Stores) (why string, err error) {
	holder, err := catalog.Holder(ch.random)
	if err != nil {
		return "", err
	}
	claim := catalog.Run{Line: ch.slot.line, Slot: ch.slot.at, Started: ch.now(), Runner: ch.runner(), Holder: holder, Version: version()}
	for _, s := range stores {
		var won bool
		if won, err = s.ClaimSlot(ctx, ch.slot.line, ch.slot.at, claim); err == nil {
			if !won && !ch.wasOurs(ctx, s) {
				return "another process does this slot", nil
			}
			return "", nil
		}
	}
	return "", err
}

// wasOurs says whether the slot's claim is of a container before this one in the same Pod: that one is dead.
func (ch *chain) wasOurs(ctx context.Context, s *catalog.Catalog) bool {
	there, err := s.Claim(ctx, ch.slot.line, ch.slot.at)
	return err == nil && there.Pod != "" && there.Pod == ch.runner().Pod
}

// isRecorded says whether a record of its run is all by which a job of the line can be known as done. A snapshot leaves
// an archive, and verify after it the archive's receipt; other receipts may be of other lines, or less deep.
func (ch *chain) isRecorded(job string) bool {
	switch job {
	case "snapshot":
		return false
	case "verify":
		return !strings.HasPrefix(ch.slot.line, "snapshot")
	}
	return true
}

// note keeps the record of a job that leaves nothing else by which the next leader could tell that it was done. Of one
// that was stopped, or stood back from another's lock, there is none: it was not. A store that does not take it is told
// of, and no more.
func (ch *chain) note(ctx context.Context, out outcome, log *slog.Logger) {
	if why := context.Cause(ctx); errors.Is(why, errTerminated) || errors.Is(why, errInterrupted) {
		return
	}
	h := out.head()
	if ch.slot == nil || !ch.isRecorded(h.Job) || h.Result == jobs.Skipped && h.Lock == lockHeld || len(ch.set.Stores.Get()) == 0 || ch.set.DryRun.Get() {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer stop()
	stores, shut, err := ch.openStores(ctx)
	defer shut() //nolint:errcheck // what was written is written
	if err != nil {
		log.Warn("run not recorded", "err", settings.Mask(jobs.OneLine(err)))
		return
	}
	for _, s := range stores {
		if err := ch.noteIn(ctx, s, out.head()); err != nil {
			log.Warn("run not recorded", "store", s.URL(), "err", settings.Mask(jobs.OneLine(err)))
		}
	}
}

func (ch *chain) noteIn(ctx context.Context, store *catalog.Catalog, h *jobs.Report) error {
	suffix := make([]byte, 2)
	if _, err := io.ReadFull(ch.random, suffix); err != nil {
		return fmt.Errorf("draw a record's name: %w", err)
	}
	return store.PutRun(ctx, catalog.Run{Line: ch.slot.line, Job: h.Job, Slot: ch.slot.at, Started: h.Started, Finished: h.Finished,
		Result: string(h.Result), ExitCode: h.ExitCode, Runner: ch.runner(), Version: version()}, hex.EncodeToString(suffix))
}

// lockHeld is what a report says of a lock that another run holds.
const lockHeld = "held"

// noteTime bounds the record of a run, which follows also where the run was stopped.
const noteTime = 10 * time.Second
