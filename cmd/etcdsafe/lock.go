package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

func (c *cli) lockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lock",
		Short: "who works on this cluster; end a claim by hand",
		Long: "One run of snapshot or defrag works on a cluster at a time: it holds a lock, and renews it while it works.\n" +
			"lock show tells who holds it; lock break ends a claim whose run hangs.",
		Args: func(cmd *cobra.Command, args []string) error {
			return usageError(fmt.Errorf("lock takes show or break: %s", cmd.UseLine()))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.lockShowCommand(), c.lockBreakCommand())
	return cmd
}

func (c *cli) lockShowCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "show",
		Short: "who holds the lock, since when, and which one a person ended last",
		Args:  args(0, 0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.lockWork(cmd.Context(), c.lockShow) },
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Store, &s.Etcd, &s.Lock)
	return cmd
}

func (c *cli) lockBreakCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "break",
		Short: "end the claim of whoever holds the lock, and leave a trace",
		Long: "lock break ends a claim, after saying whose it is and asking. Its run is not stopped by that: a defrag goes no\n" +
			"further than the member at work, a snapshot goes on and says so. So stop the run first where you can.",
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.lockWork(cmd.Context(), c.lockBreak) },
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Store, &s.Etcd, &s.Lock, &s.Break)
	return cmd
}

// lockWork does what a command does with the lock, once the settings are sound.
func (c *cli) lockWork(ctx context.Context, do func(context.Context, lock.Locker) error) error {
	if err := c.load(clusterIsValid, endpointsAreKnown, reportHasFolder, leaseIsNamed); err != nil {
		return err
	}
	cfg, err := c.etcdConfig()
	if err != nil {
		return err
	}
	l, err := c.locker(cfg)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeoutCause(ctx, browseTime, errDeadline)
	defer stop()
	return stopped(ctx, do(ctx, l))
}

// shownLock is what lock show tells.
type shownLock struct {
	Lock         string       `json:"lock"`
	Where        string       `json:"where"`
	Held         bool         `json:"held"`
	Claim        *lock.Claim  `json:"claim,omitempty"`
	AgeSeconds   int64        `json:"ageSeconds,omitempty"`   // of the claim, by our clock
	LeaseSeconds int64        `json:"leaseSeconds,omitempty"` // until it lapses unless it is renewed
	Broken       *lock.Broken `json:"broken,omitempty"`
}

func (c *cli) shownLock(s lock.State) shownLock {
	out := shownLock{Lock: s.Kind, Where: s.Where, Held: s.Held, LeaseSeconds: int64(s.Left / time.Second), Broken: s.Broken}
	if s.Held {
		out.Claim = &s.Claim
	}
	if s.Held && !s.Claim.Started.IsZero() {
		out.AgeSeconds = int64(c.now().Sub(s.Claim.Started) / time.Second)
	}
	return out
}

func (c *cli) lockShow(ctx context.Context, l lock.Locker) error {
	s, err := l.Look(ctx)
	if err != nil {
		return err
	}
	shown := c.shownLock(s)
	return c.document(shown, func(t *table) {
		t.row("LOCK", s.Where)
		if !s.Held {
			t.row("HELD BY", "nobody")
		} else {
			t.row("HELD BY", s.Claim)
			t.row("FOR", age(time.Duration(shown.AgeSeconds)*time.Second))
			t.row("DEADLINE", utc(s.Claim.Deadline))
			t.row("LEASE", leaseText(s))
		}
		if b := s.Broken; b != nil {
			t.row("LAST BROKEN", fmt.Sprintf("%s by %q: held by %s", utc(b.At), b.By, b.Claim))
			t.row("", fmt.Sprintf("reason: %q", b.Reason))
		}
	})
}

func leaseText(s lock.State) string {
	switch {
	case s.Left <= 0 && s.Kind == lock.KindKubernetes:
		return "over by its holder's clock: the next run watches it for as long again, and takes it"
	case s.Left <= 0:
		return "none: it does not lapse by itself"
	}
	return age(s.Left) + " left, unless it is renewed"
}

// brokenLock is what lock break did.
type brokenLock struct {
	shownLock
	Ended  bool `json:"ended"`
	Traced bool `json:"traced"`
}

func (c *cli) lockBreak(ctx context.Context, l lock.Locker) error {
	s, err := l.Look(ctx)
	if err != nil {
		return err
	}
	out := brokenLock{shownLock: c.shownLock(s)}
	if !s.Held {
		return c.document(out, func(t *table) { t.line("%s: nobody holds it", s.Where) })
	}
	if err := c.confirm(ctx, fmt.Sprintf("%s: held by %s.\nIts run is not stopped by this. Break it?", s.Where, s.Claim)); err != nil {
		return err
	}
	host, pod := c.whereabouts()
	trace := lock.Broken{By: cmp.Or(c.getenv("USER"), "unknown") + "@" + cmp.Or(pod, host), Reason: c.set.Break.Reason.Get(), At: c.now().UTC().Truncate(time.Second)}
	out.Ended, out.Traced, err = l.Break(ctx, s, trace)
	if err == nil && !out.Ended {
		err = fmt.Errorf("%s: held by another by now: nothing was broken", s.Where)
	}
	if err != nil {
		return err
	}
	return c.document(out, func(t *table) {
		t.line("%s: broken, was held by %s", s.Where, s.Claim)
		if !out.Traced {
			t.line("WARNING: no trace is left: etcd takes no writes")
		}
	})
}

// errNotConfirmed ends a command that somebody thought better of.
var errNotConfirmed = errors.New("not confirmed: nothing was done")

// confirm asks on a terminal, unless --yes has answered.
func (c *cli) confirm(ctx context.Context, question string) error {
	if c.set.Break.Yes.Get() {
		return nil
	}
	terminal, ok := c.stdin.(*os.File)
	if !ok || !isTerminal(terminal) {
		return usageError(fmt.Errorf("%s: nobody can be asked here: --yes answers", strings.ReplaceAll(question, "\n", " ")))
	}
	fmt.Fprintf(c.stderr, "%s [y/N] ", question)
	answers := make(chan string, 1)
	go func() { // a read of the terminal cannot be stopped: it ends with the process
		line, _ := bufio.NewReader(terminal).ReadString('\n') // its end is no yes
		answers <- line
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case answer := <-answers:
		if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
			return errNotConfirmed
		}
	}
	return nil
}
