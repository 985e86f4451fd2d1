package etcdtest

import (
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/test/doomed"
)

// TestADefragmentationLastsAsLongAsItIsTold: meanwhile the member's metrics tell of it, and the
// others serve.
func TestADefragmentationLastsAsLongAsItIsTold(t *testing.T) {
	for _, version := range Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := Start(t, Options{Version: version, Members: 3, TLS: true, Failpoints: true})
			m := c.Members[(c.Leader(t)+1)%3]
			const told = 3 * time.Second
			m.Failpoint(t, "defragBeforeCopy", "sleep(3000)")
			if n := m.Metric(t, "etcd_disk_defrag_inflight"); n != 0 {
				t.Fatalf("%g defragmentations in flight before the first", n)
			}
			began := time.Now()
			done := defragment(t, c, m)
			waitFor(t, "a defragmentation in flight", func() bool { return m.Metric(t, "etcd_disk_defrag_inflight") == 1 })
			if err := put(t, c.Client(t, c.Leader(t)), callWait); err != nil {
				t.Errorf("put to the leader meanwhile: %v", err)
			}
			if err := <-done; err != nil {
				t.Fatalf("defragment: %v", err)
			}
			if took := time.Since(began); took < told {
				t.Errorf("a defragmentation told to last %v took %v", told, took)
			}
			waitFor(t, "the end of it", func() bool { return m.Metric(t, "etcd_disk_defrag_inflight") == 0 })

			m.Failpoint(t, "defragBeforeCopy", "")
			began = time.Now()
			if err := <-defragment(t, c, m); err != nil {
				t.Fatalf("defragment: %v", err)
			}
			if took := time.Since(began); took >= told {
				t.Errorf("with nothing told a defragmentation took %v", took)
			}
		})
	}
}

// defragment sends how a defragmentation of m ended, once.
func defragment(t *testing.T, c *Cluster, m *Member) <-chan error {
	t.Helper()
	client, done := c.Client(t), make(chan error, 1)
	go func() {
		_, err := client.Defragment(t.Context(), m.ListenURL)
		done <- err
	}()
	return done
}

// TestFailpointIsOneOfTheProcess: it ends with it, and is there again for the next one.
func TestFailpointIsOneOfTheProcess(t *testing.T) {
	c := Start(t, Options{Failpoints: true})
	m := c.Members[0]
	m.Failpoint(t, "defragBeforeCopy", `panic("told to")`)
	if err := <-defragment(t, c, m); err == nil {
		t.Error("a defragmentation succeeded in a member that was told to panic")
	}
	waitFor(t, "end of the process", func() bool { return !m.Running() })
	if !strings.Contains(m.Log(), "told to") {
		t.Errorf("the member ended with\n%s", m.excerpt())
	}
	m.Restart(t)
	if err := <-defragment(t, c, m); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	m.Failpoint(t, "defragBeforeCopy", "sleep(1)")
}

func TestFailpointTellsOfWhatItCannotSet(t *testing.T) {
	c := Start(t, Options{Failpoints: true})
	for _, point := range [][2]string{{"noSuchPoint", "sleep(1)"}, {"defragBeforeCopy", "dance(1)"}} {
		said := doomed.Said(t, func(t testing.TB) { c.Members[0].Failpoint(t, point[0], point[1]) })
		if !strings.Contains(said, point[0]) || !strings.Contains(said, "failpoint") {
			t.Errorf("Failpoint(%q, %q) said %q", point[0], point[1], said)
		}
	}
	plain := Start(t, Options{})
	if said := doomed.Said(t, func(t testing.TB) { plain.Members[0].Failpoint(t, "defragBeforeCopy", "off") }); !strings.Contains(said, "Options.Failpoints") {
		t.Errorf("Failpoint of a plain server said %q", said)
	}
}
