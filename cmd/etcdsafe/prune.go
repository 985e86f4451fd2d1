package main

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/prune"
	"github.com/etcdsafe/etcdsafe/jobs/prune/plan"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// betweenLists is what a store that lists late is given to catch up, where caps decide.
const betweenLists = time.Minute

func (c *cli) pruneCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "remove old archives, by a plan that tells every reason",
		Long: "prune keeps what any of its rules keeps, and removes the rest: in each store, for each cluster id.\n" +
			"It never removes the newest archive, the newest verified one, the newest that a lasting key opened,\n" +
			"a held one, nor the last --keep-min, and refuses (13) a plan that looks like a\n" +
			"mistake. --dry-run prints the plan and needs no right to delete.",
		Example: "  etcdsafe prune --cluster prod --stores file:///backups --keep-hourly 24 --keep-daily 7 --keep-weekly 5 --dry-run\n" +
			"  etcdsafe prune --simulate --every 1h --days 400 --keep-hourly 24 --keep-daily 7 --keep-monthly 12",
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.simulates() {
				return c.simulate()
			}
			return c.job(cmd.Context(), &pruneReport{prune.Report{Report: jobs.Report{Job: "prune"}}}, c.prune,
				settings.Need(&s.Cluster, &s.Stores), policyIsPossible, onlyHasReason, locksOutlastRuns)
		},
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Store, &s.Job, &s.Prune)
	return cmd
}

// policy reads the rules. The error names the setting.
func policy(s *settings.Settings) (plan.Policy, error) {
	p := &s.Prune
	zone, err := time.LoadLocation(p.TimeZone.Get())
	if err != nil {
		return plan.Policy{}, p.TimeZone.Errorf("%q is no time zone such as Europe/Berlin", p.TimeZone.Get())
	}
	out := plan.Policy{
		KeepLast: int(p.KeepLast.Get()), KeepHourly: int(p.KeepHourly.Get()), KeepDaily: int(p.KeepDaily.Get()), KeepWeekly: int(p.KeepWeekly.Get()),
		KeepMonthly: int(p.KeepMonthly.Get()), KeepYearly: int(p.KeepYearly.Get()), KeepWithin: p.KeepWithin.Get(), KeepMin: int(p.KeepMin.Get()),
		MaxCount: int(p.MaxCount.Get()), MaxBytes: int64(p.MaxBytes.Get()), CountLevel: catalog.Level(p.CountLevel.Get()),
		Labels: p.Label.Get(), Location: zone, PreviousClusterHold: p.PreviousClusterHold.Get(),
		SuspectAfter: p.SuspectAfter.Get(), StaleAfter: p.StaleAfter.Get(), MaxRemoved: int(p.MaxRemoved.Get()),
	}
	if err := out.Check(); err != nil {
		return out, usageError(err)
	}
	return out, nil
}

func policyIsPossible(s *settings.Settings) error {
	_, err := policy(s)
	return err
}

func onlyHasReason(s *settings.Settings) error {
	for _, id := range s.Prune.Only.Get() {
		if _, err := catalog.ParseID(id); err != nil {
			return s.Prune.Only.Errorf("%w", err)
		}
	}
	if len(s.Prune.Only.Get()) > 0 && s.Prune.Reason.Get() == "" {
		return s.Prune.Reason.Errorf("--only removes what a person names: say why")
	}
	return nil
}

// locksOutlastRuns refuses locks that would end before the next run lengthens them.
func locksOutlastRuns(s *settings.Settings) error {
	extend, interval := s.Prune.ExtendLocks.Get(), s.Prune.Interval.Get()
	if extend > 0 && interval >= extend {
		return s.Prune.ExtendLocks.Errorf("locks of %s end before the next run, %s later", extend, interval)
	}
	return nil
}

func (c *cli) prune(ctx context.Context, log *slog.Logger, _ jobs.Progress) (outcome, error) {
	s := c.set
	rules, err := policy(s)
	if err != nil {
		return nil, err
	}
	stores, shut, err := c.openStores(ctx)
	defer shut() //nolint:errcheck // what was removed is removed
	if err != nil {
		return nil, err
	}
	cfg := prune.Config{Cluster: s.Cluster.Get(), Stores: stores, Policy: rules, Reason: s.Prune.Reason.Get(), PlanHash: s.Prune.PlanHash.Get(),
		GarbageAfter: s.Prune.GarbageAfter.Get(), Between: betweenLists, ExtendLocks: s.Prune.ExtendLocks.Get(), DryRun: s.DryRun.Get(), Now: c.now, Random: c.random, Log: log}
	for _, id := range s.Prune.Only.Get() {
		cfg.Only = append(cfg.Only, catalog.ID(id))
	}
	c.collectLater()
	report, err := prune.Run(ctx, cfg)
	return &pruneReport{report}, err
}

// pruneReport prints a prune.Report.
type pruneReport struct{ prune.Report }

func (r *pruneReport) head() *jobs.Report { return &r.Report.Report }

func (r *pruneReport) text(t *table) {
	if len(r.Plan) > 0 {
		t.row("ARCHIVE", "TAKEN", "SIZE", "VERDICT", "REASONS")
	}
	store := ""
	for _, item := range r.Plan {
		if item.Store != store && len(r.Stores) > 1 {
			store = item.Store
			t.line("%s", store)
		}
		t.row(item.ID, utc(item.Time), size(item.Bytes), string(item.Verdict)+resultText(item), strings.Join(item.Reasons, ", "))
	}
	for _, s := range r.Stores {
		r.garbage(t, s)
	}
	for _, s := range r.Stores {
		if s.RunsRemoved > 0 {
			t.line("%s: %d %s", s.URL, s.RunsRemoved, map[bool]string{true: "records of runs would be removed", false: "runs removed"}[r.DryRun])
		}
		if s.Error == "" && !r.DryRun {
			t.line("%s: %d archives removed, %s %s", s.URL, s.Removed, size(s.Bytes), map[bool]string{true: "hidden", false: "freed"}[s.Hidden])
			if s.Extended > 0 {
				t.line("%s: %d archives locked for longer", s.URL, s.Extended)
			}
		}
	}
	if r.PlanHash != "" {
		t.line("plan hash %s", r.PlanHash)
	}
}

func resultText(item prune.Item) string {
	switch item.Result {
	case jobs.OK:
		return ", done"
	case jobs.Failed:
		return ", not done: " + item.Error
	}
	return ""
}

func (r *pruneReport) garbage(t *table, s prune.StoreReport) {
	if len(s.Garbage) == 0 {
		return
	}
	t.line("garbage in %s:", s.URL)
	for _, g := range s.Garbage {
		t.row("  "+g.Name, utc(g.Since), size(g.Bytes), g.Result, g.What+" "+g.Error)
	}
}

func (c *cli) simulates() bool {
	c.set.Load(c.env, c.readFile)
	return c.set.Prune.Simulate.Get()
}

// simulate prints what the policy would hold: the first days, then ever more apart.
func (c *cli) simulate() error {
	s := c.set
	if err := s.Validate(policyIsPossible); err != nil {
		return err
	}
	rules, err := policy(s)
	if err != nil {
		return err
	}
	days, err := plan.Simulate(rules, s.Prune.Every.Get(), int(s.Prune.Days.Get()), int64(s.Prune.Size.Get()))
	if err != nil {
		return usageError(err)
	}
	var shown []plan.Day
	for d := range days {
		if isShown(d.N, int(s.Prune.Days.Get())) {
			shown = append(shown, d)
		}
	}
	return c.document(shown, func(t *table) {
		t.row("DAY", "ARCHIVES", "BYTES", "OLDEST", "OF A DAY", "OF 7 DAYS", "OF 31 DAYS", "OF A YEAR", "OLDER")
		for _, d := range shown {
			row := []any{d.N, len(d.Ages), size(int64(len(d.Ages)) * int64(s.Prune.Size.Get())), oldest(d.Ages)}
			for _, n := range spread(d.Ages) {
				row = append(row, n)
			}
			t.row(row...)
			if d.Refused != nil {
				t.line("  that day's prune would be refused: %s", d.Refused)
			}
		}
	})
}

// isShown picks days 1, 2, 3, 7, 14, 30, 60, 90 and so on, and the last.
func isShown(day, last int) bool {
	switch day {
	case 1, 2, 3, 7, 14, last:
		return true
	}
	return day%30 == 0 && day <= 90 || day%90 == 0
}

func oldest(ages []time.Duration) string {
	if len(ages) == 0 {
		return "-"
	}
	return age(ages[len(ages)-1])
}

// bounds of the columns in which a simulation counts ages.
var bounds = []time.Duration{24 * time.Hour, 7 * 24 * time.Hour, 31 * 24 * time.Hour, 366 * 24 * time.Hour, math.MaxInt64}

// spread counts ages, at most as old as each bound and older than the one before.
func spread(ages []time.Duration) []int {
	out := make([]int, len(bounds))
	for _, a := range ages {
		out[slices.IndexFunc(bounds, func(b time.Duration) bool { return a <= b })]++
	}
	return out
}
