package main

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/verify"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

func (c *cli) verifyCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "verify [ID|latest|latest-verified|all]",
		Short: "open archives again and compare them with what their manifests promise",
		Example: `  etcdsafe verify latest --cluster prod --stores file:///backups --identities-file identity.txt
  etcdsafe verify all --level stored --cluster prod --stores file:///backups`,
		Args: args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			what := oneOf(args, catalog.Latest)
			return c.job(cmd.Context(), &verifyReport{verify.Report{Report: jobs.Report{Job: "verify"}, Archives: []verify.ArchiveReport{}}}, c.verify(what),
				settings.Need(&s.Cluster, &s.Stores), c.levelHasKey, knownName(what, verify.All))
		},
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Store, &s.Job, &s.Keys, &s.Spool, &s.Verify)
	return cmd
}

// oneOf is the only argument, or what stands for none.
func oneOf(args []string, none string) string {
	if len(args) == 0 {
		return none
	}
	return args[0]
}

// knownName refuses what is neither an id nor a name that Find or this command knows.
func knownName(what string, also ...string) settings.Check {
	return func(*settings.Settings) error {
		for _, name := range append(also, catalog.Latest, catalog.LatestVerified) {
			if what == name {
				return nil
			}
		}
		_, err := catalog.ParseID(what)
		return err
	}
}

// level is the one asked for, or the deepest that the keys at hand allow.
func (c *cli) level() catalog.Level {
	switch {
	case c.set.Verify.Level.IsSet():
		return catalog.Level(c.set.Verify.Level.Get())
	case c.set.IdentitiesFile.Get() != "":
		return catalog.Content
	}
	return catalog.Stored
}

func (c *cli) levelHasKey(s *settings.Settings) error {
	if c.level() == catalog.Content && s.IdentitiesFile.Get() == "" && !s.Plaintext.Get() {
		return s.Verify.Level.Errorf("content needs identities to open archives: give --identities-file, or --plaintext for archives without encryption")
	}
	return nil
}

func (c *cli) verify(what string) work {
	return func(ctx context.Context, log *slog.Logger, tell jobs.Progress) (outcome, error) {
		cfg, shut, err := c.verifyConfig(ctx, what)
		defer shut() //nolint:errcheck // receipts are written
		if err != nil {
			return nil, err
		}
		cfg.Log, cfg.Progress = log, tell
		report, err := verify.Run(ctx, cfg)
		return &verifyReport{report}, err
	}
}

func (c *cli) verifyConfig(ctx context.Context, what string) (verify.Config, func() error, error) {
	s := c.set
	cfg := verify.Config{
		Cluster: s.Cluster.Get(), What: what, Level: c.level(), Place: c.place(), Child: c.child, Tool: tool(), Now: c.now, Random: c.random,
		Subset: verify.Subset(s.Verify.Subset.Get()), MaxAge: s.Verify.MaxAge.Get(), RequireIdentity: s.Verify.RequireIdentity.Get(), Budget: s.Verify.Budget.Get(), DryRun: s.DryRun.Get(),
	}
	var err error
	if cfg.Identities, err = c.identities(); err != nil {
		return cfg, nothing, err
	}
	var shut func() error
	cfg.Stores, shut, err = c.openStores(ctx)
	return cfg, shut, err
}

// verifyReport prints a verify.Report.
type verifyReport struct{ verify.Report }

func (r *verifyReport) head() *jobs.Report { return &r.Report.Report }

func (r *verifyReport) text(t *table) {
	if len(r.Archives) > 0 {
		r.archives(t)
	}
	if slices.ContainsFunc(r.Stores, func(s verify.StoreReport) bool { return s.NewestVerified != "" }) {
		r.ages(t)
	}
}

// ages tells how old the newest verified archive of each store is.
func (r *verifyReport) ages(t *table) {
	t.line("")
	t.row("STORE", "NEWEST VERIFIED", "AGE", "RESULT")
	for _, s := range r.Stores {
		if s.NewestVerified == "" {
			t.row(s.URL, "-", "-", s.Result)
			continue
		}
		t.row(s.URL, s.NewestVerified, age(time.Duration(s.AgeSeconds)*time.Second), s.Result)
	}
}

func (r *verifyReport) archives(t *table) {
	t.row("ARCHIVE", "STORE", "LEVEL", "RESULT", "HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE", "ERROR")
	for _, a := range r.Archives {
		if a.Hash == "" {
			t.row(a.ID, a.Store, a.Level, a.Result, "-", "-", "-", "-", a.Error)
			continue
		}
		t.row(a.ID, a.Store, a.Level, a.Result, a.Hash, a.Revision, a.TotalKey, size(a.TotalSize), a.Error)
	}
}
