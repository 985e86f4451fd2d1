package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

func (c *cli) listCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "archives of a cluster in its stores, newest first",
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
	s.Flags(cmd.Flags(), &s.Common, &s.Store, &s.Past)
	return cmd
}

// browseTime bounds list and show, which have no --deadline: 10,000 manifests of a store far away
// take half of it.
const browseTime = 10 * time.Minute

// listed is one archive as list tells of it.
type listed struct {
	ID        catalog.ID      `json:"id"`
	Taken     time.Time       `json:"taken"`
	Revision  int64           `json:"revision"`
	Keys      int64           `json:"keys"`
	DBBytes   int64           `json:"dbBytes"`
	Bytes     int64           `json:"bytes"`
	Member    string          `json:"member"`
	ClusterID string          `json:"clusterId"`
	Encrypted bool            `json:"encrypted"`
	HashKV    catalog.Outcome `json:"hashKV"`
	Verified  catalog.Level   `json:"verified,omitempty"`
	Flags     []string        `json:"flags"`
	Stores    []string        `json:"stores"`
	Error     string          `json:"error,omitempty"`
}

// list prints what every store that answers holds. One that does not is an error after the
// others were printed.
func (c *cli) list(ctx context.Context) error {
	stores, shut, err := c.openStores(ctx)
	defer shut() //nolint:errcheck // nothing was written
	if err != nil {
		return err
	}
	byID := map[catalog.ID]*listed{}
	var faults []error
	for _, store := range stores {
		faults = append(faults, listStore(ctx, store, byID))
	}
	all := make([]*listed, 0, len(byID))
	for _, l := range byID {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *listed) int { return -cmp.Compare(a.ID, b.ID) })
	flagClusters(all)
	return errors.Join(append(faults, c.printList(all, len(stores)))...)
}

// flagClusters names the cluster of each archive where there are several: after a restore, or
// because two clusters write under one name.
func flagClusters(all []*listed) {
	for _, l := range all {
		if l.ClusterID != "" && slices.ContainsFunc(all, func(o *listed) bool { return o.ClusterID != "" && o.ClusterID != l.ClusterID }) {
			l.flag("cluster " + l.ClusterID)
		}
	}
}

func listStore(ctx context.Context, store *catalog.Catalog, byID map[catalog.ID]*listed) error {
	entries, err := store.List(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries {
		l := byID[e.ID]
		if l == nil {
			l = &listed{ID: e.ID, Taken: e.ID.Time(), Revision: e.ID.Revision(), Flags: []string{}}
			byID[e.ID] = l
		}
		l.Stores = append(l.Stores, store.URL())
		if err := l.fill(ctx, store, e); err != nil {
			return err
		}
	}
	return nil
}

// fill reads the manifest. One that is damaged is a line of the list, not the end of it.
func (l *listed) fill(ctx context.Context, store *catalog.Catalog, e catalog.Entry) error {
	m, err := store.Manifest(ctx, e.ID)
	if errors.Is(err, catalog.ErrCorrupt) || errors.Is(err, catalog.ErrFormat) {
		l.Error = err.Error()
		l.flag("damaged")
		return nil
	}
	if err != nil {
		return err
	}
	l.Keys, l.DBBytes, l.Bytes, l.Member, l.Encrypted, l.HashKV = m.Snapshot.Keys, m.Snapshot.DBBytes, m.Archive.Bytes, m.Member.Name, len(m.Recipients) > 0, m.HashKV.Outcome
	l.ClusterID = m.Cluster.ID
	if store.Failed(ctx, m) != "" {
		l.flag("FAILED")
	}
	if len(m.Suspect) > 0 {
		l.flag("suspect")
	}
	if e.Future() {
		l.flag("future")
	}
	if !l.Encrypted {
		l.flag("plaintext")
	}
	level, _, err := store.Verified(ctx, m)
	if level.AtLeast(l.Verified) || l.Verified == "" {
		l.Verified = level
	}
	return err
}

func (l *listed) flag(f string) {
	if !slices.Contains(l.Flags, f) {
		l.Flags = append(l.Flags, f)
	}
}

func (c *cli) printList(all []*listed, stores int) error {
	return c.document(all, func(t *table) { c.listTable(t, all, stores) })
}

func (c *cli) listTable(t *table, all []*listed, stores int) {
	t.row("ID", "AGE", "REVISION", "KEYS", "DATABASE", "STORED", "HASHKV", "VERIFIED", "STORES", "FLAGS")
	for _, l := range all {
		t.row(l.ID, age(c.now().Sub(l.Taken)), l.Revision, keys(l.Keys), size(l.DBBytes), size(l.Bytes), cmp.Or(string(l.HashKV), "-"), cmp.Or(string(l.Verified), "-"),
			fmt.Sprintf("%d/%d", len(l.Stores), stores), cmp.Or(strings.Join(l.Flags, ","), "-"))
	}
}
