package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/copy"
)

func (c *cli) copyCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "copy [ID|latest]...",
		Short: "bring archives to stores that lack them, byte for byte, without a key",
		Long: "copy brings archives from the stores to those of --to, or from those of --from to the stores, or,\n" +
			"with neither, to whichever of the stores lacks them. Without names it brings all.",
		Example: `  etcdsafe copy --cluster prod --stores file:///backups --to s3://second/etcd`,
		Args:    args(0, 1000),
		RunE: func(cmd *cobra.Command, names []string) error {
			checks := []settings.Check{settings.Need(&s.Cluster, &s.Stores), oneDirection, otherStoresAreKnown}
			for _, name := range names {
				checks = append(checks, knownName(name))
			}
			return c.job(cmd.Context(), &copyReport{copy.Report{Report: jobs.Report{Job: "copy"}}}, c.copy(names), checks...)
		},
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Store, &s.Job, &s.Spool, &s.Copy)
	return cmd
}

func oneDirection(s *settings.Settings) error {
	if len(s.Copy.From.Get()) > 0 && len(s.Copy.To.Get()) > 0 {
		return s.Copy.From.Errorf("copy goes one way: give --from or --to")
	}
	return nil
}

func otherStoresAreKnown(s *settings.Settings) error {
	return errors.Join(knownStores(&s.Copy.From), knownStores(&s.Copy.To))
}

func (c *cli) copy(names []string) work {
	return func(ctx context.Context, log *slog.Logger, tell jobs.Progress) (outcome, error) {
		s := c.set
		stores, shut, err := c.openStores(ctx)
		defer shut() //nolint:errcheck // all that was written is committed
		if err != nil {
			return nil, err
		}
		others, shutOthers, err := c.openEach(ctx, append(s.Copy.From.Get(), s.Copy.To.Get()...), s.Stores.Errorf)
		defer shutOthers() //nolint:errcheck // as above
		if err != nil {
			return nil, err
		}
		from, to := stores, stores
		switch {
		case len(s.Copy.From.Get()) > 0:
			from = others
		case len(s.Copy.To.Get()) > 0:
			to = others
		}
		report, err := copy.Run(ctx, copy.Config{Cluster: s.Cluster.Get(), From: from, To: to, What: names, Place: c.place(),
			Now: c.now, Log: log, DryRun: s.DryRun.Get(), Progress: tell})
		return &copyReport{report}, err
	}
}

// copyReport prints a copy.Report.
type copyReport struct{ copy.Report }

func (r *copyReport) head() *jobs.Report { return &r.Report.Report }

func (r *copyReport) text(t *table) {
	if len(r.Archives) == 0 {
		if r.Error == "" {
			t.line("No store lacks an archive, or a hold.")
		}
		return
	}
	t.row("ARCHIVE", "FROM", "TO", "SIZE", "RESULT", "ERROR")
	for _, a := range r.Archives {
		what := size(a.Bytes)
		if a.Marks > 0 {
			what = fmt.Sprintf("%d of its holds", a.Marks)
		}
		t.row(a.ID, dash(a.From), a.To, what, a.Result, a.Error)
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
