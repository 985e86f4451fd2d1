package main

import (
	"context"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/restore"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

func (c *cli) restoreCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "restore ID|latest|latest-verified|FILE",
		Short: "make an etcd data folder of an archive, or fetch one",
		Long: "restore makes a data folder of an archive in a store, or of a local file: an archive\n" +
			"(…db.zst.age, …db.zst) or a plain snapshot. Run it on each member's machine with etcd down.",
		Example: `  etcdsafe restore latest --cluster prod --stores file:///backups --identities-file identity.txt --data-dir /var/lib/etcd`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			what, file := c.source(args[0])
			checks := []settings.Check{oneTarget}
			if file == "" {
				checks = append(checks, settings.Need(&s.Cluster, &s.Stores), knownName(what))
			}
			return c.job(cmd.Context(), &restoreReport{restore.Report{Report: jobs.Report{Job: "restore"}}}, c.restore(what, file), checks...)
		},
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Store, &s.Job, &s.Etcd, &s.Keys, &s.Spool, &s.Past, &s.Restore)
	return cmd
}

// source tells a local file from the name of an archive: by a path's slash, by its ending, or
// because it is there.
func (c *cli) source(arg string) (what, file string) {
	if arg == catalog.Latest || arg == catalog.LatestVerified {
		return arg, ""
	}
	if _, err := catalog.ParseID(arg); err == nil {
		return arg, ""
	}
	if _, err := os.Stat(arg); err == nil || strings.ContainsAny(arg, "/.") {
		return "", arg
	}
	return arg, ""
}

func oneTarget(s *settings.Settings) error {
	n := 0
	for _, p := range []settings.Path{s.Restore.DataDir.Get(), s.Restore.DbOnly.Get(), s.Restore.FetchOnly.Get()} {
		if p != "" {
			n++
		}
	}
	if n != 1 {
		return s.Restore.DataDir.Errorf("restore needs exactly one of --data-dir, --db-only and --fetch-only")
	}
	return nil
}

func (c *cli) restore(what, file string) work {
	return func(ctx context.Context, log *slog.Logger, tell jobs.Progress) (outcome, error) {
		cfg, err := c.restoreConfig()
		if err != nil {
			return nil, err
		}
		stores, shut, err := c.storesFor(ctx, file)
		defer shut() //nolint:errcheck // nothing was written to them
		if err != nil {
			return nil, err
		}
		cfg.Stores, cfg.What, cfg.File, cfg.Log, cfg.Progress = stores, what, file, log, tell
		report, err := restore.Run(ctx, cfg)
		return &restoreReport{report}, err
	}
}

// storesFor opens no store for a local file.
func (c *cli) storesFor(ctx context.Context, file string) (catalog.Stores, func() error, error) {
	if file != "" {
		return nil, nothing, nil
	}
	return c.openStores(ctx)
}

func (c *cli) restoreConfig() (restore.Config, error) {
	s, r := c.set, &c.set.Restore
	cfg := restore.Config{
		Cluster: s.Cluster.Get(), AsOf: r.AsOf.Get(), Place: c.place(), Child: c.child, Now: c.now, Random: c.random,
		DataDir: string(r.DataDir.Get()), DBOnly: string(r.DbOnly.Get()), FetchOnly: string(r.FetchOnly.Get()),
		MoveAside: r.MoveAside.Get(), AllowSuspect: r.AllowSuspect.Get(), Name: r.Name.Get(), DryRun: s.DryRun.Get(),
		Peers: restore.Peers{InitialCluster: r.InitialCluster.Get(), Token: r.InitialClusterToken.Get()},
	}
	for _, u := range r.InitialAdvertisePeerUrls.Get() {
		cfg.Peers.AdvertiseURLs = append(cfg.Peers.AdvertiseURLs, u.Full())
	}
	if r.BumpRevision.IsSet() {
		by := r.BumpRevision.Get()
		cfg.Bump.By = &by
	}
	if r.MarkCompacted.IsSet() {
		mark := r.MarkCompacted.Get()
		cfg.Bump.Mark = &mark
	}
	if r.Owner.IsSet() {
		owner := restore.Owner(r.Owner.Get())
		cfg.Owner = &owner
	}
	var err error
	if cfg.Identities, err = c.identities(); err != nil {
		return cfg, err
	}
	// Only endpoints that somebody named are asked: a restore needs no cluster.
	if s.Endpoints.IsSet() {
		live, err := c.etcdConfig()
		if err != nil {
			return cfg, err
		}
		cfg.Live = &live
	}
	return cfg, nil
}

// restoreReport prints a restore.Report.
type restoreReport struct{ restore.Report }

func (r *restoreReport) head() *jobs.Report { return &r.Report.Report }

func (r *restoreReport) text(t *table) {
	if a := r.Archive; a != nil {
		if a.ID != "" {
			t.row("ARCHIVE", a.ID)
			t.row("TAKEN", utc(*a.Taken)+", "+a.Age+" ago")
		} else {
			t.row("FILE", a.File)
		}
		t.row("REVISION", a.Revision)
		t.row("KEYS", keys(a.Keys))
	}
	if r.File != "" {
		t.row("WRITTEN", r.File)
	}
	if r.DataDir == "" {
		return
	}
	t.row("DATA FOLDER", r.DataDir)
	t.row("REVISION RAISED BY", r.BumpedBy)
	t.row("BECAUSE", r.BumpReason)
	if r.MovedAside != "" {
		t.row("OLD FOLDER", r.MovedAside)
	}
	if len(r.Start) == 0 {
		return
	}
	t.line("")
	t.line("Restore each member from this archive, then start it with its usual flags and these:")
	for _, line := range r.Start {
		t.line("  %s", line)
	}
}
