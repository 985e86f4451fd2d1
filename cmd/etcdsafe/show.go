package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

func (c *cli) showCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "show ID|latest|latest-verified",
		Short: "everything known of one archive",
		Args:  args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.load(settings.Need(&s.Cluster, &s.Stores), clusterIsValid, storesAreKnown, reportHasFolder, knownName(args[0])); err != nil {
				return err
			}
			ctx, stop := context.WithTimeoutCause(cmd.Context(), browseTime, errDeadline)
			defer stop()
			return stopped(ctx, c.show(ctx, args[0]))
		},
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Store, &s.Past)
	return cmd
}

// shown is one archive, where it lies, and the receipts of its verifications.
type shown struct {
	Manifest catalog.Manifest `json:"manifest"`
	Stores   []shownStore     `json:"stores"`
}

// shownStore is what one store holds of it.
type shownStore struct {
	URL      string            `json:"url"`
	Has      bool              `json:"has"`
	Error    string            `json:"error,omitempty"`
	Verified catalog.Level     `json:"verified,omitempty"`
	Receipts []catalog.Receipt `json:"receipts,omitempty"`
	Holds    []catalog.Hold    `json:"holds,omitempty"` // that lie there and last, by what is said in all stores
	Accept   *catalog.Accept   `json:"accept,omitempty"`
}

// show tells of an archive in all stores. What is wrong with one of them, or with a receipt, is an
// error after the rest was printed.
func (c *cli) show(ctx context.Context, what string) error {
	stores, shut, err := c.openStores(ctx)
	defer shut() //nolint:errcheck // nothing was written
	if err != nil {
		return err
	}
	choice, err := stores.Find(ctx, what, time.Time{})
	if err != nil {
		return err
	}
	c.tellPassed(choice)
	out := shown{Manifest: choice.Manifest}
	faults := choice.FaultsOf(stores)
	var said []catalog.Hold
	for _, store := range stores {
		s := shownStore{URL: store.URL(), Has: slices.Contains(choice.In, store)}
		if err := choice.Faults[store]; err != nil {
			s.Error = jobs.OneLine(err)
		}
		if s.Has {
			var bad, err error
			s.Receipts, bad = store.Receipts(ctx, out.Manifest.ID, catalog.Stored)
			s.Verified, _, err = store.Verified(ctx, out.Manifest)
			faults = append(faults, bad, err)
		}
		if s.Error == "" {
			here, err := store.Said(ctx, out.Manifest.ID)
			said, faults = append(said, here...), append(faults, err)
			s.Accept, err = store.Acceptance(ctx, out.Manifest.ID)
			faults = append(faults, err)
		}
		out.Stores = append(out.Stores, s)
	}
	for _, h := range catalog.Lasting(said, c.now()) {
		i := slices.IndexFunc(out.Stores, func(s shownStore) bool { return s.URL == h.In })
		out.Stores[i].Holds = append(out.Stores[i].Holds, h)
	}
	return errors.Join(append([]error{c.printShown(out)}, faults...)...)
}

// tellPassed says which newer archives a search passed over, and why: whoever said latest may mean another
// than was chosen.
func (c *cli) tellPassed(choice catalog.Choice) {
	for _, p := range choice.Passed {
		c.complain(errors.New(p.String()))
	}
}

func (c *cli) printShown(s shown) error {
	return c.document(s, func(t *table) { c.shownTable(t, s) })
}

func (c *cli) shownTable(t *table, s shown) {
	m := s.Manifest
	t.row("ID", m.ID)
	t.row("TAKEN", fmt.Sprintf("%s, %s ago, by etcdsafe %s", utc(m.Started), age(c.now().Sub(m.Started)), m.Tool.Version))
	t.row("CLUSTER", m.Cluster.Name+" ("+m.Cluster.ID+")")
	t.row("MEMBER", fmt.Sprintf("%s (%s) at %s, etcd %s%s", m.Member.Name, m.Member.ID, m.Member.Endpoint, m.Member.Version, leaderText(m.Member.Leader)))
	for _, other := range m.Members {
		t.row("PEERS", other.Name+"="+strings.Join(other.PeerURLs, ",")+learnerText(other.Learner))
	}
	t.row("QUORUM", m.Quorum)
	t.row("REVISION", fmt.Sprintf("%d, compacted at %d, raft term %d, index %d", m.Snapshot.Revision, m.Snapshot.CompactRevision, m.Snapshot.Term, m.Snapshot.Index))
	t.row("KEYS", keys(m.Snapshot.Keys))
	t.row("DATABASE", fmt.Sprintf("%s, %s in use, hash %s", size(m.Snapshot.DBBytes), size(m.Snapshot.DBInUseBytes), m.Snapshot.Hash))
	t.row("HASHKV", fmt.Sprintf("%s: %d at revision %d %s", m.HashKV.Outcome, m.HashKV.Hash, m.HashKV.Revision, m.HashKV.Why))
	t.row("SNAPSHOT", fmt.Sprintf("%d bytes, SHA-256 %s", m.Snapshot.Bytes, m.Snapshot.SHA256))
	t.row("ARCHIVE", fmt.Sprintf("%s, %d bytes, SHA-256 %s", m.Archive.Object, m.Archive.Bytes, m.Archive.SHA256))
	t.row("SEALED TO", strings.Join(append([]string{}, orNobody(m.Recipients)...), ", "))
	for _, line := range append(m.Suspect, m.Alarms...) {
		t.row("WARNING", line)
	}
	if m.Reason != "" {
		t.row("REASON", m.Reason)
	}
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		t.row("LABEL", k+"="+m.Labels[k])
	}
	for _, store := range s.Stores {
		switch {
		case store.Error != "":
			t.row("NOT KNOWN", store.URL+": "+store.Error)
			continue
		case !store.Has:
			t.row("LACKS IT", store.URL)
		default:
			t.row("STORE", store.URL)
		}
		for _, h := range store.Holds {
			t.row("HELD", holdText(h))
		}
		if a := store.Accept; a != nil {
			t.row("ACCEPTED", utc(a.Written)+": "+a.Reason)
		}
		for _, r := range store.Receipts {
			t.row("VERIFIED", fmt.Sprintf("%s at level %s: %s", utc(r.Finished), r.Level, okText(r)))
		}
	}
}

func holdText(h catalog.Hold) string {
	text := "since " + utc(h.Written)
	if h.Until != nil {
		text += " until " + utc(*h.Until)
	}
	return text + ": " + h.Reason
}

func learnerText(learner bool) string {
	if learner {
		return " (a learner)"
	}
	return ""
}

func leaderText(leader bool) string {
	if leader {
		return ", the leader"
	}
	return ""
}

func orNobody(recipients []string) []string {
	if len(recipients) == 0 {
		return []string{"nobody: NOT ENCRYPTED"}
	}
	return recipients
}

func okText(r catalog.Receipt) string {
	if r.OK {
		return "ok"
	}
	return "FAILED: " + r.Finding
}
