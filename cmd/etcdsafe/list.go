package main

import (
	"cmp"
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

func (c *cli) listCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "list",
		Short: "archives of a cluster in its stores, newest first",
		Long: "list goes by the names of manifests, receipts and holds. A name tells that a verification wrote a receipt,\n" +
			"not whether it succeeded: so of the newest 32 archives the newest receipt is read, and one that tells of a\n" +
			"failure is FAILED. That a hold ended by itself no name tells. --long reads all documents, and tells sizes,\n" +
			"hashes and what was found.",
		Aliases: []string{"ls"},
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.load(settings.Need(&s.Cluster, &s.Stores), clusterIsValid, storesAreKnown, reportHasFolder); err != nil {
				return err
			}
			ctx, stop := context.WithTimeoutCause(cmd.Context(), browseTime, errDeadline)
			defer stop()
			return stopped(ctx, c.list(ctx))
		},
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Store, &s.Past, &s.List)
	return cmd
}

// browseTime bounds list and show, which have no --deadline: 10,000 manifests of a store far away
// take half of it.
const browseTime = 10 * time.Minute

// listed is one archive as list tells of it.
type listed struct {
	ID       catalog.ID     `json:"id"`
	Taken    time.Time      `json:"taken"`
	Revision int64          `json:"revision"`
	Receipt  *listedReceipt `json:"receipt,omitempty"`
	Held     bool           `json:"held"`   // by what is said in all stores
	HeldIn   []string       `json:"heldIn"` // where the holds lie
	*read                   // nil: names alone were looked at, or no manifest could be read
	Flags    []string       `json:"flags"`
	Stores   []string       `json:"stores"`
	Lacking  []string       `json:"lacking"` // of the stores that answered
	Error    string         `json:"error,omitempty"`
	said     []catalog.Hold
}

// listedReceipt is the newest receipt where it was read and tells of a failure. Else it is the newest of
// the deepest level, by its name alone.
type listedReceipt struct {
	Level   catalog.Level `json:"level"`
	Written time.Time     `json:"written"`
	Failed  string        `json:"failed,omitempty"` // what was found wrong
}

// read is what documents tell.
type read struct {
	Keys      int64           `json:"keys"`
	DBBytes   int64           `json:"dbBytes"`
	Bytes     int64           `json:"bytes"`
	Member    string          `json:"member"`
	ClusterID string          `json:"clusterId"`
	Encrypted bool            `json:"encrypted"`
	HashKV    catalog.Outcome `json:"hashKV"`
	Verified  catalog.Level   `json:"verified,omitempty"`
	Key       string          `json:"key,omitempty"` // what opened it then
}

// list prints what every store that answers holds. One that does not is an error after the
// others were printed.
func (c *cli) list(ctx context.Context) error {
	stores, shut, err := c.openStores(ctx)
	defer shut() //nolint:errcheck // nothing was written
	if err != nil {
		return err
	}
	views := make([]view, len(stores))
	var wait sync.WaitGroup
	for i, store := range stores {
		wait.Go(func() { views[i] = c.view(ctx, store) })
	}
	wait.Wait()
	all := merge(views, c.now())
	faults := []error{c.document(all, func(t *table) { c.listTable(t, all, views) })}
	for _, v := range views {
		faults = append(faults, v.err)
	}
	return errors.Join(faults...)
}

// recent is of how many archives, the newest, the manifest and its newest receipt are read without --long:
// a small part of what listing 10,000 names costs.
const recent = 32

// view is what one store told.
type view struct {
	url      string
	items    []catalog.Item
	failures map[catalog.ID]catalog.Receipt // of the recent ones, without --long
	told     map[catalog.ID]told            // with --long
	heard    bool                           // it could be listed; err may tell of what came after
	err      error
}

// told is what the documents of an archive say in one store.
type told struct {
	*read
	said  []catalog.Hold
	flags []string
	err   string
}

func (c *cli) view(ctx context.Context, store *catalog.Catalog) view {
	v := view{url: store.URL(), told: map[catalog.ID]told{}}
	names := store.Names(ctx)
	if !c.set.List.Long.Get() {
		v.items, v.err = catalog.Collect(names)
		v.heard = v.err == nil
		v.failures = store.Failures(ctx, v.items[:min(len(v.items), recent)])
		return v
	}
	c.collectLater()
	v.items, v.err = store.KnowAll(ctx, names, func(it catalog.Item, k catalog.Known) { v.told[it.ID] = tell(k) })
	v.heard = v.items != nil
	v.items = slices.DeleteFunc(v.items, func(it catalog.Item) bool {
		_, isTold := v.told[it.ID]
		return v.err == nil && !isTold // removed since it was listed
	})
	return v
}

// collectLater lets garbage grow until the process holds 112 MiB, unless GOGC or GOMEMLIMIT say
// otherwise: each document leaves 60 KB of it in the clouds' clients, and a collection looks at all
// archives known so far. A quarter of the time of 10,000 went there. Where more than that is alive,
// collections take half of the time at most (runtime/debug.SetMemoryLimit).
func (c *cli) collectLater() {
	if c.getenv("GOGC") == "" && c.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(112 << 20)
		debug.SetGCPercent(400)
	}
}

// tell takes what list prints; the rest of 10,000 manifests would fill the memory. A manifest that is
// damaged is a line of the list, not the end of it.
func tell(k catalog.Known) told {
	m, t := k.Manifest, told{said: k.Said}
	flag := func(name string, is bool) {
		if is {
			t.flags = append(t.flags, name)
		}
	}
	elsewhere := errors.Is(k.Fault, catalog.ErrElsewhere)
	flag("elsewhere", elsewhere)
	flag("damaged", k.Fault != nil && !elsewhere)
	if k.Fault != nil {
		t.err = k.Fault.Error()
		return t
	}
	t.read = &read{Keys: m.Snapshot.Keys, DBBytes: m.Snapshot.DBBytes, Bytes: m.Archive.Bytes, Member: m.Member.Name, ClusterID: m.Cluster.ID,
		Encrypted: len(m.Recipients) > 0, HashKV: m.HashKV.Outcome, Verified: k.Verified, Key: k.Key}
	flag("FAILED", k.Finding != "")
	flag("suspect", len(m.Suspect) > 0)
	flag("plaintext", !t.Encrypted)
	return t
}

// merge makes one line of each archive, newest first.
func merge(views []view, now time.Time) []*listed {
	byID, all := map[catalog.ID]*listed{}, []*listed{}
	for _, v := range views {
		for _, it := range v.items {
			l := byID[it.ID]
			if l == nil {
				l = &listed{ID: it.ID, Taken: it.ID.Time(), Revision: it.ID.Revision(), HeldIn: []string{}, Flags: []string{}, Lacking: []string{}}
				byID[it.ID], all = l, append(all, l)
			}
			l.add(v, it, now)
		}
	}
	for _, v := range views {
		for _, l := range all {
			if v.heard && !slices.Contains(l.Stores, v.url) {
				l.Lacking = append(l.Lacking, v.url)
			}
		}
	}
	for _, l := range all {
		l.hold(now)
	}
	slices.SortFunc(all, func(a, b *listed) int { return -cmp.Compare(a.ID, b.ID) })
	flagClusters(all)
	return all
}

// add takes what one store told.
func (l *listed) add(v view, it catalog.Item, now time.Time) {
	l.Stores = append(l.Stores, v.url)
	if f, failed := v.failures[it.ID]; failed {
		l.Receipt = &listedReceipt{f.Level, f.Finished, f.Finding}
	} else if level, at := it.Receipt(); level != "" && (l.Receipt == nil || l.Receipt.Failed == "" && newer(level, at, l.Receipt)) {
		l.Receipt = &listedReceipt{Level: level, Written: at}
	}
	if it.Future(now) {
		l.flag("future")
	}
	t, isTold := v.told[it.ID]
	if !isTold {
		l.said = append(l.said, it.Said(v.url)...)
		return
	}
	l.said = append(l.said, t.said...)
	l.Error = cmp.Or(l.Error, t.err)
	for _, f := range t.flags {
		l.flag(f)
	}
	if t.read != nil && (l.read == nil || t.Verified.AtLeast(l.Verified) && (t.Verified != l.Verified || l.Key == catalog.KeyRun)) {
		l.read = t.read
	}
}

// hold settles whether it is held, once all stores were heard.
func (l *listed) hold(now time.Time) {
	for _, h := range catalog.Lasting(l.said, now) {
		l.Held = true
		if !slices.Contains(l.HeldIn, h.In) {
			l.HeldIn = append(l.HeldIn, h.In)
		}
	}
	l.said = nil
}

func newer(level catalog.Level, at time.Time, than *listedReceipt) bool {
	return level.AtLeast(than.Level) && (level != than.Level || at.After(than.Written))
}

func (l *listed) flag(f string) {
	if !slices.Contains(l.Flags, f) {
		l.Flags = append(l.Flags, f)
	}
}

// flagClusters names the cluster of each archive where there are several: after a restore, or
// because two clusters write under one name.
func flagClusters(all []*listed) {
	ids := map[string]bool{}
	for _, l := range all {
		if l.read != nil && l.ClusterID != "" {
			ids[l.ClusterID] = true
		}
	}
	for _, l := range all {
		if len(ids) > 1 && l.read != nil && l.ClusterID != "" {
			l.flag("cluster " + l.ClusterID)
		}
	}
}
