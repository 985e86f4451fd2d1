package etcd

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

func TestAnIdleMemberDoesNotDefragment(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,secure=%v", version, secure), func(t *testing.T) {
				t.Parallel()
				c := etcdtest.Start(t, etcdtest.Options{Version: version, TLS: secure, Auth: secure})
				got := discover(t, configOf(c))
				if busy, err := got.Defragmenting(t.Context(), got.Members[0]); busy || err != nil {
					t.Errorf("Defragmenting = %v, %v; want false", busy, err)
				}
			})
		}
	}
}

// TestDefragmentingByThePage serves pages that no healthy member gives.
func TestDefragmentingByThePage(t *testing.T) {
	t.Parallel()
	const id = 0xabc
	page := func(of uint64, lines ...string) string {
		return fmt.Sprintf("# TYPE x gauge\netcd_server_id{server_id=\"%x\"} 1\n%s\n", of, strings.Join(lines, "\n"))
	}
	for _, c := range []struct {
		name, page string
		busy, told bool
	}{
		{"in flight", page(id, "etcd_disk_defrag_inflight 1"), true, true},
		{"none in flight", page(id, "etcd_disk_defrag_inflight 0"), false, true},
		{"a longer name", page(id, "etcd_disk_defrag_inflight_x 1"), false, false},
		{"nothing of it", page(id, "etcd_other 1"), false, false},
		{"empty", "", false, false},
		{"another member's", page(id+1, "etcd_disk_defrag_inflight 1"), false, false},
		{"another member's that is idle", page(id+1, "etcd_disk_defrag_inflight 0"), false, false},
		{"no number", page(id, "etcd_disk_defrag_inflight x"), false, false},
		{"one endless line", strings.Repeat("x", 9<<20), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := Member{ID: id, at: address{hostPort: webPage(t, "200 OK", c.page)}}
			busy, err := (&Cluster{}).Defragmenting(t.Context(), m)
			if busy != c.busy || (err == nil) != c.told {
				t.Errorf("Defragmenting = %v, %v; want %v, told %v", busy, err, c.busy, c.told)
			}
		})
	}
}

func TestDefragmentingIsUnknownWhereNoPageComes(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]Member{
		"never reached": {ID: 1},
		"refused":       {ID: 1, at: address{hostPort: webPage(t, "403 Forbidden", "etcd_disk_defrag_inflight 0\n")}},
		"dead":          {ID: 1, at: address{hostPort: deadPort(t)}},
		"silent":        {ID: 1, at: address{hostPort: silent(t)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &Cluster{cfg: Config{Timeout: time.Second}}
			within(t, 3*time.Second, "Defragmenting", func() {
				busy, err := c.Defragmenting(t.Context(), m)
				wantFault(t, err, "metrics of")
				if busy {
					t.Error("Defragmenting is true without a page")
				}
			})
		})
	}
}

// webPage answers each request by the same text.
func webPage(t *testing.T, status, text string) (hostPort string) {
	t.Helper()
	return listen(t, "tcp4", "127.0.0.1:0", func(c net.Conn, _ int) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 "+status+"\r\nConnection: close\r\n\r\n"+text)
	})
}
