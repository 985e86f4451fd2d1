package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// mostSkew is how far a clock may be from a store's.
const mostSkew = 5 * time.Minute

func (c *cli) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "try what the jobs need, and say what is missing",
		Args: func(cmd *cobra.Command, args []string) error {
			return usageError(fmt.Errorf("doctor takes what to try: %s", cmd.UseLine()))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.doctorStoreCommand())
	return cmd
}

func (c *cli) doctorStoreCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "store [URL]...",
		Short: "what this identity may do in each store, and what the store lacks",
		Long: "doctor store writes, reads, lists and removes one small object under <cluster>/.probe/, by which it tells\n" +
			"what this identity may do. It changes nothing else, and no configuration of a bucket, ever.",
		Args: args(0, 100),
		RunE: func(cmd *cobra.Command, urls []string) error {
			if len(urls) > 0 { // as if --stores had named them
				if err := cmd.Flags().Set("stores", strings.Join(urls, ",")); err != nil {
					return usageError(err)
				}
			}
			if err := c.load(settings.Need(&s.Cluster, &s.Stores), clusterIsValid, storesAreKnown, reportHasFolder); err != nil {
				return err
			}
			ctx, stop := context.WithTimeoutCause(cmd.Context(), browseTime, errDeadline)
			defer stop()
			return stopped(ctx, c.doctorStores(ctx))
		},
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Store)
	return cmd
}

// examined is what was found of one store.
type examined struct {
	Store  string        `json:"store"`
	Rights []right       `json:"rights"`
	Jobs   []string      `json:"jobs"` // that have all they need here
	Facts  []bucket.Fact `json:"facts,omitempty"`
}

// right is one thing that was tried.
type right struct {
	Name   string `json:"name"`
	May    bool   `json:"may"`
	Detail string `json:"detail,omitempty"`
}

// doctorStores examines each store. One in which nothing is allowed is an error after the others
// were told of.
func (c *cli) doctorStores(ctx context.Context) error {
	stores, shut, err := c.openStores(ctx)
	defer shut() //nolint:errcheck // nothing that matters was written
	if err != nil {
		return err
	}
	var all []examined
	var faults []error
	for _, store := range stores {
		e, err := c.examine(ctx, store)
		all, faults = append(all, e), append(faults, err)
	}
	err = c.document(all, func(t *table) {
		for _, e := range all {
			e.text(t)
		}
	})
	return errors.Join(append(faults, err)...)
}

func (c *cli) examine(ctx context.Context, store *catalog.Catalog) (examined, error) {
	r := store.Rights(ctx, c.now)
	e := examined{Store: store.URL(), Facts: store.Facts(ctx), Jobs: []string{}}
	for _, one := range []struct {
		name string
		err  error
	}{{"list", r.List}, {"get", r.Get}, {"put", r.Put}, {"create-only", r.CreateOnly}, {"delete", r.Delete}} {
		e.Rights = append(e.Rights, right{one.name, one.err == nil, detail(one.err)})
	}
	for _, job := range []struct {
		name  string
		needs []error
	}{
		{"list, show, restore, verify", []error{r.List, getOr(r)}},
		{"snapshot, copy, hold", []error{r.List, r.Put, r.Get, r.CreateOnly}},
		{"prune", []error{r.List, r.Put, r.Get, r.Delete}},
	} {
		if errors.Join(job.needs...) == nil {
			e.Jobs = append(e.Jobs, job.name)
		}
	}
	for _, note := range store.Notes() {
		e.Facts = append(e.Facts, bucket.Fact{Name: "note", Value: note})
	}
	if r.Dated {
		e.Facts = append(e.Facts, clockFact(r.Skew))
	}
	if r.List != nil && r.Put != nil {
		return e, r.List
	}
	return e, nil
}

// getOr is whether objects can be read: where nothing could be put, a list that works must do.
func getOr(r catalog.Rights) error {
	if r.Put != nil {
		return r.List
	}
	return r.Get
}

func detail(err error) string {
	if err == nil {
		return ""
	}
	return jobs.OneLine(err)
}

func clockFact(skew time.Duration) bucket.Fact {
	f := bucket.Fact{Name: "clock", Value: fmt.Sprintf("ours is %s from the store's", skew.Round(time.Second).Abs())}
	if skew.Abs() > mostSkew {
		f.Advice = "set the clock: prune refuses, and archives may lie in the future"
	}
	return f
}

func (e examined) text(t *table) {
	t.line("%s", e.Store)
	t.row("  RIGHT", "MAY", "WHY NOT")
	for _, r := range e.Rights {
		t.row("  "+r.Name, map[bool]string{true: "yes", false: "no"}[r.May], r.Detail)
	}
	t.line("  enough for: %s", orNone(strings.Join(e.Jobs, "; ")))
	for _, f := range e.Facts {
		t.row("  "+f.Name, f.Value)
		if f.Advice != "" {
			t.row("  ", "missing: "+f.Advice)
		}
	}
	t.flush()
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
