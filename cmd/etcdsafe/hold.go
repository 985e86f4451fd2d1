package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

func (c *cli) holdCommand() *cobra.Command {
	return c.markCommand("hold ID", "keep an archive out of prune's reach, with a reason",
		"hold adds a note that keeps an archive, in every store that has it, until --until or `release`.",
		func(ctx context.Context, store *catalog.Catalog, m mark) error {
			return store.PutHold(ctx, m.hold(), false, m.suffix)
		})
}

func (c *cli) releaseCommand() *cobra.Command {
	return c.markCommand("release ID", "end all holds of an archive, with a reason",
		"release adds a note that ends all holds written before it. Nothing is deleted: the trace stays.",
		func(ctx context.Context, store *catalog.Catalog, m mark) error {
			return store.PutHold(ctx, m.hold(), true, m.suffix)
		})
}

func (c *cli) acceptCommand() *cobra.Command {
	return c.markCommand("accept ID", "say that what is odd about an archive is understood",
		"accept lifts what the newest archive makes prune refuse: far fewer keys than before, or etcd's alarm CORRUPT.",
		func(ctx context.Context, store *catalog.Catalog, m mark) error {
			return store.PutAccept(ctx, catalog.Accept{Archive: m.id, Reason: m.reason, Written: m.at, Tool: tool()})
		})
}

// mark is what a person says of an archive, the same in every store.
type mark struct {
	id     catalog.ID
	reason string
	until  *time.Time
	at     time.Time
	suffix string
}

func (m mark) hold() catalog.Hold {
	return catalog.Hold{Archive: m.id, Reason: m.reason, Until: m.until, Written: m.at, Tool: tool()}
}

// newMark reads what the person said. It comes after all that was said before.
func (c *cli) newMark(id catalog.ID, before []catalog.Hold) (mark, error) {
	suffix, err := catalog.Suffix(c.random)
	m := mark{id: id, reason: c.set.Hold.Reason.Get(), at: catalog.After(before, c.now().UTC()), suffix: suffix}
	if c.set.Hold.Until.IsSet() {
		until := c.set.Hold.Until.Get().UTC()
		m.until = &until
	}
	return m, err
}

// endsLater refuses a hold that is over before it begins, and an end of what has none.
func (c *cli) endsLater(what string) settings.Check {
	return func(s *settings.Settings) error {
		until := &s.Hold.Until
		switch {
		case !until.IsSet():
			return nil
		case what != "hold":
			return until.Errorf("%s has no end: only a hold has", what)
		case !until.Get().After(c.now()):
			return until.Errorf("%s is over: it would hold nothing", until.Get().UTC().Format(time.RFC3339))
		}
		return nil
	}
}

// markCommand is a command that leaves a document beside an archive, in each store that has it.
func (c *cli) markCommand(use, short, long string, put func(context.Context, *catalog.Catalog, mark) error) *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.load(settings.Need(&s.Cluster, &s.Stores, &s.Hold.Reason), clusterIsValid, storesAreKnown, reportHasFolder, knownName(args[0]), c.endsLater(cmd.Name())); err != nil {
				return err
			}
			ctx, stop := context.WithTimeoutCause(cmd.Context(), browseTime, errDeadline)
			defer stop()
			return stopped(ctx, c.mark(ctx, cmd.Name(), args[0], put))
		},
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Store, &s.Hold)
	return cmd
}

// marked is what was said of an archive, and where it is written down.
type marked struct {
	Mark    string        `json:"mark"` // hold, release, accept
	ID      catalog.ID    `json:"id"`
	Reason  string        `json:"reason"`
	Until   *time.Time    `json:"until,omitempty"`
	Written time.Time     `json:"written"`
	Stores  []markedStore `json:"stores"`
}

// markedStore is how it ended in one store; skipped is one that lacks the archive.
type markedStore struct {
	URL    string      `json:"url"`
	Result jobs.Result `json:"result"`
	Error  string      `json:"error,omitempty"`
}

// mark leaves the document in each store that has the archive. One that does not answer hides none of
// the others.
func (c *cli) mark(ctx context.Context, what, name string, put func(context.Context, *catalog.Catalog, mark) error) error {
	stores, shut, err := c.openStores(ctx)
	defer shut() //nolint:errcheck // what was written is written
	if err != nil {
		return err
	}
	choice, err := stores.Find(ctx, name, time.Time{})
	if err != nil {
		return err
	}
	c.tellPassed(choice)
	before, _ := heard(ctx, what, stores, choice) // who cannot tell is among the faults
	said, err := c.newMark(choice.Manifest.ID, before)
	if err != nil {
		return err
	}
	out := marked{Mark: what, ID: said.id, Reason: said.reason, Until: said.until, Written: said.at}
	var faults []error
	for _, store := range stores {
		s, err := markedStore{URL: store.URL(), Result: jobs.Skipped}, choice.Faults[store]
		if err == nil && slices.Contains(choice.In, store) {
			s.Result, err = jobs.OK, put(ctx, store, said)
		}
		if err != nil {
			s.Result, s.Error = jobs.Failed, jobs.OneLine(err)
			faults = append(faults, err)
		}
		out.Stores = append(out.Stores, s)
	}
	if out.done() {
		if err := c.counts(ctx, what, said, stores, choice); err != nil {
			out.fail(err)
			faults = append(faults, err)
		}
	}
	if err := c.document(out, out.text); err != nil {
		return errors.Join(append(faults, err)...)
	}
	return c.partly(ctx, out.done(), faults)
}

// heard is what all stores that answer say of holds of the chosen archive. One that cannot tell is from now on
// among its faults. An accept is no part of that log, and asks for none.
func heard(ctx context.Context, what string, stores catalog.Stores, choice catalog.Choice) (said []catalog.Hold, err error) {
	if what == "accept" {
		return nil, nil
	}
	for _, store := range stores {
		if errors.Is(choice.Faults[store], bucket.ErrUnavailable) {
			continue
		}
		here, fault := store.Said(ctx, choice.Manifest.ID)
		if fault != nil {
			choice.Faults[store], err = fault, errors.Join(err, fault)
		}
		said = append(said, here...)
	}
	return said, err
}

// counts reads again what is said, and fails where that is not what was to be: a hold that does not hold,
// or an archive that is held after its release.
func (c *cli) counts(ctx context.Context, what string, m mark, stores catalog.Stores, choice catalog.Choice) error {
	said, err := heard(ctx, what, stores, choice)
	if err != nil {
		return err
	}
	lasting := catalog.Lasting(said, c.now())
	holds := slices.ContainsFunc(lasting, func(h catalog.Hold) bool { return h.Written.Equal(m.at) && h.Reason == m.reason })
	switch {
	case what == "hold" && !holds:
		return fmt.Errorf("hold %s: it was written and holds nothing: another document says that it ended", m.id)
	case what == "release" && len(lasting) > 0:
		return fmt.Errorf("release %s: it was written, and the archive is held: %s", m.id, lasting[0].Reason)
	}
	return nil
}

// fail says that what was written does not do what it was to.
func (m marked) fail(err error) {
	for i := range m.Stores {
		if s := &m.Stores[i]; s.Result == jobs.OK {
			s.Result, s.Error = jobs.Failed, jobs.OneLine(err)
		}
	}
}

func (m marked) done() bool {
	return slices.ContainsFunc(m.Stores, func(s markedStore) bool { return s.Result == jobs.OK })
}

func (m marked) text(t *table) {
	for _, s := range m.Stores {
		if s.Result == jobs.OK {
			t.line("%s %s in %s", m.Mark, m.ID, s.URL)
		}
	}
}

// partly ends a command that did its work in some stores: where the others do not answer, each of them is told of
// and the exit code is 3. Whatever else went wrong is the error.
func (c *cli) partly(ctx context.Context, done bool, faults []error) error {
	down := func(err error) bool { return errors.Is(err, bucket.ErrUnavailable) }
	if len(faults) == 0 || !done || ctx.Err() != nil || slices.ContainsFunc(faults, func(err error) bool { return !down(err) }) {
		return errors.Join(faults...)
	}
	for _, err := range faults {
		c.complain(err)
	}
	c.code, c.ended = exitPartial, true
	return nil
}
