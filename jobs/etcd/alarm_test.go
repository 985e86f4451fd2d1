package etcd

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// TestAlarmsAndDisarm fills a cluster to its quota, on each version: the alarm is told by all
// ways, and ends by Disarm, for root alone; a CORRUPT beside it stays.
func TestAlarmsAndDisarm(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: version, TLS: true, Auth: true, QuotaBytes: 4 << 20})
			conn := openTo(t, c, 0)
			wantAlarms(t, c, conn)

			client := c.Client(t)
			var err error
			for i := 0; err == nil && i < 100; i++ {
				_, err = client.Put(t.Context(), "/key", strings.Repeat("x", 200_000))
			}
			if !errors.Is(err, rpctypes.ErrNoSpace) {
				t.Fatalf("filled to the quota, Put says %v", err)
			}
			full := Alarm{c.Members[0].ID, NoSpace}
			wantAlarms(t, c, conn, full)

			broken := Alarm{c.Members[0].ID, Corrupt}
			raise(t, c, pb.AlarmType_CORRUPT)
			wantAlarms(t, c, conn, broken, full)
			if err := conn.Disarm(t.Context(), broken); err == nil || !strings.Contains(err.Error(), "only NOSPACE is ever disarmed") {
				t.Errorf("Disarm of %s = %v, want a refusal", broken, err)
			}
			if err := conn.Disarm(t.Context(), Alarm{Member: full.Member}); err == nil {
				t.Errorf("Disarm of no kind = nil, want a refusal: etcd takes it for all")
			}
			wantFault(t, open(t, asReader(configOf(c))).Disarm(t.Context(), full), "the user lacks the right")
			wantAlarms(t, c, conn, broken, full)
			for range 2 { // the second time there is none
				if err := conn.Disarm(t.Context(), full); err != nil {
					t.Fatalf("Disarm of %s: %v", full, err)
				}
				wantAlarms(t, c, conn, broken)
			}
		})
	}
}

// raise asks the member as etcd's own checker would: no client of etcd offers it.
func raise(t *testing.T, c *etcdtest.Cluster, kind pb.AlarmType) {
	t.Helper()
	_, err := pb.NewMaintenanceClient(c.Client(t).ActiveConnection()).Alarm(t.Context(), &pb.AlarmRequest{
		Action: pb.AlarmRequest_ACTIVATE, MemberID: c.Members[0].ID, Alarm: kind,
	})
	if err != nil {
		t.Fatalf("raise %s: %v", kind, err)
	}
}

// wantAlarms looks by the quorum, by Status and by discovery.
func wantAlarms(t *testing.T, c *etcdtest.Cluster, conn *Conn, want ...Alarm) {
	t.Helper()
	asked, err := conn.Alarms(t.Context())
	if err != nil || !slices.Equal(asked, want) {
		t.Errorf("Conn.Alarms = %v, %v; want %v", asked, err, want)
	}
	s, err := conn.Status(t.Context())
	if err != nil || !slices.Equal(s.Alarms(), want) || len(s.Faults()) > 0 {
		t.Errorf("Status %q tells the alarms %v and the faults %q, %v; want %v", s.Errors, s.Alarms(), s.Faults(), err, want)
	}
	corrupt := slices.ContainsFunc(want, func(a Alarm) bool { return a.Kind == Corrupt })
	if got := discover(t, configOf(c)); !slices.Equal(got.Alarms(), want) || s.Corrupt() != corrupt {
		t.Errorf("Cluster.Alarms = %v, Corrupt = %v; want %v", got.Alarms(), s.Corrupt(), want)
	}
}

// TestStatusTellsAlarmsFromFaults by texts, as the versions write them.
func TestStatusTellsAlarmsFromFaults(t *testing.T) {
	t.Parallel()
	s := Status{Errors: []string{
		"etcdserver: no leader", "memberID:12345678912345678912 alarm:NOSPACE ", "memberID:7  alarm:CORRUPT", "alarm:CORRUPT", "memberID:7 alarm:3", "memberID:7 alarm:CORRUPT",
	}}
	want := []Alarm{{0, Corrupt}, {7, "3"}, {7, Corrupt}, {12345678912345678912, NoSpace}}
	if got := s.Alarms(); !slices.Equal(got, want) {
		t.Errorf("Alarms = %v, want %v", got, want)
	}
	if got := s.Faults(); !slices.Equal(got, []string{"etcdserver: no leader"}) {
		t.Errorf("Faults = %q, want that there is no leader", got)
	}
	if got := want[3].String(); got != "memberID:12345678912345678912 alarm:NOSPACE" {
		t.Errorf("an alarm is written %q, not as etcdctl does", got)
	}
}

// TestAnAlarmIsToldWithoutAQuorum by those members that are left.
func TestAnAlarmIsToldWithoutAQuorum(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	raise(t, c, pb.AlarmType_CORRUPT)
	want := []Alarm{{c.Members[0].ID, Corrupt}}
	waitUntil(t, "all members to know", func() bool {
		got := discover(t, configOf(c))
		return !slices.ContainsFunc(got.Members, func(m Member) bool { return !slices.Equal(m.Status.Alarms(), want) })
	})
	c.Members[1].Kill(t)
	c.Members[2].Kill(t)
	cfg := configOf(c)
	cfg.Timeout = time.Second
	if got := discover(t, cfg); !slices.Equal(got.Alarms(), want) || got.Quorum {
		t.Errorf("Alarms = %v, quorum %v; want %v and none", got.Alarms(), got.Quorum, want)
	}
}
