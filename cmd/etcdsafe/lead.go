package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/cron"
	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// lead is who of the replicas begins runs.
type lead interface {
	cron.Lead
	run(ctx context.Context)
	// prove says, just before a run, how it is to be done; cron.ErrNotLeading where another leads by now.
	prove(ctx context.Context, o cron.Order) (mode string, only []string, err error)
	// fault is what a person must mend before anybody can lead; nil: nothing that is known.
	fault() error
}

// newLead elects through the lock's place. Where that is etcd and no line needs etcd, its key is no business of ours: the
// stores choose for each slot. With --lock none the operator says that there is no other process; a dry run takes nothing
// from others. inForce are the settings as they are when the lock is opened anew, with passwords as they are then.
func (c *cli) newLead(log *slog.Logger, lines []cron.Line, inForce func() *cli) (lead, error) {
	kind := string(c.set.Lock.Lock.Get())
	switch {
	case kind == lock.KindNone, c.set.DryRun.Get():
		return settled{cron.Leader}, nil
	case kind == lock.KindEtcd && !slices.ContainsFunc(lines, needsEtcd):
		return settled{cron.Alone}, nil
	}
	e := &elected{log: log, changed: make(chan struct{}, 1), lease: c.leadTime(), open: func() (lock.Locker, error) { return c.leadLocker(inForce()) }}
	var err error
	if e.locker, err = c.leadLocker(c); err != nil {
		return nil, err
	}
	names := []string{"cron"}
	for _, l := range lines {
		names = append(names, l.Name)
	}
	e.claim, err = c.claim(strings.Join(names, " "))
	e.claim.Started = c.now().UTC().Truncate(time.Second)
	return e, err
}

func needsEtcd(l cron.Line) bool {
	names, err := jobNames(l.Name)
	return err == nil && (slices.Contains(names, "snapshot") || slices.Contains(names, "defrag"))
}

// leadLease is the name of the lead's Lease: no cluster's name makes a run's lock of it, which begins with etcdsafe-.
func leadLease(s *settings.Settings) string {
	return "etcdsafe.lead-" + s.Cron.Group.Get() + "." + leaseName(s)
}

// groupIsName is told before anything is taken.
func groupIsName(s *settings.Settings) error {
	group := &s.Cron.Group
	if faults := validation.IsDNS1123Label(group.Get()); faults != nil {
		return group.Errorf("%q is no name of a group: %s", group.Get(), strings.Join(faults, "; "))
	}
	if s.Lock.Lock.Get() != lock.KindKubernetes {
		return nil
	}
	if faults := validation.IsDNS1123Subdomain(leadLease(s)); faults != nil {
		return group.Errorf("%q is no name of a Lease: %s", leadLease(s), strings.Join(faults, "; "))
	}
	return nil
}

// leadTime is how long a lead outlives its process: shorter than the lock of a run, since a slot a minute is to find
// somebody who leads before the next one is due, and nothing is at stake but the look at the stores that follows.
func (c *cli) leadTime() time.Duration { return cmp.Or(c.lease, 20*time.Second) }

// leadLocker is where the lead of this cluster's group lies, as it was when the process began; how that is reached, now
// tells.
func (c *cli) leadLocker(now *cli) (lock.Locker, error) {
	s, o := c.set, lock.Options{Lease: c.leadTime(), Now: c.now}
	if s.Lock.Lock.Get() == lock.KindKubernetes {
		l, err := lock.Kubernetes(lock.KubernetesConfig{Kubeconfig: string(now.set.Kubeconfig.Get()), Namespace: s.LockNamespace.Get(), Name: leadLease(s)}, o)
		if err != nil {
			return l, s.Kubeconfig.Errorf("%w", err)
		}
		return l, nil
	}
	cfg, err := now.etcdConfig()
	if err != nil {
		return lock.Locker{}, err
	}
	o.Name = "cron/" + s.Cluster.Get() + "/" + s.Cron.Group.Get()
	return lock.Etcd(cfg, o), nil
}

// settled is a role that never changes.
type settled struct{ kind cron.Kind }

func (s settled) Role() cron.Role        { return cron.Role{Kind: s.kind} }
func (settled) Changed() <-chan struct{} { return nil }
func (settled) run(context.Context)      {}
func (settled) fault() error             { return nil }
func (s settled) prove(_ context.Context, o cron.Order) (string, []string, error) {
	if s.kind == cron.Alone {
		return slotAlone, nil, nil
	}
	return mode(o), nil, nil
}

func mode(o cron.Order) string {
	if o.Fresh {
		return slotFresh
	}
	return slotLed
}

// elected leads while it holds a lock.
type elected struct {
	log    *slog.Logger
	open   func() (lock.Locker, error)
	locker lock.Locker // of the last open
	told   string      // why it was not opened anew, as the log has it
	claim  lock.Claim  // the same for the whole process: after a loss that was none, it is ours again
	lease  time.Duration

	changed chan struct{}
	mu      sync.Mutex
	role    cron.Role
	held    *lock.Held
	cannot  error // why the lock is not to be had
	led     bool  // this process was the last to lead, as far as it knows
}

// Role is what the election has come to.
func (e *elected) Role() cron.Role {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.role
}

// Changed receives after each change.
func (e *elected) Changed() <-chan struct{} { return e.changed }

// run takes the lead when it is free, until ctx ends; then it gives it back, so that the next one need not wait for
// a lease.
func (e *elected) run(ctx context.Context) {
	for ctx.Err() == nil {
		held, err := e.locker.Take(ctx, e.claim)
		if err != nil {
			e.without(ctx, err)
			continue
		}
		e.set(cron.Role{Kind: cron.Leader}, held, nil)
		e.log.Info("lead taken", "reason", held.Kind())
		select {
		case <-held.Lost():
			e.log.Warn("lead lost", "err", jobs.OneLine(held.Err()))
			e.set(cron.Role{Kind: cron.Unsure}, nil, nil)
			_ = held.Release(ctx) // of what is lost there is nothing to release but what renews it
			e.reopen()
		case <-ctx.Done():
			if err := held.Release(ctx); err != nil {
				e.log.Warn("lead not given back", "err", jobs.OneLine(err))
			}
		}
	}
}

// without waits before the next try: a follower and one that cannot know look four times in a lease, so whoever
// is next takes over within two.
func (e *elected) without(ctx context.Context, err error) {
	var other *lock.HeldError
	switch {
	case ctx.Err() != nil:
		return
	case errors.As(err, &other):
		if e.set(cron.Role{Kind: cron.Follower}, nil, nil) {
			e.log.Info("another leads", "reason", other.Error())
			if other.Holder.Job != e.claim.Job {
				e.log.Warn("lines of the leader differ", "reason", "ours are not run while it leads: --group tells groups apart", "line", strings.TrimPrefix(e.claim.Job, "cron "))
			}
		}
	default:
		e.reopen()
		if e.set(e.alone(), nil, err) {
			e.log.Warn("nobody can lead", "err", settings.Mask(jobs.OneLine(err)), "reason", "snapshots alone go on, each slot done by whom the stores choose")
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(e.lease / 4):
	}
}

// reopen reads passwords and files anew for the next try; where that fails, the one before is tried again.
func (e *elected) reopen() {
	l, err := e.open()
	if err == nil {
		e.locker, e.told = l, ""
		return
	}
	if text := settings.Mask(jobs.OneLine(err)); text != e.told {
		e.told = text
		e.log.Warn("lock not opened", "err", text)
	}
}

// fault is a right that is lacking: no time cures it.
func (e *elected) fault() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if errors.Is(e.cannot, etcd.ErrNoRight) {
		return e.cannot
	}
	return nil
}

// alone is when this process may begin: the last leader at once, the others a lease later, in the order of
// their names as far as chance goes.
func (e *elected) alone() cron.Role {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.led {
		return cron.Role{Kind: cron.Alone}
	}
	share := cron.ShareOf(e.claim.Host + e.claim.Pod + e.claim.Holder)
	return cron.Role{Kind: cron.Alone, Delay: e.lease + time.Duration(share*float64(e.lease)).Truncate(time.Second)}
}

// set returns whether the kind is another than before.
func (e *elected) set(role cron.Role, held *lock.Held, cannot error) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := e.role.Kind != role.Kind
	e.role, e.held, e.cannot = role, held, cannot
	switch role.Kind {
	case cron.Leader:
		e.led = true
	case cron.Follower:
		e.led = false
	case cron.Unsure, cron.Alone:
	}
	select {
	case e.changed <- struct{}{}:
	default:
	}
	return changed
}

// prove reads the lead through the quorum once more. Without one, snapshots go on; with no space left in etcd, so
// does defrag, which is the cure.
func (e *elected) prove(ctx context.Context, o cron.Order) (string, []string, error) {
	e.mu.Lock()
	held, cannot := e.held, e.cannot
	e.mu.Unlock()
	if held != nil {
		err := held.Prove(ctx)
		switch {
		case err == nil:
			return mode(o), nil, nil
		case errors.Is(err, lock.ErrLost):
			return "", nil, fmt.Errorf("%w: %w", cron.ErrNotLeading, err)
		case ctx.Err() != nil:
			return "", nil, context.Cause(ctx)
		}
		cannot = err
	}
	if cannot == nil {
		return "", nil, cron.ErrNotLeading
	}
	only := []string{"snapshot"}
	if errors.Is(cannot, etcd.ErrNoSpace) {
		only = append(only, "defrag")
	}
	return slotAlone, only, nil
}
