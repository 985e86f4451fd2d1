package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// of reaches c as an operator would, with little patience.
func of(c *etcdtest.Cluster) Config {
	return Config{Now: time.Now, Etcd: etcd.Config{
		Endpoints: c.Endpoints(), CACert: c.CA, Cert: c.ClientCert, Key: c.ClientKey,
		User: c.User, Password: etcd.Password(c.Password), Timeout: 2 * time.Second,
	}}
}

// look wants exactly these sentinels of the package in the error.
func look(t *testing.T, cfg Config, want ...error) (Report, error) {
	t.Helper()
	r, err := Look(t.Context(), cfg)
	for _, sentinel := range []error{ErrAlarm, ErrUnhealthy} {
		if errors.Is(err, sentinel) != slices.Contains(want, sentinel) {
			t.Fatalf("Look = %v, want %v", err, want)
		}
	}
	if (err == nil) != (len(want) == 0) || (err == nil) != (r.Error == "") || strings.Contains(r.Error, "\n") {
		t.Fatalf("Look = %v, and the report's error is %q; want %v", err, r.Error, want)
	}
	return r, err
}

// named is the member of that name.
func named(t *testing.T, r Report, name string) Member {
	t.Helper()
	for _, m := range r.Members {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("member %s is not in the report: %+v", name, r.Members)
	return Member{}
}

// fragment fills all members and empties them again, and writes until the pages are free in all: each
// takes a commit or two after the compaction.
func fragment(t *testing.T, c *etcdtest.Cluster) {
	t.Helper()
	c.Put(t, func(yield func(string, []byte) bool) {
		for i := range 50 {
			if !yield(fmt.Sprintf("/filler/%d", i), make([]byte, 100_000)) {
				return
			}
		}
	})
	client := c.Client(t)
	gone, err := client.Delete(t.Context(), "/filler/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Compact(t.Context(), gone.Header.Revision); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	for _, m := range c.Members {
		for m.Metric(t, "etcd_mvcc_db_total_size_in_use_in_bytes") > 1<<20 {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("%s has not let go of its pages within 30 s", m.Name)
			}
			if _, err := client.Put(ctx, "/nudge", ""); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func versions() []string {
	if testing.Short() {
		return etcdtest.Versions[1:2]
	}
	return etcdtest.Versions[:]
}

// TestLookOfEachVersion: all columns against the test's own look, by a user without any right.
func TestLookOfEachVersion(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: version, Members: 3, TLS: true, Auth: true, QuotaBytes: 64 << 20})
			fragment(t, c)
			leader := c.Leader(t)
			cfg := of(c)
			cfg.Etcd.User, cfg.Etcd.Password = etcdtest.ReaderUser, etcdtest.ReaderPassword
			r, _ := look(t, cfg)
			if !r.Quorum || len(r.Members) != 3 || len(r.Alarms)+len(r.Notes) != 0 {
				t.Errorf("report is %+v, want a quorum, 3 members, no alarm and no note", r)
			}
			for i, m := range c.Members {
				got := named(t, r, m.Name)
				own, err := c.Client(t, i).Status(t.Context(), m.ListenURL)
				if err != nil {
					t.Fatal(err)
				}
				if got.ID != etcd.HexID(m.ID) || got.IDDecimal != strconv.FormatUint(m.ID, 10) || got.Endpoint != m.ClientURL || got.Version != own.Version ||
					got.Leader != (i == leader) || got.Learner || got.Term != own.RaftTerm || got.Index == 0 || got.Index > own.RaftIndex || got.Applied == 0 ||
					got.Applied > own.RaftAppliedIndex || len(got.Errors) != 0 || len(got.Known) != 0 || got.Error+got.MetricsError != "" {
					t.Errorf("member %d is told as %+v %+v, its own Status is %+v", i, got, *got.Raft, own)
				}
				// a commit meanwhile takes or frees some pages
				if got.DBSize != own.DbSize || max(got.DBSizeInUse-own.DbSizeInUse, own.DbSizeInUse-got.DBSizeInUse) > 64<<10 ||
					got.DBSizeFree != got.DBSize-got.DBSizeInUse || got.DBSizeFree < 3<<20 || got.Fragmentation != float64(got.DBSizeFree)/float64(got.DBSize) {
					t.Errorf("space of member %d is told as %+v, its own Status is %+v", i, *got.Space, own)
				}
				if got.QuotaFrom != ByMember || *got.DBQuota != 64<<20 || *got.DBQuotaUsage != float64(own.DbSize)/(64<<20) {
					t.Errorf("quota of member %d is told as %+v, want 64 MiB", i, *got.Space)
				}
				if got.Defragmenting || got.SnapshotStreams != 0 || got.Defragmentations != 0 || got.ProcessStarted.IsZero() {
					t.Errorf("in flight on member %d is told as %+v, want nothing", i, *got.InFlight)
				}
			}
		})
	}
}

// TestMembersThatDoNotAnswerStay, with what is wrong, and with a member that is only listed.
func TestMembersThatDoNotAnswerStay(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 5})
	leader := c.Leader(t)
	dead, frozen := c.Members[(leader+1)%5], c.Members[(leader+2)%5]
	dead.Kill(t)
	frozen.Pause(t)
	r, err := look(t, of(c), ErrUnhealthy)
	if !r.Quorum || len(r.Members) != 5 || len(r.Notes) != 0 {
		t.Errorf("report is %+v, want a quorum, 5 members, and no note beside their errors", r)
	}
	for m, why := range map[*etcdtest.Member]string{dead: "nothing listens there", frozen: "no answer in time"} {
		got := named(t, r, m.Name)
		if !strings.Contains(got.Error, why) || got.Endpoint != m.ClientURL || got.ID != etcd.HexID(m.ID) || got.Raft != nil || got.Space != nil || got.InFlight != nil || got.MetricsError == "" {
			t.Errorf("%s is told as %+v, want %q and no figures", m.Name, got, why)
		}
		if !strings.Contains(err.Error(), m.Name+" was not reached: ") {
			t.Errorf("Look = %v, which does not name %s", err, m.Name)
		}
	}
	if strings.Contains(err.Error(), c.Members[leader].Name) {
		t.Errorf("Look = %v, which names a member that is well", err)
	}

	frozen.Resume(t)
	dead.Restart(t)
	if _, err := c.Client(t).MemberAdd(t.Context(), []string{"http://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	r, err = look(t, of(c), ErrUnhealthy)
	if got := named(t, r, ""); got.Endpoint != "-" || !strings.Contains(got.Error, "has not started") || !strings.Contains(err.Error(), got.ID+" was not reached") {
		t.Errorf("a member that has not started is told as %+v, %v", got, err)
	}
}

// TestWithoutAQuorumTheRestIsTold, and why.
func TestWithoutAQuorumTheRestIsTold(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c.Members[0].Kill(t)
	c.Members[1].Kill(t)
	r, err := look(t, of(c), ErrUnhealthy)
	if got := named(t, r, "m2"); r.Quorum || got.Raft == nil || got.InFlight == nil || !strings.Contains(err.Error(), "there is no quorum") {
		t.Errorf("report is %+v, %v; want no quorum, and the figures of m2", r, err)
	}
	c.Members[2].Kill(t)
	r, err = Look(t.Context(), of(c))
	if !errors.Is(err, etcd.ErrUnavailable) || r.Error == "" || len(r.Members) != 0 {
		t.Errorf("with nobody left: %+v, %v; want the error alone", r, err)
	}
	wantLists(t, r)
}

// wantLists holds a report's JSON to lists that are never null.
func wantLists(t *testing.T, r Report) {
	t.Helper()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "null") {
		t.Errorf("a list is null: %s", raw)
	}
}

// TestALearnerIsNoVoter: it is told of as such, and its end makes nobody unhealthy.
func TestALearnerIsNoVoter(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	learner := c.AddLearner(t)
	r, _ := look(t, of(c))
	if got := named(t, r, learner.Name); !got.Learner || got.Leader || got.Raft == nil || got.InFlight == nil {
		t.Errorf("the learner is told as %+v", got)
	}
	learner.Kill(t)
	r, _ = look(t, of(c))
	if got := named(t, r, learner.Name); !got.Learner || got.Error == "" {
		t.Errorf("the learner that ended is told as %+v", got)
	}
}

// TestAlarmsAreTold by id in both forms, beside a member that is not well.
func TestAlarmsAreTold(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	sick := c.Members[1]
	for _, kind := range []pb.AlarmType{pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT} {
		_, err := pb.NewMaintenanceClient(c.Client(t).ActiveConnection()).Alarm(t.Context(), &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: sick.ID, Alarm: kind})
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := look(t, of(c), ErrAlarm)
	decimal := strconv.FormatUint(sick.ID, 10)
	want := []Alarm{
		{etcd.HexID(sick.ID), decimal, "m1", "CORRUPT", "memberID:" + decimal + " alarm:CORRUPT"},
		{etcd.HexID(sick.ID), decimal, "m1", "NOSPACE", "memberID:" + decimal + " alarm:NOSPACE"},
	}
	if !slices.Equal(r.Alarms, want) {
		t.Errorf("Alarms = %+v, want %+v", r.Alarms, want)
	}
	if !strings.Contains(err.Error(), want[0].Text+" (m1), "+want[1].Text+" (m1)") {
		t.Errorf("Look = %v, which does not name both alarms", err)
	}
	c.Members[2].Kill(t)
	_, err = look(t, of(c), ErrAlarm, ErrUnhealthy)
	if !strings.Contains(err.Error(), "m2 was not reached") {
		t.Errorf("Look = %v, which does not name m2", err)
	}
}

// TestAMemberAtWorkIsToldByItsMetrics: a defragmentation that waits for a snapshot stream which
// nobody reads. Status hangs meanwhile.
func TestAMemberAtWorkIsToldByItsMetrics(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3, QuotaBytes: 128 << 20})
	c.Put(t, func(yield func(string, []byte) bool) {
		for i := range 400 { // more than the buffers on the way hold
			if !yield(fmt.Sprintf("/filler/%d", i), make([]byte, 100_000)) {
				return
			}
		}
	})
	at := (c.Leader(t) + 1) % 3
	busy, client := c.Members[at], c.Client(t, at)
	stream, err := client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, stream, 1); err != nil {
		t.Fatal(err)
	}
	r, _ := look(t, of(c))
	before := named(t, r, busy.Name)
	if before.SnapshotStreams != 1 || before.Defragmenting {
		t.Errorf("with a stream open: %+v, want 1 stream and no defragmentation", *before.InFlight)
	}

	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	done := make(chan error, 1)
	go func() {
		_, err := client.Defragment(ctx, busy.ListenURL)
		done <- err
	}()
	for busy.Metric(t, "etcd_disk_defrag_inflight") == 0 && ctx.Err() == nil {
		<-time.After(10 * time.Millisecond)
	}
	r, err = look(t, of(c), ErrUnhealthy)
	got := named(t, r, busy.Name)
	if got.Raft != nil || got.InFlight == nil || !got.Defragmenting || got.SnapshotStreams != 1 || !strings.Contains(err.Error(), busy.Name+" is being defragmented: ") {
		t.Errorf("at work: %+v, %v; want no Status, and a defragmentation and a stream in flight", got, err)
	}
	if got.Space == nil || got.DBSize != before.DBSize || got.DBQuota == nil || *got.DBQuota != 128<<20 {
		t.Errorf("at work: space is %+v, want %d bytes of 128 MiB by the metrics", got.Space, before.DBSize)
	}

	if _, err := io.Copy(io.Discard, stream); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatalf("Defragment: %v", err)
	}
	r, _ = look(t, of(c))
	if got := named(t, r, busy.Name); got.SnapshotStreams != 0 || got.Defragmenting || got.Defragmentations != 1 {
		t.Errorf("afterwards: %+v, want one defragmentation that ended", *got.InFlight)
	}
}

// TestAQuotaIsAskedForBeforeOneIsAssumed, on members whose metrics cannot be had.
func TestAQuotaIsAskedForBeforeOneIsAssumed(t *testing.T) {
	t.Parallel()
	refused := etcdtest.NewProxy(t, "127.0.0.1:1")
	refused.Refuse()
	for _, v := range []struct {
		version string
		args    []string
		metrics bool
		assumed int64
		from    Source
		quota   int64
	}{
		{"3.5", nil, true, 1 << 30, ByMember, 2 << 30},
		{"3.5", nil, false, 0, Unknown, 0},
		{"3.5", nil, false, 1 << 30, Assumed, 1 << 30},
		{"3.6", nil, false, 1 << 30, ByMember, 2 << 30},
		{"3.7", nil, false, 1 << 30, ByMember, 2 << 30},
		{"3.7", []string{"--quota-backend-bytes=-1"}, true, 1 << 30, None, 0},
	} {
		t.Run(fmt.Sprintf("%s,metrics=%v,assumed=%d", v.version, v.metrics, v.assumed), func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: v.version, Args: v.args})
			cfg := of(c)
			cfg.Quota = v.assumed
			if !v.metrics {
				cfg.Etcd.MetricsEndpoints = []string{refused.Addr}
			}
			r, _ := look(t, cfg)
			got := named(t, r, "m0")
			if (got.InFlight != nil) != v.metrics || (got.MetricsError == "") != v.metrics {
				t.Errorf("in flight: %v, error %q; want it known: %v", got.InFlight, got.MetricsError, v.metrics)
			}
			known := got.DBQuota != nil && got.DBQuotaUsage != nil
			if got.QuotaFrom != v.from || known != (v.quota != 0) || known && *got.DBQuota != v.quota {
				t.Errorf("quota is %+v, want %d by %q", got.Space, v.quota, v.from)
			}
		})
	}
}

// TestADeadEndpointBesideItsMemberIsANote: the member was reached by its own URL.
func TestADeadEndpointBesideItsMemberIsANote(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	refused := etcdtest.NewProxy(t, "127.0.0.1:1")
	refused.Refuse()
	cfg := of(c)
	cfg.Etcd.Endpoints = append(cfg.Etcd.Endpoints, refused.Addr)
	r, _ := look(t, cfg)
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], refused.Addr) {
		t.Errorf("Notes = %q, want the dead endpoint", r.Notes)
	}
	wantLists(t, r)
}

// TestTroublesOfAVersionAreTold, which no server that is here has.
func TestTroublesOfAVersionAreTold(t *testing.T) {
	t.Parallel()
	got := newMember(etcd.Member{Status: etcd.Status{Version: "3.6.4"}})
	if len(got.Known) != 2 || !strings.Contains(got.Known[0], "#20650") || !strings.Contains(got.Known[1], "#20790") {
		t.Errorf("of 3.6.4 is known %q, want #20650 and #20790", got.Known)
	}
}

// TestAMemberWithoutALeaderIsNotWell, by each thing that it may say.
func TestAMemberWithoutALeaderIsNotWell(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]etcd.Status{
		"":                               {Leader: 1, Errors: []string{"memberID:1 alarm:NOSPACE "}},
		"knows no leader":                {},
		"reports etcdserver: no leader":  {Errors: []string{"etcdserver: no leader"}},
		"reports something new from 3.9": {Leader: 1, Errors: []string{"something new from 3.9"}},
	} {
		if got := ail(etcd.Member{Status: s}, Member{}); got != want {
			t.Errorf("with %+v a member is said to be %q, want %q", s, got, want)
		}
	}
}
