package etcd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// whole says whether b ends in the SHA-256 of the rest, as each whole snapshot does.
func whole(b []byte) bool {
	if len(b) <= sha256.Size {
		return false
	}
	sum := sha256.Sum256(b[:len(b)-sha256.Size])
	return bytes.Equal(sum[:], b[len(b)-sha256.Size:])
}

func TestAStreamIsWhole(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Version: version, TLS: true, Auth: true})
			c.Put(t, filler(200, 10_000))
			conn := open(t, configOf(c))
			var got bytes.Buffer
			var told []int64
			sum := int64(-1)
			err := conn.Snapshot(t.Context(), Stream{
				To: &got, Floor: Floor{BytesPerSecond: 1 << 20, Window: 10 * time.Second},
				Progress: func(done, remaining int64) {
					told = append(told, done)
					sum = max(sum, done+remaining)
				},
			})
			if err != nil || !whole(got.Bytes()) || got.Len() < 2_000_000 {
				t.Fatalf("Snapshot = %v with %d bytes, whole %v; want a whole one of 2 MB", err, got.Len(), whole(got.Bytes()))
			}
			if n := len(told); n < 2 || told[n-1] != int64(got.Len()) || sum < int64(got.Len())-sha256.Size || sum > int64(got.Len()) {
				t.Errorf("Progress told %d times, last %v, at most %d in all; the stream has %d", n, told[n-1], sum, got.Len())
			}
		})
	}
}

// loaded is one member with n MB in it, behind a proxy.
func loaded(t *testing.T, mb int) *etcdtest.Cluster {
	t.Helper()
	c := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c.Put(t, filler(10*mb, 100_000))
	return c
}

// TestACutStreamIsAnError cuts a stream on the wire, by reset and by an orderly end: a long one
// at some places, a short one at each byte of its beginning and its end. The last cuts hit what
// follows the snapshot's bytes: the sink has them all then, and the stream is still not over.
func TestACutStreamIsAnError(t *testing.T) {
	t.Parallel()
	for _, long := range []bool{true, false} {
		t.Run(fmt.Sprintf("long=%v", long), func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t, etcdtest.Options{Proxied: true})
			if long {
				c.Put(t, filler(30, 100_000))
			}
			want, length := uncut(t, c)
			var at []int64
			if long {
				at = []int64{0, 1, 1000, 50_000, length / 3, length / 2, length - 100_000, length - 3000}
			} else {
				step := int64(1)
				if testing.Short() {
					step = 7
				}
				for n := int64(0); n < 100; n += step {
					at = append(at, n, n*length/100, length-60-n, length+40-n)
				}
			}
			tail := 0
			for _, how := range []etcdtest.Cut{etcdtest.RST, etcdtest.FIN} {
				for _, n := range at {
					got, err := cutAt(t, c, n, how)
					if err == nil && (!whole(got) || len(got) != len(want)) {
						t.Fatalf("Snapshot cut (%v) at byte %d of %d: nil with %d of %d bytes", how, n, length, len(got), len(want))
					}
					// Frames, window updates and pings differ by some bytes from stream to stream:
					// only a cut well before the end is sure to hit.
					if sure := n < length-2000 || !long && n < length-59; err == nil && sure {
						t.Fatalf("Snapshot cut (%v) at byte %d of %d: nil, want an error", how, n, length)
					}
					if err != nil && (!errors.Is(err, ErrUnavailable) || !errors.Is(err, ErrConnectionLost)) {
						t.Fatalf("Snapshot cut (%v) at byte %d of %d: %v, want ErrUnavailable and ErrConnectionLost", how, n, length, err)
					}
					if err != nil && len(got) == len(want) {
						tail++
					}
				}
			}
			if !long && tail == 0 {
				t.Error("no cut came after the last byte of the snapshot and before the stream's end")
			}
		})
	}
}

// uncut is the snapshot of an idle member, and the least that its stream takes on the wire.
func uncut(t *testing.T, c *etcdtest.Cluster) (snapshot []byte, wire int64) {
	t.Helper()
	for i := range 3 {
		conn := open(t, configOf(c))
		before := c.Members[0].Proxy.Bytes()
		var got bytes.Buffer
		if err := conn.Snapshot(t.Context(), Stream{To: &got}); err != nil || !whole(got.Bytes()) {
			t.Fatalf("Snapshot without a cut: %v, whole %v", err, whole(got.Bytes()))
		}
		n := c.Members[0].Proxy.Bytes() - before
		if i == 0 || n < wire {
			wire = n
		}
		snapshot = got.Bytes()
	}
	return snapshot, wire
}

// cutAt takes a snapshot over a new connection that ends once it has carried n bytes more.
func cutAt(t *testing.T, c *etcdtest.Cluster, n int64, how etcdtest.Cut) ([]byte, error) {
	t.Helper()
	proxy := c.Members[0].Proxy
	proxy.Heal(t)
	cfg := configOf(c)
	at, err := parseEndpoint(cfg.Endpoints[0], false)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connect(t.Context(), cfg, at)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	proxy.CutAfter(n, how)
	var got bytes.Buffer
	err = conn.Snapshot(t.Context(), Stream{To: &got})
	return got.Bytes(), errors.Join(err, conn.Close())
}

// TestASlowStreamIsGivenUp falls below the floor in each way that a stream can.
func TestASlowStreamIsGivenUp(t *testing.T) {
	t.Parallel()
	c := loaded(t, 6)
	proxy, m := c.Members[0].Proxy, c.Members[0]
	for _, slow := range []struct {
		name string
		fall func() // called at the stream's first byte
		from func() // called before the stream is opened
	}{
		{"stalls before its first byte", nil, func() { proxy.StallAfter(0) }},
		{"stalls", nil, func() { proxy.StallAfter(500_000) }},
		{"creeps", nil, func() { proxy.Rate(200_000) }},
		{"is just too slow", nil, func() { proxy.Rate(800_000) }},
		{"stops with its member", func() { m.Pause(t) }, nil},
	} {
		t.Run(slow.name, func(t *testing.T) {
			defer proxy.Heal(t)
			defer m.Resume(t)
			conn := open(t, configOf(c))
			if slow.from != nil {
				slow.from()
			}
			within(t, 5*time.Second, "Snapshot", func() {
				err := conn.Snapshot(t.Context(), Stream{To: &sink{first: slow.fall}, Floor: Floor{BytesPerSecond: 1 << 20, Window: 700 * time.Millisecond}})
				if !errors.Is(err, ErrSlow) {
					t.Errorf("Snapshot = %v, want ErrSlow", err)
				}
			})
		})
	}
	t.Run("not above the floor", func(t *testing.T) {
		proxy.Rate(3 << 20)
		defer proxy.Heal(t)
		conn := open(t, configOf(c))
		if err := conn.Snapshot(t.Context(), Stream{To: &sink{}, Floor: Floor{BytesPerSecond: 1 << 20, Window: 700 * time.Millisecond}}); err != nil {
			t.Errorf("Snapshot at three times the floor: %v", err)
		}
	})
	t.Run("a stream that ends within the first window is not slow", func(t *testing.T) {
		small := etcdtest.Start(t, etcdtest.Options{})
		if err := open(t, configOf(small)).Snapshot(t.Context(), Stream{To: &sink{}, Floor: Floor{BytesPerSecond: 1 << 40, Window: time.Minute}}); err != nil {
			t.Errorf("Snapshot: %v", err)
		}
	})
}

// TestAFrozenMemberEndsItsStream has no floor: the connection's own keepalive must end it.
func TestAFrozenMemberEndsItsStream(t *testing.T) {
	t.Parallel()
	c := loaded(t, 6)
	conn := open(t, configOf(c))
	within(t, 25*time.Second, "Snapshot", func() {
		err := conn.Snapshot(t.Context(), Stream{To: &sink{first: func() { c.Members[0].Pause(t) }}})
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("Snapshot of a member that froze in mid-stream: %v, want ErrUnavailable", err)
		}
	})
}

func TestAMemberThatDiesEndsItsStream(t *testing.T) {
	t.Parallel()
	c := loaded(t, 6)
	conn := open(t, configOf(c))
	got := &sink{first: func() { c.Members[0].Kill(t) }}
	within(t, 5*time.Second, "Snapshot", func() {
		err := conn.Snapshot(t.Context(), Stream{To: got})
		if !errors.Is(err, ErrConnectionLost) || !errors.Is(err, ErrUnavailable) {
			t.Errorf("Snapshot of a member killed in mid-stream: %v after %d bytes, want ErrConnectionLost and ErrUnavailable", err, got.n.Load())
		}
	})
}

// TestACancelledStreamEndsWithItsCause stops the caller in mid-stream, and the stream itself
// while it waits for bytes.
func TestACancelledStreamEndsWithItsCause(t *testing.T) {
	t.Parallel()
	c := loaded(t, 6)
	mine := errors.New("stopped by hand")
	for _, stalled := range []bool{false, true} {
		t.Run(fmt.Sprintf("stalled=%v", stalled), func(t *testing.T) {
			c.Members[0].Proxy.Heal(t)
			conn := open(t, configOf(c))
			ctx, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			first := func() { stop(mine) }
			if stalled {
				c.Members[0].Proxy.StallAfter(500_000)
				first = func() { time.AfterFunc(300*time.Millisecond, func() { stop(mine) }) }
			}
			within(t, 3*time.Second, "Snapshot", func() {
				err := conn.Snapshot(ctx, Stream{To: &sink{first: first}, Floor: Floor{BytesPerSecond: 1, Window: time.Minute}})
				if !errors.Is(err, mine) || errors.Is(err, ErrUnavailable) {
					t.Errorf("Snapshot after a cancel: %v, want the context's cause alone", err)
				}
			})
		})
	}
}

// failingWriter takes some bytes and then fails.
type failingWriter struct {
	room int
	err  error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.room -= len(p); w.room < 0 {
		return 0, w.err
	}
	return len(p), nil
}

func TestAWritersErrorComesBackAsItIs(t *testing.T) {
	t.Parallel()
	c := loaded(t, 3)
	full := errors.New("no space left on device")
	for _, room := range []int{0, 100_000, 2_000_000} {
		err := open(t, configOf(c)).Snapshot(t.Context(), Stream{To: &failingWriter{room, full}})
		if !errors.Is(err, full) || errors.Is(err, ErrUnavailable) {
			t.Errorf("Snapshot to a writer with room for %d: %v, want its error and not etcd's", room, err)
		}
	}
}

// TestAStreamLeavesTheConnectionUsable: Status is asked before and after on the same one.
func TestAStreamLeavesTheConnectionUsable(t *testing.T) {
	t.Parallel()
	c := loaded(t, 3)
	conn := open(t, configOf(c))
	full := errors.New("full")
	for range 3 {
		if err := conn.Snapshot(t.Context(), Stream{To: &failingWriter{100_000, full}}); !errors.Is(err, full) {
			t.Fatalf("Snapshot: %v", err)
		}
		if err := conn.Snapshot(t.Context(), Stream{To: io.Discard}); err != nil {
			t.Errorf("Snapshot after one that was given up: %v", err)
		}
		if s, err := conn.Status(t.Context()); err != nil || s.MemberID != c.Members[0].ID {
			t.Errorf("Status after a stream: %+v, %v", s, err)
		}
	}
	if got := c.Members[0].Proxy.Connections(); got != 1 {
		t.Errorf("%d connections were made, want one", got)
	}
}

// TestChunksAreParsedOrRefused holds the hand-written decoder to what may stand on the wire.
// inBytes is a message whose every byte came alone.
func inBytes(wire []byte) pieces {
	out := pieces{}
	for i := range wire {
		out = append(out, mem.SliceBuffer(wire[i:i+1]))
	}
	return out
}

func TestChunksAreParsedOrRefused(t *testing.T) {
	for _, c := range []struct {
		name      string
		wire      []byte
		blob      string
		remaining int64
		refused   bool
	}{
		{"empty", nil, "", 0, false},
		{"blob", []byte("\x1a\x03abc"), "abc", 0, false},
		{"remaining and blob", []byte("\x10\xac\x02\x1a\x01a"), "a", 300, false},
		{"header, blob, version", []byte("\x0a\x02\x08\x01\x1a\x01a\x22\x033.6"), "a", 0, false},
		{"blob longer than the message", []byte("\x1a\x05abc"), "", 0, true},
		{"length without end", []byte("\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "", 0, true},
		{"number without end", []byte("\x10\xff"), "", 0, true},
		{"tag without value", []byte("\x1a"), "", 0, true},
		{"field number 0", []byte("\x02\x01a"), "", 0, true},
		{"end of no group", []byte("\x1c"), "", 0, true},
	} {
		var got chunk
		err := got.parse(inBytes(c.wire))
		if refused := err != nil; refused != c.refused {
			t.Errorf("%s: parse = %v, want an error %v", c.name, err, c.refused)
		}
		if !c.refused && (string(bytes.Join(got.blob, nil)) != c.blob || got.remaining != c.remaining) {
			t.Errorf("%s: parse gave %q with %d remaining, want %q with %d", c.name, got.blob, got.remaining, c.blob, c.remaining)
		}
	}
}
