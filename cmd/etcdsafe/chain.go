package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/prune/plan"
	"github.com/etcdsafe/etcdsafe/jobs/snapshot"
	"github.com/etcdsafe/etcdsafe/jobs/verify"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// runnable are the jobs that run knows. restore is for a person.
var runnable = []string{"snapshot", "verify", "prune", "defrag"}

func (c *cli) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run JOB,JOB...",
		Short: "several jobs in order in one process, stopping at the first that is not done",
		Long: "run does " + strings.Join(runnable, ", ") + " in the order given, and stops at the first that ends neither ok nor skipped: its exit\n" +
			"code is that of the run, also where it is 3, done in part. verify after snapshot looks at the fresh archive, and opens it\n" +
			"with the key that it was sealed with: no identity is needed, and its receipt says so.",
		Example: "  etcdsafe run snapshot,verify,prune --cluster prod --endpoints https://10.0.0.1:2379 --cacert ca.crt --cert client.crt --key client.key \\\n" +
			"      --stores s3://backups --recipients-file recipients.txt --prune-keep-daily 14",
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			names, err := jobNames(args[0])
			if err != nil {
				return usageError(fmt.Errorf("run %w", err))
			}
			ch := &chain{cli: c, names: names}
			return c.within(cmd.Context(), &runReport{Report: jobs.Report{Job: "run"}, names: names, Jobs: []outcome{}}, ch.run, ch.checks()...)
		},
	}
	c.chainFlags(cmd.Flags())
	return cmd
}

// chainFlags are those of every job that run and cron know.
func (c *cli) chainFlags(fs *pflag.FlagSet) {
	s := c.set
	s.PrefixedFlags(fs, &s.Common, &s.Store, &s.Job, &s.Etcd, &s.Quota, &s.Lock, &s.Keys, &s.Spool, &s.Snapshot, &s.Verify, &s.Prune, &s.Defrag)
}

// jobNames reads the list of jobs: each at most once.
func jobNames(list string) ([]string, error) {
	names := strings.Split(list, ",")
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		switch {
		case !slices.Contains(runnable, names[i]):
			return nil, fmt.Errorf("%q: %q is none of %s%s", list, names[i], strings.Join(runnable, ", "), settings.DidYouMean(names[i], runnable))
		case slices.Contains(names[:i], names[i]):
			return nil, fmt.Errorf("%q: %s is there twice", list, names[i])
		}
	}
	return names, nil
}

// chain is one run of several jobs.
type chain struct {
	*cli
	names []string
	key   archive.RunKey   // of what snapshot sealed, where verify has no identity
	fresh *snapshot.Report // what snapshot committed
	slot  *slotOf          // nil: not begun by cron
}

// checks are those of all jobs in the run.
func (ch *chain) checks() []settings.Check {
	s := ch.set
	out := []settings.Check{settings.Need(&s.Cluster)}
	for _, name := range ch.names {
		switch name {
		case "snapshot":
			out = append(out, settings.Need(&s.Stores), needRecipient, leaseIsNamed)
		case "verify":
			out = append(out, settings.Need(&s.Stores))
			if !ch.sealsFirst() {
				out = append(out, ch.levelHasKey)
			}
		case "prune":
			out = append(out, settings.Need(&s.Stores), policyIsPossible, policyHasRule, onlyHasReason, locksOutlastRuns, notSimulated)
		case "defrag":
			out = append(out, ruleCompiles, waitIsLong, leaseIsNamed, ch.isOnePod)
		}
	}
	return out
}

// policyHasRule refuses before the first job what prune would refuse after the others.
func policyHasRule(s *settings.Settings) error {
	rules, err := policy(s)
	if err == nil && len(s.Prune.Only.Get()) == 0 && rules.Empty() {
		return fmt.Errorf("prune: %w", plan.ErrEmptyPolicy)
	}
	return nil // policyIsPossible tells of err
}

func notSimulated(s *settings.Settings) error {
	if s.Prune.Simulate.Get() {
		return s.Prune.Simulate.Errorf("a simulation is for prune by itself")
	}
	return nil
}

// sealsFirst says whether verify comes after snapshot.
func (ch *chain) sealsFirst() bool {
	sealed := slices.Index(ch.names, "snapshot")
	return sealed >= 0 && sealed < slices.Index(ch.names, "verify")
}

// run does the jobs, until one is not done.
func (ch *chain) run(ctx context.Context, log *slog.Logger, tell jobs.Progress) (outcome, error) {
	defer ch.key.Wipe()
	all := &runReport{names: ch.names, Report: jobs.Report{Job: "run", Cluster: ch.set.Cluster.Get(), Started: ch.now().UTC(), DryRun: ch.set.DryRun.Get()}, Jobs: []outcome{}}
	for _, name := range ch.names {
		out, err := ch.one(ctx, name, ch.logOf(log, name), tell)
		err = stopped(ctx, err)
		h := out.head()
		h.End(ch.now(), exitCode(err, h.Cause), err)
		all.add(out)
		ch.note(ctx, out, ch.log)
		switch {
		case err != nil:
			return all, fmt.Errorf("%s: %w", name, err)
		case h.Result != jobs.OK && h.Result != jobs.Skipped:
			return all, nil
		}
	}
	return all, nil
}

// one does a job. Its outcome is never nil.
func (ch *chain) one(ctx context.Context, name string, log *slog.Logger, tell jobs.Progress) (outcome, error) {
	do := map[string]work{"snapshot": ch.snapshot, "verify": ch.verify, "prune": ch.prune, "defrag": ch.defrag}[name]
	began := ch.now().UTC()
	ch.log = log
	log.Info("job begun")
	out, err := do(ctx, log, tell)
	if out == nil {
		out = &emptyReport{jobs.Report{Job: name, Cluster: ch.set.Cluster.Get(), Started: began}}
	}
	return out, err
}

func (ch *chain) snapshot(ctx context.Context, log *slog.Logger, tell jobs.Progress) (outcome, error) {
	cfg, shut, err := ch.snapshotConfig(ctx)
	defer shut() //nolint:errcheck // all that was written is committed
	if err != nil {
		return nil, err
	}
	cfg.Log, cfg.Progress = log, tell
	if ch.sealsFirst() && ch.set.IdentitiesFile.Get() == "" {
		cfg.Recipients = cfg.Recipients.Keep(&ch.key)
	}
	if ch.slot != nil && ch.slot.mode == slotFresh {
		cfg.Locked.Patience = 0 // the holder may be at this very slot: the stores are asked again instead
	}
	if ch.slot != nil {
		cfg.Done = func(ctx context.Context) bool {
			done, err := ch.doneSince(ctx, cfg.Stores, "snapshot")
			return err == nil && done
		}
	}
	report, err := snapshot.Run(ctx, cfg)
	for since := ch.now(); err == nil && report.StoodBack() && ch.waitsForTheDead(ctx, cfg.Stores, since); {
		report, err = snapshot.Run(ctx, cfg)
	}
	if report.Committed && report.Archive != nil {
		ch.fresh = &report
	}
	return &snapshotReport{report}, err
}

// verify looks at what snapshot committed, where it did, else at the newest archive.
func (ch *chain) verify(ctx context.Context, log *slog.Logger, tell jobs.Progress) (outcome, error) {
	cfg, shut, err := ch.verifyConfig(ctx, catalog.Latest)
	defer shut() //nolint:errcheck // receipts are written
	if err != nil {
		return nil, err
	}
	cfg.Log, cfg.Progress = log, tell
	if ch.fresh != nil {
		ch.lookAtFresh(&cfg)
	} else if err := ch.levelHasKey(ch.set); err != nil { // nothing was sealed in this run that its key opens
		return nil, err
	}
	report, err := verify.Run(ctx, cfg)
	return &verifyReport{report}, err
}

// lookAtFresh makes verify look at the fresh archive.
func (ch *chain) lookAtFresh(cfg *verify.Config) {
	cfg.What = string(ch.fresh.Archive.ID)
	if ch.set.IdentitiesFile.Get() == "" && ch.fresh.Archive.Encrypted {
		cfg.Identities, cfg.RunKey = ch.key.Identities(), true
	}
	if !ch.set.Verify.Level.IsSet() {
		cfg.Level = catalog.Content
	}
}

// runReport is what a run of several jobs did.
type runReport struct {
	jobs.Report
	Jobs  []outcome `json:"jobs"`
	names []string
}

func (r *runReport) head() *jobs.Report { return &r.Report }

func (r *runReport) has(job string) bool { return slices.Contains(r.names, job) }

// add takes what a job came to. The weightiest cause is that of the run.
func (r *runReport) add(out outcome) {
	h := out.head()
	h.Error = settings.Mask(h.Error)
	for i := range h.Warnings {
		h.Warnings[i] = settings.Mask(h.Warnings[i])
		r.Warnings = append(r.Warnings, h.Job+": "+h.Warnings[i])
	}
	r.Committed = r.Committed || h.Committed
	r.Cause = jobs.Weightier(r.Cause, h.Cause)
	r.Jobs = append(r.Jobs, out)
}

func (r *runReport) text(t *table) {
	for _, out := range r.Jobs {
		t.line("== %s: %s", out.head().Job, out.head().Result)
		out.text(t)
	}
}

// emptyReport is of a job that came to nothing.
type emptyReport struct{ jobs.Report }

func (r *emptyReport) head() *jobs.Report { return &r.Report }
func (r *emptyReport) text(*table)        {}
