package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/defrag"
	"github.com/etcdsafe/etcdsafe/jobs/defrag/rule"
)

// leastWait is what OpenShift's documents ask for between two members, so that the cluster recovers.
const leastWait = time.Minute

var errIndexed = errors.New("JOB_COMPLETION_INDEX is not 0: members are defragmented one after the other, by one Pod")

func (c *cli) defragCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "defrag",
		Short: "give back the free pages of members' databases, one member at a time",
		Long: "defrag looks whether the rule has said yes of a member for --sustain, and defragments those members of which it has:\n" +
			"followers by name, the leader last, after it gave up the lead. Before each the whole cluster must be well, nothing may\n" +
			"be in flight, and the lock be ours. A member that defragments serves nobody; it is followed to its end, never asked\n" +
			"twice, and the first that does not end well is the last.\n\n" +
			"With an alarm NOSPACE neither rule nor cool-down is asked: all voters are done. --disarm then ends the alarm.",
		Example: "  etcdsafe defrag --cluster prod --endpoints https://10.0.0.1:2379 --cacert ca.crt --cert client.crt --key client.key --dry-run\n" +
			"  etcdsafe defrag --cluster prod --disarm --compact-keep 1000",
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			empty := &defragReport{defrag.Report{Report: jobs.Report{Job: "defrag"}}}
			return c.job(cmd.Context(), empty, c.defrag, settings.Need(&s.Cluster), ruleCompiles, waitIsLong, leaseIsNamed, c.isOnePod)
		},
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Store, &s.Job, &s.Etcd, &s.Quota, &s.Lock, &s.Defrag)
	return cmd
}

func ruleCompiles(s *settings.Settings) error {
	if _, err := rule.Compile(s.Defrag.Rule.Get()); err != nil {
		return s.Defrag.Rule.Errorf("%w", err)
	}
	return nil
}

func waitIsLong(s *settings.Settings) error {
	if d := &s.Defrag; d.Wait.Get() < leastWait && !d.AllowShortWait.Get() {
		return d.Wait.Errorf("%s is less than %s: the cluster needs that to recover (%s takes it)", d.Wait.Get(), leastWait, d.AllowShortWait.Name())
	}
	return nil
}

// isOnePod refuses the second of the Pods of an Indexed Job: they would stand in each other's way.
func (c *cli) isOnePod(*settings.Settings) error {
	if index := c.getenv("JOB_COMPLETION_INDEX"); index != "" && index != "0" {
		return usageError(errIndexed)
	}
	return nil
}

func (c *cli) defrag(ctx context.Context, log *slog.Logger, _ jobs.Progress) (outcome, error) {
	s := c.set
	d := &s.Defrag
	cfg := defrag.Config{Cluster: s.Cluster.Get(), Sustain: d.Sustain.Get(), CoolDown: d.CoolDown.Get(), Wait: d.Wait.Get(), Watch: c.watch, GiveUp: d.GiveUp.Get(), MaxBlock: d.MaxBlock.Get(),
		MoveLeader: d.MoveLeader.Get(), AllowSingle: d.AllowSingle.Get(), Force: d.Force.Get(), BlindOK: d.Metrics.Get() == "optional", Member: d.Member.Get(),
		MaxMembers: int(d.MaxMembers.Get()), CompactKeep: -1, Disarm: d.Disarm.Get(), Quota: int64(s.Quota.Quota.Get()), Policy: c.lockPolicy(), DryRun: s.DryRun.Get(), Now: c.now, Log: log}
	if d.CompactKeep.IsSet() {
		cfg.CompactKeep = d.CompactKeep.Get()
	}
	var err error
	if cfg.Rule, err = rule.Compile(d.Rule.Get()); err != nil {
		return nil, err
	}
	if cfg.Etcd, err = c.etcdConfig(); err != nil {
		return nil, err
	}
	if cfg.Claim, err = c.claim("defrag"); err != nil {
		return nil, err
	}
	if cfg.Lock, err = c.locker(cfg.Etcd); err != nil {
		return nil, err
	}
	report, err := defrag.Run(ctx, cfg)
	return &defragReport{report}, err
}

// defragReport prints a defrag.Report.
type defragReport struct{ defrag.Report }

func (r *defragReport) head() *jobs.Report { return &r.Report.Report }

func (r *defragReport) text(t *table) {
	if len(r.Members) > 0 {
		t.row("MEMBER", "ID", "LEADER", "VERDICT", "BEFORE", "AFTER", "SECONDS", "REASON")
	}
	for _, m := range r.Members {
		after, seconds := "-", "-"
		if m.SizeAfter > 0 {
			after = size(m.SizeAfter)
		}
		switch {
		case m.Seconds > 0:
			seconds = fmt.Sprintf("%.1f", m.Seconds)
		case m.Block > 0:
			seconds = "~" + fmt.Sprintf("%.1f", m.Block)
		}
		t.row(cmp.Or(m.Name, "-"), m.ID, m.Leader, m.Verdict, size(m.SizeBefore), after, seconds, m.Reason)
	}
	if r.Compacted > 0 {
		t.line("compacted at revision %d", r.Compacted)
	}
	if len(r.Disarmed) > 0 {
		t.line("disarmed: %s", strings.Join(r.Disarmed, ", "))
	}
}
