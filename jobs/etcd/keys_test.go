package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

const (
	testKey   = Prefix + "test"
	testLease = 30 * time.Second
)

// claimed makes the claim and demands that it is ours.
func claimed(t *testing.T, k *Keys, lease int64) Key {
	t.Helper()
	got, err := k.Claim(t.Context(), Key{Name: testKey, Value: fmt.Appendf(nil, "of %d", lease), Lease: lease}, testLease)
	if err != nil || got.Lease != lease || got.Created == 0 {
		t.Fatalf("Claim = %+v, %v, want lease %d", got, err, lease)
	}
	return got
}

func alarm(t *testing.T, c *etcdtest.Cluster, kind pb.AlarmType, action pb.AlarmRequest_AlarmAction) {
	t.Helper()
	_, err := pb.NewMaintenanceClient(c.Client(t).ActiveConnection()).Alarm(t.Context(),
		&pb.AlarmRequest{Action: action, MemberID: c.Members[0].ID, Alarm: kind})
	if err != nil {
		t.Fatalf("%v %v: %v", action, kind, err)
	}
}

// TestAClaimIsHadOnceAndEndsWithItsLease, on each version, with TLS and logins.
func TestAClaimIsHadOnceAndEndsWithItsLease(t *testing.T) {
	for _, version := range etcdtest.Versions {
		t.Run(version, func(t *testing.T) {
			c := etcdtest.Start(t, etcdtest.Options{Version: version, TLS: true, Auth: true})
			k := NewKeys(configOf(c))
			ours := claimed(t, k, 7)
			other, err := NewKeys(configOf(c)).Claim(t.Context(), Key{Name: testKey, Value: []byte("of 8"), Lease: 8}, testLease)
			if err != nil || other.Lease != 7 || string(other.Value) != "of 7" || other.Created != ours.Created {
				t.Fatalf("a second Claim = %+v, %v, want the first one's", other, err)
			}
			if now, err := k.Renew(t.Context(), ours); err != nil || now.Created != ours.Created {
				t.Errorf("Renew = %+v, %v", now, err)
			}
			if left, err := k.TimeToLive(t.Context(), 7); err != nil || left < testLease-5*time.Second || left > testLease {
				t.Errorf("TimeToLive = %v, %v, want about %v", left, err, testLease)
			}
			if removed, err := k.Remove(t.Context(), Key{Name: testKey, Created: ours.Created + 1}, Key{Name: Prefix + "trace"}); removed || err != nil {
				t.Errorf("Remove of another revision = %t, %v", removed, err)
			}
			trace := Key{Name: Prefix + "trace", Value: []byte("gone")}
			if removed, err := k.Remove(t.Context(), ours, trace); !removed || err != nil {
				t.Errorf("Remove = %t, %v", removed, err)
			}
			if got, err := k.Get(t.Context(), trace.Name); err != nil || string(got.Value) != "gone" {
				t.Errorf("the trace is %+v, %v", got, err)
			}
			if _, err := k.Renew(t.Context(), ours); !errors.Is(err, ErrNoLease) {
				t.Errorf("Renew after Remove = %v, want ErrNoLease", err)
			}
			if _, err := k.TimeToLive(t.Context(), 7); !errors.Is(err, ErrNoLease) {
				t.Errorf("TimeToLive after Remove = %v, want ErrNoLease", err)
			}
			if removed, err := k.Remove(t.Context(), ours); removed || err != nil {
				t.Errorf("a second Remove = %t, %v", removed, err)
			}
			claimed(t, k, 9)
			if leases, err := c.Client(t).Leases(t.Context()); err != nil || len(leases.Leases) != 1 {
				t.Errorf("etcd has leases %v, %v, want the last claim's alone", leases, err)
			}
		})
	}
}

// TestAnAnswerThatIsLostAtAnyByteChangesNothing: what a voter did and could not tell is found by the
// next one.
func TestAnAnswerThatIsLostAtAnyByteChangesNothing(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 3, Proxied: true})
	leader := c.Members[c.Leader(t)].Proxy
	lost := 0
	for n := int64(0); n < 1600; n += 25 {
		k := NewKeys(configOf(c))
		if _, err := k.Get(t.Context(), testKey); err != nil {
			t.Fatal(err)
		}
		cuts := leader.Cuts()
		leader.CutAfter(n, etcdtest.RST)
		ours := claimed(t, k, 1+n)
		if leader.Cuts() > cuts {
			lost++
		}
		k = NewKeys(configOf(c))
		leader.Heal(t)
		if _, err := k.Get(t.Context(), testKey); err != nil {
			t.Fatal(err)
		}
		leader.CutAfter(n, etcdtest.RST)
		if removed, err := k.Remove(t.Context(), ours); !removed || err != nil {
			t.Fatalf("cut after %d bytes: Remove = %t, %v", n, removed, err)
		}
		leader.Heal(t)
	}
	if lost < 10 {
		t.Errorf("%d claims lost an answer: this test proves nothing", lost)
	}
	if leases, err := c.Client(t).Leases(t.Context()); err != nil || len(leases.Leases) != 0 {
		t.Errorf("leases are left: %v, %v", leases, err)
	}
}

// TestKeysOutliveAnyOneMember: stopped, frozen, the leader too.
func TestKeysOutliveAnyOneMember(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	cfg := configOf(c)
	cfg.Timeout = time.Second
	k := NewKeys(cfg)
	ours := claimed(t, k, 5)
	renew := func(what string) {
		t.Helper()
		within(t, 15*time.Second, what, func() {
			ctx, stop := context.WithTimeout(t.Context(), testLease)
			defer stop()
			for {
				now, err := k.Renew(ctx, ours)
				if err == nil && now.Created == ours.Created {
					return
				}
				if ctx.Err() != nil || err == nil {
					t.Fatalf("%s: Renew = %+v, %v", what, now, err)
				}
			}
		})
	}
	for i := range c.Members {
		c.Members[i].Pause(t)
		renew(fmt.Sprintf("renewal while member %d is frozen", i))
		c.Members[i].Resume(t)
		c.WaitHealthy(t)
	}
	leader := c.Members[c.Leader(t)]
	leader.Stop(t)
	renew("renewal after the leader's end")
	leader.Restart(t)
	if removed, err := k.Remove(t.Context(), ours); !removed || err != nil {
		t.Errorf("Remove = %t, %v", removed, err)
	}
}

// TestKeysTellWhyEtcdSaysNo, for good and at once.
func TestKeysTellWhyEtcdSaysNo(t *testing.T) {
	for _, version := range etcdtest.Versions {
		t.Run(version, func(t *testing.T) {
			c := etcdtest.Start(t, etcdtest.Options{Version: version, Auth: true})
			k := NewKeys(configOf(c))
			refused := func(k *Keys, want error) {
				t.Helper()
				_, err := k.Claim(t.Context(), Key{Name: testKey, Lease: 3}, testLease)
				if !errors.Is(err, want) {
					t.Errorf("Claim = %v, want %v", err, want)
				}
			}
			reader := configOf(c)
			reader.User, reader.Password = etcdtest.ReaderUser, etcdtest.ReaderPassword
			refused(NewKeys(reader), ErrNoRight)
			for kind, want := range map[pb.AlarmType]error{pb.AlarmType_NOSPACE: ErrNoSpace, pb.AlarmType_CORRUPT: ErrAlarmCorrupt} {
				alarm(t, c, kind, pb.AlarmRequest_ACTIVATE)
				refused(k, want)
				if _, err := k.Get(t.Context(), testKey); err != nil {
					t.Errorf("with %v Get = %v", kind, err)
				}
				alarm(t, c, kind, pb.AlarmRequest_DEACTIVATE)
			}
			claimed(t, k, 4)
			alarm(t, c, pb.AlarmType_NOSPACE, pb.AlarmRequest_ACTIVATE)
			if removed, err := k.Remove(t.Context(), mustGet(t, k)); !removed || err != nil {
				t.Errorf("with NOSPACE Remove = %t, %v", removed, err)
			}
		})
	}
	t.Run("no quorum", func(t *testing.T) {
		c := etcdtest.Start(t, etcdtest.Options{Members: 3})
		c.Members[0].Kill(t)
		c.Members[2].Pause(t)
		cfg := configOf(c)
		cfg.Timeout = time.Second
		_, err := NewKeys(cfg).Claim(t.Context(), Key{Name: testKey, Lease: 3}, testLease)
		if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Claim = %q, want ErrUnavailable on one line", err)
		}
	})
}

func mustGet(t *testing.T, k *Keys) Key {
	t.Helper()
	key, err := k.Get(t.Context(), testKey)
	if err != nil || key.Created == 0 {
		t.Fatalf("Get = %+v, %v", key, err)
	}
	return key
}

// TestARoleForThePrefixIsEnough: a lock alone does not need root.
func TestARoleForThePrefixIsEnough(t *testing.T) {
	for _, version := range etcdtest.Versions {
		t.Run(version, func(t *testing.T) {
			c := etcdtest.Start(t, etcdtest.Options{Version: version, Auth: true})
			root, ctx := c.Client(t), t.Context()
			_, e1 := root.RoleAdd(ctx, "lock")
			_, e2 := root.RoleGrantPermission(ctx, "lock", Prefix, clientv3.GetPrefixRangeEnd(Prefix), clientv3.PermissionType(clientv3.PermReadWrite))
			_, e3 := root.UserAdd(ctx, "locker", "locker-password")
			_, e4 := root.UserGrantRole(ctx, "locker", "lock")
			if err := errors.Join(e1, e2, e3, e4); err != nil {
				t.Fatal(err)
			}
			cfg := configOf(c)
			cfg.User, cfg.Password = "locker", "locker-password"
			k := NewKeys(cfg)
			ours := claimed(t, k, 6)
			_, renewed := k.Renew(ctx, ours)
			_, lives := k.TimeToLive(ctx, ours.Lease)
			removed, err := k.Remove(ctx, ours, Key{Name: Prefix + "trace"})
			if err := errors.Join(renewed, lives, err); err != nil || !removed {
				t.Errorf("Renew, TimeToLive, Remove: %t, %v", removed, err)
			}
		})
	}
}

func TestKeysTouchNothingElse(t *testing.T) {
	k := NewKeys(Config{Endpoints: []string{"127.0.0.1:1"}})
	for _, name := range []string{"", "/", "/etcdsafe", "etcdsafe/x", "/registry/x"} {
		_, get := k.Get(t.Context(), name)
		_, claim := k.Claim(t.Context(), Key{Name: name, Lease: 1}, time.Minute)
		_, remove := k.Remove(t.Context(), Key{Name: Prefix + "x"}, Key{Name: name})
		for _, err := range []error{get, k.Put(t.Context(), name, nil), claim, remove} {
			if err == nil || errors.Is(err, ErrUnavailable) {
				t.Errorf("%q: %v, want a refusal before anything is dialled", name, err)
			}
		}
	}
}
