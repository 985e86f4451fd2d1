package lock

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
)

// lockKey is the key of the lock. There is one for each etcd cluster, whatever its name: two users who call
// the same cluster by two names must not work on it at once.
const lockKey = etcd.Prefix + "lock"

// Etcd is a lock in the cluster that is worked on: a key under a lease, which ends with its holder. It
// goes on while one voter of several does not answer.
func Etcd(cfg etcd.Config, o Options) Locker {
	if most := o.attempt(); cfg.Timeout <= 0 || cfg.Timeout > most {
		cfg.Timeout = most
	}
	k := &key{keys: etcd.NewKeys(cfg), opt: o, name: lockKey}
	if o.Name != "" {
		k.name = etcd.Prefix + o.Name
	}
	return Locker{place: k, kind: KindEtcd, where: "lock " + k.name + " in etcd", opt: o}
}

// key is the place in etcd.
type key struct {
	keys *etcd.Keys
	opt  Options
	name string
}

// broken is the name of the trace that a person left.
func (k *key) broken() string { return k.name + "-broken" }

func (k *key) take(ctx context.Context, c Claim) (grip, error) {
	text, err := c.encode()
	if err != nil {
		return nil, err
	}
	want := etcd.Key{Name: k.name, Value: text, Lease: leaseOf(c)}
	got, err := k.keys.Claim(ctx, want, k.opt.lease())
	if err != nil {
		return nil, err
	}
	if got.Lease != want.Lease || !bytes.Equal(got.Value, text) {
		return nil, &HeldError{Holder: decodeClaim(got.Value)}
	}
	return &keyGrip{keys: k.keys, key: got}, nil
}

// leaseOf draws the lease's id from the holder's, which is random.
func leaseOf(c Claim) int64 {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(c.Holder)) // never fails
	return int64(sum.Sum64()&math.MaxInt64) | 1
}

func (k *key) look(ctx context.Context) (State, error) {
	got, err := k.keys.Get(ctx, k.name)
	if err != nil {
		return State{}, err
	}
	s := State{Held: got.Created != 0, Claim: decodeClaim(got.Value), mark: got}
	if got.Lease != 0 {
		left, err := k.keys.TimeToLive(ctx, got.Lease)
		if err != nil && !errors.Is(err, etcd.ErrNoLease) {
			return s, err
		}
		s.Left = left
	}
	trace, err := k.keys.Get(ctx, k.broken())
	if err != nil || trace.Created == 0 {
		return s, err
	}
	s.Broken = &Broken{}
	if err := json.Unmarshal(trace.Value, s.Broken); err != nil {
		return s, fmt.Errorf("read %s: %w", k.broken(), err)
	}
	return s, nil
}

func (k *key) end(ctx context.Context, s State, trace Broken) (ended, traced bool, err error) {
	got := s.mark.(etcd.Key)
	text, err := json.Marshal(trace)
	if err != nil {
		return false, false, fmt.Errorf("encode trace: %w", err)
	}
	ended, err = k.keys.Remove(ctx, got, etcd.Key{Name: k.broken(), Value: text})
	if ended || !errors.Is(err, etcd.ErrNoSpace) {
		return ended, ended, err
	}
	ended, err = k.keys.Remove(ctx, got)
	return ended, false, err
}

// keyGrip is a key that was created.
type keyGrip struct {
	keys *etcd.Keys
	key  etcd.Key
}

func (g *keyGrip) renew(ctx context.Context) error {
	now, err := g.keys.Renew(ctx, g.key)
	switch {
	case errors.Is(err, etcd.ErrNoLease):
		return fmt.Errorf("%w: %w", ErrLost, err)
	case err != nil:
		return err
	case now.Created == 0:
		return fmt.Errorf("%w: its key was deleted", ErrLost)
	case now.Created != g.key.Created:
		return fmt.Errorf("%w: held by %s", ErrLost, decodeClaim(now.Value))
	}
	return nil
}

func (g *keyGrip) drop(ctx context.Context) (bool, error) {
	ours, err := g.keys.Remove(ctx, g.key)
	if ours {
		return true, nil // a lease without its key may as well lapse
	}
	return false, err
}
