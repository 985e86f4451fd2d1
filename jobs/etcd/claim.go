package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Prefix begins the name of every key that Keys reads or writes: nothing else of the cluster is touched.
const Prefix = "/etcdsafe/"

// What etcd says no to for good, whichever member is asked. With an alarm NOSPACE it refuses leases
// and writes, but reads and deletes; with CORRUPT it only reads, and that not in a transaction.
var (
	ErrNoSpace      = errors.New("alarm NOSPACE")
	ErrAlarmCorrupt = errors.New("alarm CORRUPT")
	ErrNoLease      = errors.New("lease is gone")
	ErrNoRight      = errors.New("the user lacks the right to read and write " + Prefix)
)

// Key is one key as the quorum knows it.
type Key struct {
	Name    string
	Value   []byte
	Created int64 // its create revision; 0: there is no such key
	Lease   int64 // 0: it lies under none
}

// Get reads a key through the quorum. One that is not there comes back with Created 0.
func (k *Keys) Get(ctx context.Context, name string) (key Key, err error) {
	if err := below(name); err != nil {
		return Key{}, err
	}
	err = k.call(ctx, func(ctx context.Context, c *Conn) (err error) {
		key, err = c.key(ctx, name)
		return err
	})
	return key, err
}

// Put writes a key without a lease, whether it is there or not.
func (k *Keys) Put(ctx context.Context, name string, value []byte) error {
	if err := below(name); err != nil {
		return err
	}
	return k.call(ctx, func(ctx context.Context, c *Conn) error {
		return c.claimCall(ctx, "put "+name, func(ctx context.Context) error {
			_, err := c.client.Put(ctx, name, string(value))
			return err
		})
	})
}

// Claim makes a key that is not there yet, under a new lease, and returns it as it then is: its
// lease is key.Lease where the claim was had, and another's, or 0, where somebody else made it.
// The lease's id must be of the caller's own drawing, above 0: by it a second attempt knows what the
// first did. After an error nothing is left, or it ends with its lease.
func (k *Keys) Claim(ctx context.Context, key Key, ttl time.Duration) (got Key, err error) {
	if err := below(key.Name); err != nil {
		return Key{}, err
	}
	granted := false
	err = k.call(ctx, func(ctx context.Context, c *Conn) (err error) {
		if got, err = c.key(ctx, key.Name); err != nil || got.Created != 0 {
			return err
		}
		granted = true
		if err := c.grant(ctx, key.Lease, ttl); err != nil {
			return err
		}
		got, err = c.create(ctx, key)
		return err
	})
	if granted && (err != nil || got.Lease != key.Lease) {
		k.undo(ctx, key.Lease)
	}
	return got, err
}

// undo revokes the lease of a claim that was not had. Where nobody answers it ends by itself.
func (k *Keys) undo(ctx context.Context, lease int64) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*k.cfg.timeout())
	defer stop()
	_ = k.call(ctx, func(ctx context.Context, c *Conn) error { return c.revoke(ctx, lease) })
}

// Renew gives the key's lease its whole time again and returns the key as it is after that, read
// through the quorum: the claim stands while Created is what it was. The error wraps ErrNoLease
// once the lease has run out or was revoked.
func (k *Keys) Renew(ctx context.Context, key Key) (now Key, err error) {
	err = k.call(ctx, func(ctx context.Context, c *Conn) error {
		if err := c.renew(ctx, key.Lease); err != nil {
			return err
		}
		now, err = c.key(ctx, key.Name)
		return err
	})
	return now, err
}

// TimeToLive is how long a lease still has; the error wraps ErrNoLease where it has ended.
func (k *Keys) TimeToLive(ctx context.Context, lease int64) (left time.Duration, err error) {
	err = k.call(ctx, func(ctx context.Context, c *Conn) error {
		return c.claimCall(ctx, "time to live of the lease", func(ctx context.Context) error {
			r, err := c.client.TimeToLive(ctx, clientv3.LeaseID(lease))
			if err == nil && r.TTL <= 0 {
				return rpctypes.ErrLeaseNotFound
			}
			if err == nil {
				left = time.Duration(r.TTL) * time.Second
			}
			return err
		})
	})
	return left, err
}

// Remove deletes the key if it is still the one that was created at key.Created, writes others in
// the same transaction, and revokes the key's lease in any case. removed is false where the key was gone, or
// another's: then nothing was written.
func (k *Keys) Remove(ctx context.Context, key Key, instead ...Key) (removed bool, err error) {
	for _, other := range append([]Key{key}, instead...) {
		if err := below(other.Name); err != nil {
			return false, err
		}
	}
	unsure := false // an attempt whose answer was lost may have removed it
	err = k.call(ctx, func(ctx context.Context, c *Conn) error {
		ours, now, err := c.remove(ctx, key, instead)
		if err != nil {
			unsure = true
			return err
		}
		removed = removed || ours || unsure && now.Created == 0
		if key.Lease == 0 {
			return nil
		}
		return c.revoke(ctx, key.Lease)
	})
	return removed, err
}

func below(name string) error {
	if !strings.HasPrefix(name, Prefix) {
		return fmt.Errorf("key %q does not lie below %s", name, Prefix)
	}
	return nil
}

// final says whether any member would answer the same.
func final(err error) bool {
	for _, is := range []error{ErrNoSpace, ErrAlarmCorrupt, ErrNoLease, ErrNoRight} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// claimCall is short, and names what etcd refuses for good.
func (c *Conn) claimCall(ctx context.Context, what string, call func(context.Context) error) error {
	err := c.short(ctx, what, call)
	for answer, is := range map[error]error{
		rpctypes.ErrNoSpace: ErrNoSpace, rpctypes.ErrCorrupt: ErrAlarmCorrupt,
		rpctypes.ErrLeaseNotFound: ErrNoLease, rpctypes.ErrPermissionDenied: ErrNoRight,
	} {
		if errors.Is(err, answer) {
			return fmt.Errorf("%s of %s: %w: %w", what, c.addr, is, oneLine{answer})
		}
	}
	return err
}

func (c *Conn) key(ctx context.Context, name string) (key Key, err error) {
	err = c.claimCall(ctx, "get "+name, func(ctx context.Context) error {
		r, err := c.client.Get(ctx, name)
		if err != nil {
			return err
		}
		key = Key{Name: name}
		for _, kv := range r.Kvs {
			key = Key{Name: name, Value: kv.Value, Created: kv.CreateRevision, Lease: kv.Lease}
		}
		return nil
	})
	return key, err
}

// grant makes the lease, or finds it made: the id is nobody else's.
func (c *Conn) grant(ctx context.Context, lease int64, ttl time.Duration) error {
	return c.claimCall(ctx, "grant a lease", func(ctx context.Context) error {
		_, err := c.leases().LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: lease, TTL: int64((ttl + time.Second - 1) / time.Second)})
		if err = rpctypes.Error(err); errors.Is(err, rpctypes.ErrLeaseExist) {
			return nil
		}
		return err
	})
}

// leases is etcd's own client without its loops.
func (c *Conn) leases() pb.LeaseClient { return pb.NewLeaseClient(c.client.ActiveConnection()) }

func (c *Conn) create(ctx context.Context, key Key) (now Key, err error) {
	err = c.claimCall(ctx, "create "+key.Name, func(ctx context.Context) error {
		r, err := c.client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(key.Name), "=", 0)).
			Then(clientv3.OpPut(key.Name, string(key.Value), clientv3.WithLease(clientv3.LeaseID(key.Lease)))).
			Else(clientv3.OpGet(key.Name)).Commit()
		if err != nil {
			return err
		}
		now = key
		now.Created = r.Header.Revision
		if !r.Succeeded {
			kv := r.Responses[0].GetResponseRange().Kvs[0] // there, by the comparison that failed
			now = Key{Name: key.Name, Value: kv.Value, Created: kv.CreateRevision, Lease: kv.Lease}
		}
		return nil
	})
	return now, err
}

// renew sends one message of the stream that renewals are.
func (c *Conn) renew(ctx context.Context, lease int64) error {
	return c.claimCall(ctx, "renew the lease", func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		stream, err := c.leases().LeaseKeepAlive(ctx)
		if err == nil {
			err = stream.Send(&pb.LeaseKeepAliveRequest{ID: lease})
		}
		if err != nil {
			return rpctypes.Error(err)
		}
		r, err := stream.Recv()
		if err == nil && r.GetTTL() <= 0 {
			return rpctypes.ErrLeaseNotFound
		}
		return rpctypes.Error(err)
	})
}

// revoke ends a lease, or finds it ended.
func (c *Conn) revoke(ctx context.Context, lease int64) error {
	err := c.claimCall(ctx, "revoke the lease", func(ctx context.Context) error {
		_, err := c.client.Revoke(ctx, clientv3.LeaseID(lease))
		return err
	})
	if errors.Is(err, ErrNoLease) {
		return nil
	}
	return err
}

// remove also tells what is there now.
func (c *Conn) remove(ctx context.Context, key Key, instead []Key) (removed bool, now Key, err error) {
	then := []clientv3.Op{clientv3.OpDelete(key.Name)}
	for _, other := range instead {
		then = append(then, clientv3.OpPut(other.Name, string(other.Value)))
	}
	err = c.claimCall(ctx, "remove "+key.Name, func(ctx context.Context) error {
		r, err := c.client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(key.Name), "=", key.Created), clientv3.Compare(clientv3.CreateRevision(key.Name), ">", 0)).
			Then(then...).Else(clientv3.OpGet(key.Name)).Commit()
		if err != nil {
			return err
		}
		removed, now = r.Succeeded, Key{Name: key.Name}
		if r.Succeeded {
			return nil
		}
		for _, kv := range r.Responses[0].GetResponseRange().Kvs {
			now.Value, now.Created, now.Lease = kv.Value, kv.CreateRevision, kv.Lease
		}
		return nil
	})
	return removed, now, err
}
