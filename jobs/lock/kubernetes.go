package lock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Our details beside the fields that client-go's own leader election fills.
const (
	claimNote  = "etcdsafe.github.io/claim"
	brokenNote = "etcdsafe.github.io/broken"
)

// longest is what a Lease may say that it lasts, to be watched for that long in one Take.
const longest = 5 * time.Minute

// Kubernetes is a lock in a Lease, of which there is one for each name: nothing ties it to a cluster but
// that. A Lease does not end by itself: who comes next watches whether it is renewed, for as long as
// it says that it lasts, and goes by no clock but its own. Every change of it is made on the version
// that was read, so of two that change it one is refused.
//
// The identity of our account needs the rights to get, create and update leases in the namespace. The
// error tells of a kubeconfig that is none.
func Kubernetes(c KubernetesConfig, o Options) (Locker, error) {
	client, namespace, err := c.client(o)
	if err != nil {
		return Locker{}, err
	}
	p := &lease{api: leaseAPI{client: client, namespace: namespace, name: c.Name}, opt: o}
	return Locker{place: p, kind: KindKubernetes, where: fmt.Sprintf("lease %s/%s in Kubernetes", namespace, c.Name), opt: o}, nil
}

// lease is the place in Kubernetes.
type lease struct {
	api leaseAPI
	opt Options

	mu   sync.Mutex
	seen *coordinationv1.Lease // as it was when we looked last
	at   time.Time             // when it was first seen so
}

// tries bounds how often a call begins anew because somebody else changed the Lease, and faults how
// often because Kubernetes gave no answer.
const (
	tries  = 10
	faults = 3
)

// errAgain asks for another look at the Lease.
var errAgain = errors.New("others change it all the while")

func (p *lease) take(ctx context.Context, c Claim) (grip, error) {
	silent := 0
	for try := 1; ; try++ {
		g, err := p.try(ctx, c)
		switch {
		case err == nil:
			return g, nil
		case errors.Is(err, errAgain) && try < tries:
		case errors.Is(err, errSilent) && silent+1 < faults && ctx.Err() == nil:
			silent++
		default:
			return nil, err
		}
	}
}

// try takes the Lease as it is now.
func (p *lease) try(ctx context.Context, c Claim) (grip, error) {
	found, err := p.api.get(ctx)
	switch {
	case apierrors.IsNotFound(err):
		found = &coordinationv1.Lease{}
	case err != nil:
		return nil, err
	case holderOf(found) == identity(c): // by a try whose answer was lost
		return &leaseGrip{place: p, lease: found, holder: identity(c)}, nil
	case holderOf(found) != "":
		if err := p.dead(ctx, found); err != nil {
			return nil, err
		}
	}
	taken, err := p.put(ctx, p.claimed(found, c))
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil, errAgain
	}
	if err != nil {
		return nil, err
	}
	return &leaseGrip{place: p, lease: taken, holder: identity(c)}, nil
}

// put creates or updates a Lease.
func (p *lease) put(ctx context.Context, l *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	if l.ResourceVersion == "" {
		return p.api.create(ctx, l)
	}
	return p.api.update(ctx, l)
}

// claimed is the Lease with our claim in it.
func (p *lease) claimed(found *coordinationv1.Lease, c Claim) *coordinationv1.Lease {
	l := found.DeepCopy()
	holder, now := identity(c), metav1.NewMicroTime(p.opt.now())
	lasts, transitions := int32((p.opt.lease()+time.Second-1)/time.Second), int32(0)
	if found.ResourceVersion != "" && found.Spec.LeaseTransitions != nil {
		transitions = *found.Spec.LeaseTransitions + 1
	}
	l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds, l.Spec.LeaseTransitions = &holder, &lasts, &transitions
	l.Spec.AcquireTime, l.Spec.RenewTime = &now, &now
	note(l, claimNote, c)
	return l
}

// note writes v, a claim or a trace, as JSON beside the Lease.
func note(l *coordinationv1.Lease, name string, v any) {
	text, _ := json.Marshal(v) // of texts and times alone: never fails
	if l.Annotations == nil {
		l.Annotations = map[string]string{}
	}
	l.Annotations[name] = string(text)
}

// identity is what `kubectl get lease` shows as the holder.
func identity(c Claim) string {
	seat := c.Host
	if c.Pod != "" {
		seat = c.Pod
	}
	return seat + "_" + c.Holder
}

func holderOf(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

// claimOf is the claim beside the Lease, if it is its holder's.
func claimOf(l *coordinationv1.Lease) Claim {
	c := decodeClaim([]byte(l.Annotations[claimNote]))
	if c.Holder == "" || !strings.HasSuffix(holderOf(l), "_"+c.Holder) {
		return Claim{}
	}
	return c
}

// dead returns nil where the Lease's holder is: under our own eyes the Lease did not move for as long
// as it lasts. A holder that lives, or may, is a *HeldError. Where neither can be told yet, errAgain
// comes after a part of that time.
func (p *lease) dead(ctx context.Context, l *coordinationv1.Lease) error {
	lasts := p.lasts(l)
	still, moved := p.watch(l)
	switch {
	case still >= lasts:
		return nil
	case moved, lasts > longest, p.left(l) > 0:
		return &HeldError{Holder: claimOf(l)}
	}
	wait := time.NewTimer(min(lasts-still, lasts/3))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-wait.C:
		return errAgain
	}
}

// watch is for how long we have seen the Lease as it is, and whether its holder changed it since we
// looked last.
func (p *lease) watch(l *coordinationv1.Lease) (still time.Duration, moved bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.opt.now()
	if p.seen == nil || p.seen.UID != l.UID || p.seen.ResourceVersion != l.ResourceVersion {
		moved = p.seen != nil && holderOf(p.seen) == holderOf(l)
		p.seen, p.at = l, now
	}
	return now.Sub(p.at), moved
}

func (p *lease) lasts(l *coordinationv1.Lease) time.Duration {
	if l.Spec.LeaseDurationSeconds == nil {
		return p.opt.lease()
	}
	return time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
}

// left is how long the Lease still lasts by its holder's clock and ours: enough to say that it lives,
// never that it is dead.
func (p *lease) left(l *coordinationv1.Lease) time.Duration {
	if l.Spec.RenewTime == nil {
		return 0
	}
	return p.lasts(l) - p.opt.now().Sub(l.Spec.RenewTime.Time)
}

func (p *lease) look(ctx context.Context) (State, error) {
	l, err := p.api.get(ctx)
	if apierrors.IsNotFound(err) {
		return State{}, nil
	}
	if err != nil {
		return State{}, err
	}
	s := State{mark: l}
	if holderOf(l) != "" {
		s.Held, s.Claim, s.Left = true, claimOf(l), p.left(l)
	}
	if text := l.Annotations[brokenNote]; text != "" {
		s.Broken = &Broken{}
		if err := json.Unmarshal([]byte(text), s.Broken); err != nil {
			return s, fmt.Errorf("read annotation %s: %w", brokenNote, err)
		}
	}
	return s, nil
}

func (p *lease) end(ctx context.Context, s State, trace Broken) (ended, traced bool, err error) {
	ended, err = p.change(ctx, s.mark.(*coordinationv1.Lease), func(l *coordinationv1.Lease) {
		vacate(l)
		note(l, brokenNote, trace)
	})
	return ended, ended, err
}

// vacate leaves no holder.
func vacate(l *coordinationv1.Lease) {
	l.Spec.HolderIdentity = nil
	delete(l.Annotations, claimNote)
}

// change makes a change to the Lease as long as its holder is the one that it was; same is false
// where it is not.
func (p *lease) change(ctx context.Context, l *coordinationv1.Lease, do func(*coordinationv1.Lease)) (same bool, err error) {
	holder := holderOf(l)
	for range tries {
		next := l.DeepCopy()
		do(next)
		_, err = p.api.update(ctx, next)
		switch {
		case err == nil:
			return true, nil
		case apierrors.IsNotFound(err):
			return false, nil
		case !apierrors.IsConflict(err):
			return false, err
		}
		if l, err = p.api.get(ctx); apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if holderOf(l) != holder {
			return false, nil
		}
	}
	return false, err
}

// leaseGrip is a Lease that was taken.
type leaseGrip struct {
	place  *lease
	holder string

	mu    sync.Mutex
	lease *coordinationv1.Lease // as it was written last
}

// renew is a change of the version that we wrote: that it was taken proves that nobody else's came
// between, however long we stood still.
func (g *leaseGrip) renew(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for range tries {
		next := g.lease.DeepCopy()
		now := metav1.NewMicroTime(g.place.opt.now())
		next.Spec.RenewTime = &now
		written, err := g.place.api.update(ctx, next)
		if err == nil {
			g.lease = written
			return nil
		}
		if apierrors.IsConflict(err) {
			written, err = g.place.api.get(ctx)
		}
		switch {
		case apierrors.IsNotFound(err):
			return fmt.Errorf("%w: it was deleted", ErrLost)
		case err != nil:
			return err
		case holderOf(written) == "":
			return fmt.Errorf("%w: its holder was taken out", ErrLost)
		case holderOf(written) != g.holder:
			return fmt.Errorf("%w: held by %s", ErrLost, claimOf(written))
		}
		g.lease = written // changed by somebody who left the holder alone
	}
	return errAgain
}

func (g *leaseGrip) drop(ctx context.Context) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.place.change(ctx, g.lease, vacate)
}
