package defrag

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/etcdsafe/etcdsafe/jobs/defrag/rule"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// sideBySide is how many tests run at once, unless told: they mostly wait for members at work and for pauses.
const sideBySide = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "test.parallel" })
	if !told {
		if err := flag.Set("test.parallel", sideBySide); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// always is a rule that says yes of whatever has a free page.
const always = "dbSizeFree > 0"

// A rig is a real cluster, and a configuration by which a run ends soon.
type rig struct {
	Config
	t   *testing.T
	c   *etcdtest.Cluster
	log *buffer
}

func newRig(t *testing.T, o etcdtest.Options) *rig {
	t.Helper()
	c := etcdtest.Start(t, o)
	r := &rig{t: t, c: c, log: &buffer{}}
	cfg := etcd.Config{Endpoints: c.Endpoints(), Timeout: 2 * time.Second}
	if o.TLS {
		cfg.CACert, cfg.Cert, cfg.Key = c.PKI.CA, c.PKI.Client.Cert, c.PKI.Client.Key
	}
	if o.Auth {
		cfg.User, cfg.Password = etcdtest.RootUser, etcdtest.RootPassword
	}
	r.Config = Config{Cluster: "test", Etcd: cfg, Rule: compile(t, always), Wait: time.Second, Watch: 3 * time.Second, GiveUp: 2 * time.Minute, MoveLeader: true, CompactKeep: -1,
		Lock: lock.Etcd(cfg, lock.Options{Lease: 10 * time.Second}), Policy: lock.Policy{IfLocked: lock.Fail, MaxAge: time.Hour},
		Claim: lock.Claim{Holder: fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano()), Job: "defrag", Cluster: "test", Host: "here"},
		Now:   time.Now, Log: logTo(r.log),
		pace: pace{again: 300 * time.Millisecond, unwell: time.Second, settle: time.Second, follow: 500 * time.Millisecond}}
	return r
}

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func compile(t *testing.T, text string) rule.Rule {
	t.Helper()
	made, err := rule.Compile(text)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// buffer is a log that several write to.
type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// fragment leaves n MB of free pages in each member.
func (r *rig) fragment(n int) {
	r.t.Helper()
	r.c.Put(r.t, filler(10*n, 100_000))
	r.clear()
	r.wait("free pages on each member", func() bool {
		if _, err := r.c.Client(r.t).Put(r.t.Context(), "/tick", "x"); err != nil { // pages are free after the next commit
			r.t.Fatalf("put: %v", err)
		}
		for i := range r.c.Members {
			s, err := r.c.Client(r.t).Status(r.t.Context(), r.c.Endpoints()[i])
			if err != nil || s.DbSize-s.DbSizeInUse < int64(n)*700_000 {
				return false
			}
		}
		return true
	})
}

// wait waits for what comes by itself.
func (r *rig) wait(what string, there func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !there(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("no %s within 20 s", what)
		}
	}
}

// clear deletes the filler and compacts, on each member.
func (r *rig) clear() {
	r.t.Helper()
	client := r.c.Client(r.t)
	gone, err := client.Delete(r.t.Context(), "/filler/", clientv3.WithPrefix())
	if err != nil {
		r.t.Fatalf("delete: %v", err)
	}
	if _, err := client.Compact(r.t.Context(), gone.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		r.t.Fatalf("compact: %v", err)
	}
}

// filler is n values of so many bytes.
func filler(n, size int) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i := range n {
			if !yield(fmt.Sprintf("/filler/%05d", i), bytes.Repeat([]byte{byte(i)}, size)) {
				return
			}
		}
	}
}

// run runs it.
func (r *rig) run() (Report, error) { return r.runWith(r.t.Context()) }

func (r *rig) runWith(ctx context.Context) (Report, error) {
	r.t.Helper()
	report, err := Run(ctx, r.Config)
	if r.t.Failed() {
		r.t.Logf("log:\n%s", r.log)
	}
	return report, err
}

// must runs it, and wants no error.
func (r *rig) must() Report {
	r.t.Helper()
	report, err := r.run()
	if err != nil {
		r.t.Fatalf("Run = %v, with %+v, and logs\n%s", err, report, r.log)
	}
	return report
}

// note is what a run left in etcd of a member; nil: none did.
func (r *rig) note(member int) *note {
	r.t.Helper()
	one := run{keys: etcd.NewKeys(r.Etcd)}
	n, err := one.lastNote(r.t.Context(), r.c.Members[member].ID)
	if err != nil {
		r.t.Error(err)
	}
	return n
}

// single is a run whose steps the test takes itself.
func (r *rig) single() *run {
	return &run{Config: r.Config, keys: etcd.NewKeys(r.Etcd), own: map[uint64]int64{}, lasted: map[uint64]bool{}, pause: pause, jitter: jitter}
}

// verdicts is each member's, by name.
func verdicts(report Report) string {
	var out []string
	for _, m := range report.Members {
		out = append(out, m.Name+" "+string(m.Verdict))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// spell is one defragmentation, as the server's own log tells it.
type spell struct {
	member   string
	from, to time.Time
}

var logTime = regexp.MustCompile(`"ts":"([^"]+)"`)

// spells are all defragmentations, by their begin.
func (r *rig) spells() (out []spell) {
	r.t.Helper()
	for _, m := range r.c.Members {
		open := -1
		for line := range strings.Lines(m.Log()) {
			begins, ends := strings.Contains(line, `"starting defragment"`), strings.Contains(line, `"finished defragment"`)
			if !begins && !ends {
				continue
			}
			found := logTime.FindStringSubmatch(line)
			if found == nil {
				r.t.Fatalf("no time in %q", line)
			}
			at, err := time.Parse("2006-01-02T15:04:05.999999Z0700", found[1])
			if err != nil {
				r.t.Fatal(err)
			}
			switch {
			case begins:
				out = append(out, spell{member: m.Name, from: at})
				open = len(out) - 1
			case open >= 0:
				out[open].to = at
			}
		}
	}
	slices.SortFunc(out, func(a, b spell) int { return a.from.Compare(b.from) })
	return out
}

// oneAtATime fails where two overlap, or one never ended.
func (r *rig) oneAtATime() []spell {
	r.t.Helper()
	all := r.spells()
	for i, s := range all {
		if s.to.IsZero() {
			r.t.Errorf("the defragmentation of %s at %s did not end", s.member, s.from)
		}
		if i > 0 && s.from.Before(all[i-1].to) {
			r.t.Errorf("%s begins at %s, before %s ends at %s", s.member, s.from, all[i-1].member, all[i-1].to)
		}
	}
	return all
}

// names are the members, in the order of their defragmentations.
func names(all []spell) (out []string) {
	for _, s := range all {
		out = append(out, s.member)
	}
	return out
}

func versions() []string {
	if testing.Short() {
		return []string{"3.6"}
	}
	return []string{"3.5", "3.6", "3.7"}
}

// alarms are those that are active.
func (r *rig) alarms() string {
	r.t.Helper()
	got, err := r.c.Client(r.t).AlarmList(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, a := range got.Alarms {
		out = append(out, a.Alarm.String())
	}
	return strings.Join(out, " ")
}

// corruptAlarm raises CORRUPT of the first member, as etcd's own check would.
func (r *rig) corruptAlarm() {
	r.t.Helper()
	client := pb.NewMaintenanceClient(r.c.Client(r.t).ActiveConnection())
	if _, err := client.Alarm(r.t.Context(), &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: r.c.Members[0].ID, Alarm: pb.AlarmType_CORRUPT}); err != nil {
		r.t.Fatal(err)
	}
}
