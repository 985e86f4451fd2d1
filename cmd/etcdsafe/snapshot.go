package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/snapshot"
)

// floorWindow is the time over which a stream's speed is measured.
const floorWindow = 30 * time.Second

func (c *cli) snapshotCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "take a snapshot, prove it, seal it, store it, read it back, commit it",
		Example: `  etcdsafe snapshot --cluster prod --endpoints https://10.0.0.1:2379 --cacert ca.crt --cert client.crt --key client.key \
      --stores file:///backups --recipients-file recipients.txt`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.job(cmd.Context(), &snapshotReport{snapshot.Report{Report: jobs.Report{Job: "snapshot"}}}, c.snapshot,
				settings.Need(&s.Cluster, &s.Stores), needRecipient, leaseIsNamed)
		},
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Store, &s.Job, &s.Etcd, &s.Lock, &s.Keys, &s.Spool, &s.Snapshot)
	return cmd
}

// needRecipient refuses to store in the clear unless told to.
func needRecipient(s *settings.Settings) error {
	if s.Plaintext.Get() || len(s.Recipients.Get()) > 0 || s.RecipientsFile.Get() != "" {
		return nil
	}
	return s.Recipients.Errorf("no recipient to seal to: give one (etcdsafe keygen makes one), or --plaintext")
}

func (c *cli) snapshot(ctx context.Context, log *slog.Logger, tell jobs.Progress) (outcome, error) {
	cfg, shut, err := c.snapshotConfig(ctx)
	defer shut() //nolint:errcheck // all that was written is committed
	if err != nil {
		return nil, err
	}
	cfg.Log, cfg.Progress = log, tell
	report, err := snapshot.Run(ctx, cfg)
	return &snapshotReport{report}, err
}

func (c *cli) snapshotConfig(ctx context.Context) (snapshot.Config, func() error, error) {
	s := c.set
	cfg := snapshot.Config{
		Cluster: s.Cluster.Get(), Place: c.place(), Child: c.child, Compare: snapshot.Compare(s.Snapshot.Compare.Get()),
		Floor: etcd.Floor{BytesPerSecond: int64(s.Snapshot.StreamFloor.Get()), Window: floorWindow},
		Tool:  tool(), Runner: c.runner(), Now: c.now, Random: c.random,
		IfOlderThan: s.Snapshot.IfOlderThan.Get(), Reason: s.Snapshot.Reason.Get(), Labels: s.Snapshot.Label.Get(), Hold: s.Snapshot.Hold.Get(), DryRun: s.DryRun.Get(),
	}
	var err error
	if cfg.Recipients, err = c.recipients(); err != nil {
		return cfg, nothing, err
	}
	if cfg.Etcd, err = c.etcdConfig(); err != nil {
		return cfg, nothing, err
	}
	if cfg.Locker, err = c.locker(cfg.Etcd); err != nil {
		return cfg, nothing, err
	}
	if cfg.Claim, err = c.claim("snapshot"); err != nil {
		return cfg, nothing, err
	}
	cfg.Locked = c.lockPolicy()
	var shut func() error
	cfg.Stores, shut, err = c.openStores(ctx)
	return cfg, shut, err
}

func nothing() error { return nil }

// snapshotReport prints a snapshot.Report.
type snapshotReport struct{ snapshot.Report }

func (r *snapshotReport) head() *jobs.Report { return &r.Report.Report }

func (r *snapshotReport) text(t *table) {
	a := r.Archive
	if a == nil {
		r.members(t)
		if r.Reason != "" {
			t.line("RESULT  %s: %s", r.Result, r.Reason)
		}
		return
	}
	t.row("ARCHIVE", a.ID)
	t.row("RESULT", string(r.Result)+skipText(r))
	t.row("MEMBER", a.Member.Name+" ("+a.Member.ID+", etcd "+a.Member.Version+")")
	t.row("HASH", a.Hash)
	t.row("REVISION", a.Revision)
	t.row("TOTAL KEYS", a.TotalKey)
	t.row("TOTAL SIZE", size(a.TotalSize))
	t.row("HASHKV", hashText(a))
	t.row("STORED", size(a.Bytes)+encryptedText(a.Encrypted))
	for _, s := range r.Stores {
		t.row("STORE", s.URL+"  "+string(s.Result))
	}
}

func skipText(r *snapshotReport) string {
	if !r.Skip {
		return ""
	}
	return ": this archive, taken " + age(r.Started.Sub(r.Archive.ID.Time())) + " before, is younger than --if-older-than"
}

func (r *snapshotReport) members(t *table) {
	if len(r.Members) > 0 {
		t.row("MEMBER", "NAME", "VERDICT", "WHY")
	}
	for _, m := range r.Members {
		t.row(m.ID, m.Name, m.Verdict, m.Reason)
	}
}

func hashText(a *snapshot.ArchiveReport) string {
	if a.HashKV.Why != "" {
		return string(a.HashKV.Outcome) + ": " + a.HashKV.Why
	}
	return string(a.HashKV.Outcome)
}

func encryptedText(encrypted bool) string {
	if encrypted {
		return ", encrypted"
	}
	return ", NOT ENCRYPTED"
}
