package etcd

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// TestOneDeadEndpointCostsSeconds puts each kind of dead endpoint among good ones.
func TestOneDeadEndpointCostsSeconds(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	for _, dead := range []struct{ name, endpoint, hint string }{
		{"refuses", deadPort(t), "nothing listens there"},
		{"does not resolve", "no-such-host.invalid:2379", "the name does not resolve"},
		{"never answers", silent(t), "no answer in time"},
	} {
		t.Run(dead.name, func(t *testing.T) {
			t.Parallel()
			cfg := configOf(c)
			cfg.Endpoints[1] = dead.endpoint
			within(t, 6500*time.Millisecond, "Discover", func() {
				got := discover(t, cfg)
				wantReached(t, got, c, 0, 1, 2)
				if len(got.Faults) != 1 || !strings.Contains(got.Faults[0].Error(), dead.hint) || !got.Quorum {
					t.Errorf("Discover: faults %v, quorum %v; want one fault with %q, and a quorum", got.Faults, got.Quorum, dead.hint)
				}
			})
		})
	}
}

// TestOneFrozenMemberCostsSeconds differs from a dead endpoint: the member is still listed, and
// its URL may be tried again.
func TestOneFrozenMemberCostsSeconds(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	leader := c.Leader(t)
	frozen := (leader + 1) % 3
	c.Members[frozen].Pause(t)
	cfg := configOf(c)
	cfg.Timeout = 2 * time.Second
	within(t, 3*time.Second, "Discover", func() {
		got := discover(t, cfg)
		wantReached(t, got, c, leader, 3-leader-frozen)
		if !got.Quorum {
			t.Error("Quorum is false with two of three members")
		}
		if order, out := got.Candidates(); len(order) != 2 || !slices.Equal(names(out), []string{c.Members[frozen].Name}) {
			t.Errorf("Candidates = %q, left out %q; want two, and %q left out", names(order), names(out), c.Members[frozen].Name)
		}
	})
}

// wantReached checks that all of c's members are listed, and which of them were reached.
func wantReached(t *testing.T, got *Cluster, c *etcdtest.Cluster, reached ...int) {
	t.Helper()
	if len(got.Members) != len(c.Members) {
		t.Fatalf("Discover found %d members, want %d", len(got.Members), len(c.Members))
	}
	for i, m := range c.Members {
		found := member(t, got, m.ID)
		if ok := found.Err == nil; ok != slices.Contains(reached, i) {
			t.Errorf("member %d: error %v, want reached %v", i, found.Err, !ok)
		}
		if found.Err != nil && (found.Endpoint() != "" || !errors.Is(found.Err, ErrUnavailable)) {
			t.Errorf("member %d: endpoint %q, error %v; want none, and ErrUnavailable", i, found.Endpoint(), found.Err)
		}
		if found.Name != m.Name || !slices.Equal(found.ClientURLs, []string{m.ClientURL}) || !slices.Equal(found.PeerURLs, []string{m.PeerURL}) {
			t.Errorf("member %d is told as %+v, it is %s at %s", i, found, m.Name, m.ClientURL)
		}
	}
}

func TestDiscoverTellsOfEachVersion(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: version, Members: 3, TLS: true, Auth: true})
			got := discover(t, configOf(c))
			wantReached(t, got, c, 0, 1, 2)
			leader := c.Leader(t)
			for i, m := range c.Members {
				s := member(t, got, m.ID).Status
				if s.MemberID != m.ID || s.ClusterID != got.ID || s.IsLeader() != (i == leader) || s.Leader != c.Members[leader].ID {
					t.Errorf("status of member %d is %+v, want id %x, leader %x", i, s, m.ID, c.Members[leader].ID)
				}
				if !strings.HasPrefix(s.Version, version+".") || s.Revision < 1 || s.Applied == 0 || s.Index == 0 || s.Term == 0 || s.DBBytes <= 0 || s.InUseBytes <= 0 || s.Learner || len(s.Errors) > 0 {
					t.Errorf("status of member %d is %+v", i, s)
				}
			}
			if !got.Quorum || got.ID == 0 || len(got.Faults) > 0 {
				t.Errorf("Discover: quorum %v, id %x, faults %v", got.Quorum, got.ID, got.Faults)
			}
		})
	}
}

func TestOneEndpointFindsAllMembers(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3, TLS: true})
	for i := range c.Members {
		cfg := configOf(c)
		cfg.Endpoints = cfg.Endpoints[i : i+1]
		wantReached(t, discover(t, cfg), c, 0, 1, 2)
	}
}

func TestAMemberWithTwoURLsIsOneMember(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	cfg := configOf(c)
	cfg.Endpoints = []string{c.Members[0].ListenURL, c.Members[0].ClientURL, strings.Replace(c.Members[0].ListenURL, "127.0.0.1", "localhost", 1)}
	got := discover(t, cfg)
	wantReached(t, got, c, 0)
	if len(got.Faults) != 0 || !slices.Contains(cfg.Endpoints, got.Members[0].Endpoint()) {
		t.Errorf("Discover: faults %v, reached by %q", got.Faults, got.Members[0].Endpoint())
	}
}

func TestEndpointsOfTwoClustersAreRefused(t *testing.T) {
	t.Parallel()
	a, b := etcdtest.Start(t, etcdtest.Options{}), etcdtest.Start(t, etcdtest.Options{})
	_, err := Discover(t.Context(), Config{Endpoints: append(a.Endpoints(), b.Endpoints()...)})
	wantFault(t, err, "others are of")
}

// TestABalancedEndpointReachesEveryMember knows the cluster by one address alone, behind which
// each new connection comes out at the next member.
func TestABalancedEndpointReachesEveryMember(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		direct bool // the members' own URLs can be reached too
	}{{"members in reach", true}, {"members out of reach", false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			servers := etcdtest.Start(t, etcdtest.Options{Members: 3, Proxied: true})
			var urls []string
			for _, m := range servers.Members {
				urls = append(urls, m.ListenURL)
				if !c.direct {
					m.Proxy.Refuse()
				}
			}
			cfg := Config{Endpoints: []string{balancer(t, "tcp4", "127.0.0.1:0", urls...)}}
			got := discover(t, cfg)
			if len(got.Members) != 3 || !got.Quorum {
				t.Fatalf("Discover found %d members, quorum %v; want 3 with a quorum", len(got.Members), got.Quorum)
			}
			reached := 0
			for _, m := range got.Members {
				if m.Err != nil {
					continue
				}
				reached++
				stays(t, got, m)
			}
			if want := map[bool]int{true: 3, false: 1}[c.direct]; reached < want {
				t.Errorf("Discover reached %d members, want at least %d", reached, want)
			}
		})
	}
}

// stays connects to m, several times, and checks that m answers from first to last.
func stays(t *testing.T, c *Cluster, m Member) {
	t.Helper()
	for range 4 {
		conn, err := c.Connect(t.Context(), m)
		if err != nil {
			t.Errorf("Connect(%s): %v", m.Name, err)
			return
		}
		for range 4 {
			if s, err := conn.Status(t.Context()); err != nil || s.MemberID != m.ID || conn.MemberID() != m.ID {
				t.Errorf("Status on a connection to %s came from %s, %v", HexID(m.ID), HexID(s.MemberID), err)
			}
		}
		if err := conn.Snapshot(t.Context(), Stream{To: &sink{}}); err != nil {
			t.Errorf("Snapshot of %s: %v", m.Name, err)
		}
		if s, err := conn.Status(t.Context()); err != nil || s.MemberID != m.ID {
			t.Errorf("Status after the stream of %s came from %s, %v", HexID(m.ID), HexID(s.MemberID), err)
		}
		if err := conn.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// TestDiscoverNeedsNoQuorum leaves one of three members, the two others stopped or frozen.
func TestDiscoverNeedsNoQuorum(t *testing.T) {
	t.Parallel()
	for _, frozen := range []bool{false, true} {
		t.Run(map[bool]string{false: "stopped", true: "frozen"}[frozen], func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Members: 3, TLS: true})
			for _, m := range c.Members[1:] {
				if frozen {
					m.Pause(t)
				} else {
					m.Kill(t)
				}
			}
			cfg := configOf(c)
			cfg.Timeout = 2 * time.Second
			within(t, 7*time.Second, "Discover", func() {
				got := discover(t, cfg)
				wantReached(t, got, c, 0)
				if got.Quorum {
					t.Error("Quorum is true with one member of three")
				}
				if order, out := got.Candidates(); !slices.Equal(names(order), []string{"m0"}) || !slices.Equal(names(out), []string{"m1", "m2"}) {
					t.Errorf("Candidates = %q, left out %q; want m0 alone", names(order), names(out))
				}
				conn, err := got.Connect(t.Context(), member(t, got, c.Members[0].ID))
				if err != nil {
					t.Fatalf("Connect: %v", err)
				}
				defer conn.Close()
				if err := conn.Snapshot(t.Context(), Stream{To: &sink{}}); err != nil {
					t.Errorf("Snapshot of a member without a quorum: %v", err)
				}
			})
		})
	}
}

// TestCandidatesComeInOrder: a follower first, the leader last, a learner and an unstarted
// member never, each with the reason.
func TestCandidatesComeInOrder(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	learner := c.AddLearner(t)
	if _, err := c.Client(t).MemberAddAsLearner(t.Context(), []string{"http://127.0.0.1:1"}); err == nil {
		t.Fatal("a second learner was taken: the test wants an unstarted voter then")
	}
	cfg := configOf(c)
	got := discover(t, cfg)
	leader := c.Members[c.Leader(t)].Name
	order, out := got.Candidates()
	if list := names(order); len(list) != 3 || list[2] != leader || list[0] > list[1] {
		t.Errorf("Candidates = %q, want the two followers by name and then %s", list, leader)
	}
	for _, cand := range order {
		want := "follower in sync"
		if cand.Member.Name == leader {
			want = "the leader"
		}
		if cand.Why != want {
			t.Errorf("%s is said to be %q, want %q", cand.Member.Name, cand.Why, want)
		}
	}
	if len(out) != 1 || out[0].Member.ID != learner.ID || out[0].Why != "a learner" {
		t.Errorf("left out are %q, want the learner", names(out))
	}
	if !got.Quorum {
		t.Error("Quorum is false with all voters")
	}
}

// TestALearnersEndpointAloneIsNotEnough: a learner does not tell the members.
func TestALearnersEndpointIsNoCandidate(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	learner := c.AddLearner(t)
	got := discover(t, Config{Endpoints: []string{learner.ClientURL, c.Members[0].ClientURL}})
	if m := member(t, got, learner.ID); !m.Learner || m.Err != nil {
		t.Errorf("the learner is told as %+v", m)
	}
	if order, _ := got.Candidates(); !slices.Equal(names(order), []string{"m0"}) {
		t.Errorf("Candidates = %q, want m0 alone", names(order))
	}
	_, err := Discover(t.Context(), Config{Endpoints: []string{learner.ClientURL}})
	wantFault(t, err, "no endpoint told the members")
}

func TestAMemberThatHasNotStartedIsListed(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	if _, err := c.Client(t).MemberAdd(t.Context(), []string{"http://127.0.0.1:1"}); err != nil {
		t.Fatalf("MemberAdd: %v", err)
	}
	waitUntil(t, "the members know of the fourth", func() bool { return len(discover(t, configOf(c)).Members) == 4 })
	got := discover(t, configOf(c))
	_, out := got.Candidates()
	if len(out) != 1 || !strings.Contains(out[0].Why, "has not started") || !got.Quorum {
		t.Errorf("left out are %+v, quorum %v; want the one that has not started, and a quorum", out, got.Quorum)
	}
}

// TestCandidatesByRank is the order as a table, for what real members are slow to show.
func TestCandidatesByRank(t *testing.T) {
	status := func(id, applied uint64, faults ...string) Status {
		return Status{MemberID: id, Leader: 9, Applied: applied, Errors: faults}
	}
	c := &Cluster{Members: []Member{
		{ID: 9, Name: "a-leader", Status: status(9, 9000)},
		{ID: 1, Name: "b-sick", Status: status(1, 9000, "NOSPACE")},
		{ID: 2, Name: "c-behind", Status: status(2, 7999)},
		{ID: 3, Name: "d-dead", Err: ErrUnavailable},
		{ID: 4, Name: "e-edge", Status: status(4, 8000)},
		{ID: 5, Name: "f-learner", Learner: true, Status: status(5, 9000)},
		{ID: 6, Name: "g-good", Status: status(6, 9000)},
		{ID: 7, Name: "h-leaderless", Status: Status{MemberID: 7, Applied: 9000}},
	}}
	order, out := c.Candidates()
	want := []string{"e-edge", "g-good", "h-leaderless", "c-behind", "b-sick", "a-leader"}
	if got := names(order); !slices.Equal(got, want) {
		t.Errorf("Candidates = %q, want %q", got, want)
	}
	if got := names(out); !slices.Equal(got, []string{"d-dead", "f-learner"}) {
		t.Errorf("left out are %q, want d-dead and f-learner", got)
	}
	for i, word := range []string{"in sync", "in sync", "", "1001 entries behind", "NOSPACE", "leader"} {
		if !strings.Contains(order[i].Why, word) {
			t.Errorf("%s is said to be %q, want %q in it", order[i].Member.Name, order[i].Why, word)
		}
	}
}

// TestProxyVariablesAreNotUsed runs in a process of its own, since Go's HTTP client reads the
// environment once. 0.0.0.0 reaches loopback, and no proxy setting exempts it.
func TestProxyVariablesAreNotUsed(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	dead := "http://" + deadPort(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, askCommand, strings.Replace(c.Members[0].ListenURL, "127.0.0.1", "0.0.0.0", 1))
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		cmd.Env = append(cmd.Env, name+"="+dead)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("with the proxy variables set: %v\n%s", err, out)
	}
}
