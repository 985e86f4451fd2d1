package etcd

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// metricsOf fails the test where they are not told.
func metricsOf(t *testing.T, c *Cluster, m Member) Metrics {
	t.Helper()
	got, err := c.Metrics(t.Context(), m)
	if err != nil {
		t.Fatalf("Metrics of %s: %v", m.Name, err)
	}
	return got
}

// TestMetricsOfEachVersion compares with the test's own look at the page, and with Status.
func TestMetricsOfEachVersion(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,secure=%v", version, secure), func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				c := etcdtest.Start(t, etcdtest.Options{Version: version, TLS: secure, Auth: secure, QuotaBytes: 64 << 20})
				c.Put(t, filler(10, 10_000))
				conn := open(t, configOf(c))
				for range 2 {
					if err := conn.Defragment(t.Context()); err != nil {
						t.Fatalf("Defragment: %v", err)
					}
				}
				got := discover(t, configOf(c))
				m := metricsOf(t, got, got.Members[0])
				if m.Member != c.Members[0].ID || m.InDefrag() || m.SnapshotStreams != 0 || m.Defragmentations != 2 || m.Quota != 64<<20 {
					t.Errorf("Metrics = %+v, want member %x, 2 defragmentations, none and no stream in flight, a quota of 64 MiB", m, c.Members[0].ID)
				}
				if s := got.Members[0].Status; m.DBBytes != s.DBBytes || max(m.InUseBytes-s.InUseBytes, s.InUseBytes-m.InUseBytes) > 64<<10 {
					t.Errorf("Metrics = %+v, Status tells %d bytes, %d in use", m, s.DBBytes, s.InUseBytes)
				}
				// the kernel tells a process' start in hundredths since boot, and boot in seconds
				if m.Started.Before(began.Add(-2*time.Second)) || m.Started.After(time.Now().Add(2*time.Second)) {
					t.Errorf("Started is %s, the member began at %s", m.Started, began)
				}
			})
		}
	}
}

// TestMetricsEndpointsAreTiedByID gives them in another order than the members, among one that
// is dead and one that serves something else, without TLS though the cluster has it.
func TestMetricsEndpointsAreTiedByID(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3, TLS: true, Proxied: true})
	cfg := configOf(c)
	for _, m := range slices.Backward(c.Members) {
		cfg.MetricsEndpoints = append(cfg.MetricsEndpoints, m.MetricsURL)
	}
	var asked atomic.Int64
	useless := listen(t, "tcp4", "127.0.0.1:0", func(c net.Conn, _ int) { asked.Add(1); respond(c, "200 OK", "<html>\n") })
	cfg.MetricsEndpoints = append(cfg.MetricsEndpoints, deadPort(t), useless)
	cfg.MetricsEndpoints[0] = strings.TrimPrefix(cfg.MetricsEndpoints[0], "http://")
	got := discover(t, cfg)
	for range 2 {
		for i, m := range c.Members {
			before := m.Proxy.Connections()
			if of := metricsOf(t, got, member(t, got, m.ID)).Member; of != m.ID {
				t.Errorf("Metrics of member %d are those of %x, want %x", i, of, m.ID)
			}
			if m.Proxy.Connections() != before {
				t.Errorf("the client URL of member %d was asked for metrics", i)
			}
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("all endpoints were asked %d times, want 1: the first time tells where each member's are", n)
	}
	stranger := got.Members[0]
	stranger.ID++
	_, err := got.Metrics(t.Context(), stranger)
	for _, hint := range []string{"those of member " + HexID(c.Members[0].ID), "nothing listens there", "HTML"} {
		wantFault(t, err, hint)
	}
	c.Members[1].Stop(t)
	_, err = got.Metrics(t.Context(), member(t, got, c.Members[1].ID))
	wantFault(t, err, "nothing listens there")
}

// TestMetricsBehindABalancerAreTheMembersOwn: its address answers for somebody else.
func TestMetricsBehindABalancerAreTheMembersOwn(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 2})
	got := discover(t, configOf(c))
	m, other := got.Members[0], got.Members[1]
	m.at = other.at
	if of := metricsOf(t, got, m).Member; of != m.ID {
		t.Errorf("Metrics are those of %x, want %x", of, m.ID)
	}
	m.ClientURLs = nil
	_, err := discover(t, configOf(c)).Metrics(t.Context(), m)
	wantFault(t, err, "they are those of member "+HexID(other.ID))
}

// TestMetricsOfAMemberThatWasNotReached: its Status hangs, as in a defragmentation, and it is known
// by no URL but an endpoint that failed.
func TestMetricsOfAMemberThatWasNotReached(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	cfg := configOf(c)
	got := discover(t, cfg)
	m := member(t, got, c.Members[1].ID)
	m.at, m.Err = address{}, ErrUnavailable
	if of := metricsOf(t, got, m).Member; of != m.ID {
		t.Errorf("by its client URL: Metrics are those of %x, want %x", of, m.ID)
	}
	at, err := parseEndpoint(c.Members[1].ClientURL, false)
	if err != nil {
		t.Fatal(err)
	}
	got = &Cluster{tried: map[address]error{at: ErrUnavailable}}
	m.ClientURLs = nil
	if of := metricsOf(t, got, m).Member; of != m.ID {
		t.Errorf("by an endpoint that failed: Metrics are those of %x, want %x", of, m.ID)
	}
}

// goodPage is what Metrics needs of a page, as etcd writes it.
func goodPage(of uint64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# HELP etcd_server_id Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.\n# TYPE etcd_server_id gauge\netcd_server_id{server_id=\"%x\"} 1\n", of)
	for _, line := range []string{
		"etcd_disk_backend_defrag_duration_seconds_count 3", "etcd_disk_defrag_inflight 1", "etcd_mvcc_db_total_size_in_bytes 1.7954e+09",
		"etcd_mvcc_db_total_size_in_use_in_bytes 16384", "etcd_server_quota_backend_bytes 2.147483648e+09", `go_gc_duration_seconds{quantile="0"} NaN`,
		`grpc_server_handled_total{grpc_code="Canceled",grpc_method="Snapshot",grpc_service="etcdserverpb.Maintenance",grpc_type="server_stream"} 2`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Defragment",grpc_service="etcdserverpb.Maintenance",grpc_type="unary"} 3`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Snapshot",grpc_service="etcdserverpb.Maintenance",grpc_type="server_stream"} 5`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Snapshot",grpc_service="elsewhere.Maintenance",grpc_type="server_stream"} 50`,
		`grpc_server_started_total{grpc_method="Defragment",grpc_service="etcdserverpb.Maintenance",grpc_type="unary"} 5`,
		`grpc_server_started_total{grpc_method="Snapshot",grpc_service="etcdserverpb.Maintenance",grpc_type="server_stream"} 8`,
		"process_start_time_seconds 1.79546235935e+09",
	} {
		b.WriteString(line + "\n")
	}
	return b.String()
}

const pageOwner = 0xabc0123456789def

// goodMetrics is what goodPage tells.
var goodMetrics = Metrics{
	Member: pageOwner, Defragmenting: true, Defragmentations: 3, DefragCalls: 2, SnapshotStreams: 1,
	Quota: 2 << 30, DBBytes: 1_795_400_000, InUseBytes: 16384, Started: time.UnixMilli(1_795_462_359_350).UTC(),
}

// TestMetricsByThePage serves pages that no healthy member gives.
func TestMetricsByThePage(t *testing.T) {
	t.Parallel()
	good := goodPage(pageOwner)
	without := func(name string) string {
		return strings.Join(slices.DeleteFunc(strings.SplitAfter(good, "\n"), func(line string) bool { return strings.HasPrefix(line, name) }), "")
	}
	with := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for _, c := range []struct{ name, status, page, fault string }{
		{"good", "200 OK", good, ""},
		{"404", "404 Not Found", "404 page not found\n", "404 Not Found"},
		{"403", "403 Forbidden", good, "403 Forbidden"},
		{"HTML", "200 OK", "\n<!DOCTYPE html>\n<p>log in\n", "HTML"},
		{"nothing", "200 OK", "", "empty"},
		{"blank", "200 OK", "\n\n", "empty"},
		{"text", "200 OK", "OK\n", "line 1 of the page is no metric"},
		{"no number", "200 OK", with("inflight 1", "inflight x"), "is no metric"},
		{"not a number", "200 OK", with("inflight 1", "inflight NaN"), "lacks etcd_disk_defrag_inflight"},
		{"a longer name", "200 OK", with("inflight 1", "inflight_x 1"), "lacks etcd_disk_defrag_inflight"},
		{"cut by the transport", "200 OK\r\nContent-Length: 9000", good, "cut after"},
		{"cut in a line", "200 OK", good[:len(good)-1], "cut after"},
		{"endless", "200 OK", strings.Repeat("x 1\n", 3<<20), "longer than"},
		{"another member's", "200 OK", goodPage(pageOwner + 1), "those of member abc0123456789df0, not of abc0123456789def"},
		{"nobody's", "200 OK", without("etcd_server_id"), "lacks etcd_server_id"},
		{"an id that is none", "200 OK", with(`"abc0`, `"xyz0`), "lacks etcd_server_id"},
		{"no defrag in flight", "200 OK", without("etcd_disk_defrag_inflight"), "lacks etcd_disk_defrag_inflight"},
		{"no count of defrags", "200 OK", without("etcd_disk_backend"), "lacks etcd_disk_backend_defrag_duration_seconds_count"},
		{"no quota", "200 OK", without("etcd_server_quota"), "lacks etcd_server_quota_backend_bytes"},
		{"no size", "200 OK", without("etcd_mvcc_db_total_size_in_bytes"), "lacks etcd_mvcc_db_total_size_in_bytes"},
		{"no size in use", "200 OK", without("etcd_mvcc_db_total_size_in_use"), "lacks etcd_mvcc_db_total_size_in_use_in_bytes"},
		{"no start", "200 OK", without("process_start"), "lacks process_start_time_seconds"},
		{"no calls begun", "200 OK", without("grpc_server_started"), "lacks grpc_server_started_total of Defragment, grpc_server_started_total of Snapshot"},
		{"no calls ended", "200 OK", without("grpc_server_handled"), "lacks grpc_server_handled_total of Defragment, grpc_server_handled_total of Snapshot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := Member{ID: pageOwner, at: address{hostPort: webPage(t, c.status, c.page)}}
			got, err := (&Cluster{}).Metrics(t.Context(), m)
			if c.fault != "" {
				wantFault(t, err, c.fault)
				wantFault(t, err, "metrics of http://"+m.at.hostPort)
			} else if err != nil || got != goodMetrics {
				t.Errorf("Metrics = %+v, %v; want %+v", got, err, goodMetrics)
			}
		})
	}
}

// TestAPageThatIsCutAnywhereTellsNothing cuts after each byte: an etcd with a broken proxy before
// it must not look idle.
func TestAPageThatIsCutAnywhereTellsNothing(t *testing.T) {
	t.Parallel()
	good := goodPage(pageOwner)
	for n := range len(good) {
		p, err := parsePage([]byte(good[:n]))
		if err == nil {
			_, err = p.metrics()
		}
		if err == nil {
			t.Errorf("a page that ends after %d of %d bytes, with %q, is taken", n, len(good), good[max(0, n-40):n])
		}
	}
}

// TestACallBetweenTheCountersIsNone: what ended is read after what began.
func TestACallBetweenTheCountersIsNone(t *testing.T) {
	t.Parallel()
	p, err := parsePage([]byte(strings.Replace(goodPage(pageOwner), `type="server_stream"} 8`, `type="server_stream"} 6`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := p.metrics(); err != nil || m.SnapshotStreams != 0 {
		t.Errorf("6 streams begun, 7 ended: %d in flight, %v; want 0", m.SnapshotStreams, err)
	}
}

func TestInDefragCountsWhoWaits(t *testing.T) {
	t.Parallel()
	for m, want := range map[Metrics]bool{{}: false, {Defragmenting: true}: true, {DefragCalls: 1}: true, {SnapshotStreams: 1}: false} {
		if m.InDefrag() != want {
			t.Errorf("InDefrag of %+v = %v", m, !want)
		}
	}
}

func TestMetricsAreUnknownWhereNoPageComes(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]Member{
		"never reached": {ID: 1},
		"dead":          {ID: 1, at: address{hostPort: deadPort(t)}},
		"silent":        {ID: 1, at: address{hostPort: silent(t)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &Cluster{cfg: Config{Timeout: time.Second}}
			within(t, 3*time.Second, "Metrics", func() {
				_, err := c.Metrics(t.Context(), m)
				wantFault(t, err, "metrics of")
				if strings.Contains(err.Error(), "Get ") {
					t.Errorf("Metrics = %v, which says twice what was asked", err)
				}
			})
		})
	}
}

// webPage answers each request by the same text.
func webPage(t *testing.T, status, text string) (hostPort string) {
	t.Helper()
	return listen(t, "tcp4", "127.0.0.1:0", func(c net.Conn, _ int) { respond(c, status, text) })
}

func respond(c net.Conn, status, text string) {
	_, _ = c.Read(make([]byte, 4096))
	_, _ = io.WriteString(c, "HTTP/1.1 "+status+"\r\nConnection: close\r\n\r\n"+text)
}
