package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// A spell is a time in which a member defragmented, led, or was part of a change of leadership.
type spell struct {
	member   int // its place in the cluster; of no meaning for a change of leadership
	from, to time.Time
}

// open says whether it goes on, as far as the log tells.
func (s spell) open() bool { return s.to.IsZero() }

func (s spell) meets(from, to time.Time) bool {
	return (s.open() || !s.to.Before(from)) && !s.from.After(to)
}

// history is what the servers' own logs tell.
type history struct {
	works []spell // defragmentations
	leads []spell
	moves []spell // changes of leadership, from the first word of one to the last member that heard of it
}

// entry is a line of a server's log.
type entry struct {
	at  time.Time
	msg string
}

// historyOf reads the logs of all members, and tells of what lasted until after since.
func historyOf(t *testing.T, c *etcdtest.Cluster, since time.Time) history {
	t.Helper()
	var h history
	terms := map[uint64]spell{}
	for i, m := range c.Members {
		lines := entriesOf(t, m)
		h.works = append(h.works, worksOf(i, lines)...)
		h.leads = append(h.leads, leadsOf(m, i, lines)...)
		widen(terms, lines)
	}
	for _, s := range terms {
		h.moves = append(h.moves, s)
	}
	for _, list := range []*[]spell{&h.works, &h.leads, &h.moves} {
		*list = slices.DeleteFunc(*list, func(s spell) bool { return !s.open() && s.to.Before(since) })
		slices.SortFunc(*list, func(a, b spell) int { return a.from.Compare(b.from) })
	}
	return h
}

func entriesOf(t *testing.T, m *etcdtest.Member) (out []entry) {
	t.Helper()
	for line := range strings.Lines(m.Log()) {
		var e struct{ TS, Msg string }
		if json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		at, err := time.Parse("2006-01-02T15:04:05.999999Z0700", e.TS)
		if err != nil {
			t.Fatalf("the time in %q: %v", line, err)
		}
		out = append(out, entry{at, e.Msg})
	}
	return out
}

// worksOf are a member's defragmentations.
func worksOf(member int, lines []entry) (out []spell) {
	var begun []int // a server may take several calls, and works on one after the other
	for _, e := range lines {
		switch e.msg {
		case "starting defragment":
			begun = append(begun, len(out))
			out = append(out, spell{member: member, from: e.at})
		case "finished defragment", "failed to defragment":
			if len(begun) > 0 {
				out[begun[0]].to, begun = e.at, begun[1:]
			}
		}
	}
	return out
}

// became is how raft tells what a member is from then on.
var became = regexp.MustCompile(`^([0-9a-f]+) became ([a-z-]+) at term \d+$`)

// leadsOf are the times in which a member led, by its own raft.
func leadsOf(m *etcdtest.Member, member int, lines []entry) (out []spell) {
	for _, e := range lines {
		found := became.FindStringSubmatch(e.msg)
		if found == nil || found[1] != strconv.FormatUint(m.ID, 16) {
			continue
		}
		if n := len(out); n > 0 && out[n-1].open() {
			out[n-1].to = e.at
		}
		if found[2] == "leader" {
			out = append(out, spell{member: member, from: e.at})
		}
	}
	return out
}

// What raft says of a new term, and, of the one before, that it is to end.
var (
	newTerm  = regexp.MustCompile(`(?:became (?:candidate|leader|follower)|elected leader [0-9a-f]+|changed leader from .*|lost leader [0-9a-f]+) at term (\d+)$`)
	lastTerm = regexp.MustCompile(`\[term (\d+)\] (?:starts to transfer leadership|received MsgTimeoutNow)`)
)

// widen adds what one member says of each term to what others said of it.
func widen(terms map[uint64]spell, lines []entry) {
	for _, e := range lines {
		var term uint64
		if found := newTerm.FindStringSubmatch(e.msg); found != nil {
			term, _ = strconv.ParseUint(found[1], 10, 64)
		} else if found := lastTerm.FindStringSubmatch(e.msg); found != nil {
			term, _ = strconv.ParseUint(found[1], 10, 64)
			term++
		} else {
			continue
		}
		s, known := terms[term]
		if !known || e.at.Before(s.from) {
			s.from = e.at
		}
		if e.at.After(s.to) {
			s.to = e.at
		}
		terms[term] = s
	}
}

// together tells of defragmentations of two members at one time, and of those that did not end.
func (h history) together() (faults []string) {
	for i, s := range h.works {
		if s.open() {
			faults = append(faults, fmt.Sprintf("the defragmentation of m%d at %s did not end", s.member, s.from.Format(time.TimeOnly)))
		}
		for _, other := range h.works[:i] {
			if other.member != s.member && other.meets(s.from, s.from) {
				faults = append(faults, fmt.Sprintf("m%d began at %s, while m%d was at work since %s", s.member, s.from, other.member, other.from))
			}
		}
	}
	return faults
}

// ledAtWork tells of defragmentations of members that led meanwhile.
func (h history) ledAtWork() (faults []string) {
	for _, w := range h.works {
		for _, l := range h.leads {
			if l.member == w.member && !w.open() && l.meets(w.from, w.to) {
				faults = append(faults, fmt.Sprintf("m%d was at work from %s to %s, and led from %s to %s", w.member, w.from, w.to, l.from, l.to))
			}
		}
	}
	return faults
}

// lockKey is where the claim lies, by the documents.
const lockKey = "/etcdsafe/lock"

// lockChange is one thing that happened to the lock's key.
type lockChange struct {
	revision int64
	created  int64 // its create revision after that; 0: it was deleted
}

// lockChanges are all from a revision on, which must not be compacted yet, until now.
func lockChanges(t *testing.T, client *clientv3.Client, from int64) (out []lockChange) {
	t.Helper()
	const end = lockKey + "-soak"
	put, err := client.Put(t.Context(), end, "")
	if err != nil {
		t.Fatalf("put %s: %v", end, err)
	}
	for answer := range client.Watch(t.Context(), lockKey, clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if err := answer.Err(); err != nil {
			t.Fatalf("watch %s from revision %d: %v", lockKey, from, err)
		}
		for _, e := range answer.Events {
			switch {
			case string(e.Kv.Key) == lockKey:
				out = append(out, lockChange{e.Kv.ModRevision, e.Kv.CreateRevision})
			case string(e.Kv.Key) == end && e.Kv.ModRevision >= put.Header.Revision:
				return out
			}
		}
	}
	t.Fatalf("watch %s: ended", lockKey)
	return nil
}

// watchLock looks at the lock's key until stop is called, which returns when its creation at a revision
// was heard of; the zero time where it was not.
func watchLock(t *testing.T, client *clientv3.Client) (stop func(created int64) time.Time) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	heard := map[int64]time.Time{}
	done := make(chan struct{})
	answers := client.Watch(ctx, lockKey, clientv3.WithCreatedNotify())
	<-answers // it watches
	go func() {
		defer close(done)
		for answer := range answers {
			for _, e := range answer.Events {
				if e.IsCreate() {
					heard[e.Kv.CreateRevision] = time.Now()
				}
			}
		}
	}()
	return func(created int64) time.Time {
		cancel()
		<-done
		return heard[created]
	}
}

// revision is the newest of a cluster.
func revision(t *testing.T, client *clientv3.Client) int64 {
	t.Helper()
	got, err := client.Get(t.Context(), lockKey)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	return got.Header.Revision
}

// compact drops all history.
func compact(t *testing.T, client *clientv3.Client) {
	t.Helper()
	if _, err := client.Compact(t.Context(), revision(t, client), clientv3.WithCompactPhysical()); err != nil {
		t.Fatalf("compact: %v", err)
	}
}

// slow makes each defragmentation of all members last so long, inside the server's locks.
func slow(t *testing.T, c *etcdtest.Cluster, d time.Duration) {
	t.Helper()
	for _, m := range c.Members {
		m.Failpoint(t, "defragBeforeCopy", fmt.Sprintf("sleep(%d)", d.Milliseconds()))
	}
}
