package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/jobs/status"
)

func (c *cli) statusCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "status",
		Short: "members, their health, space, alarms, and what is in flight on them",
		Long: "status asks every member for its Status and its metrics. The first table has the ten columns of etcdctl 3.5's\n" +
			"`endpoint status --cluster`; the second tells what a defragmentation would free, how much of the quota is used, and\n" +
			"how many defragmentations and snapshot streams are in flight, whoever began them. `-` is what is not known.\n\n" +
			"Exit code 13 says that an alarm is active, 14 that a voter is not healthy or was not reached; with both it is 13.",
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.load(endpointsAreKnown, reportHasFolder); err != nil {
				return err
			}
			return c.status(cmd.Context())
		},
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Etcd, &s.Quota, &s.Status)
	return cmd
}

func (c *cli) status(ctx context.Context) error {
	cfg := status.Config{Quota: int64(c.set.Quota.Quota.Get()), Now: c.now}
	var err error
	if cfg.Etcd, err = c.etcdConfig(); err != nil {
		return err
	}
	c.warnOfInsecurity(c.logger(c.stderr))
	if !c.set.Status.Watch.Get() {
		return c.look(ctx, cfg)
	}
	for ctx.Err() == nil {
		c.clearScreen()
		if err := c.look(ctx, cfg); ctx.Err() == nil {
			c.complain(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(c.set.Status.Interval.Get()):
		}
	}
	return context.Cause(ctx)
}

// look prints the cluster once, and returns what is wrong with it.
func (c *cli) look(ctx context.Context, cfg status.Config) error {
	ctx, stop := context.WithTimeoutCause(ctx, browseTime, errDeadline)
	defer stop()
	report, err := status.Look(ctx, cfg)
	if ctx.Err() != nil {
		return stopped(ctx, err)
	}
	if printed := c.document(report, func(t *table) { c.statusText(t, report) }); printed != nil {
		return printed
	}
	return err
}

// clearScreen begins a watched terminal anew; elsewhere one look stands below the other.
func (c *cli) clearScreen() {
	if f, ok := c.stdout.(*os.File); ok && isTerminal(f) && c.set.Output.Get() == "text" {
		fmt.Fprint(c.stdout, "\033[H\033[2J")
	}
}

func (c *cli) statusText(t *table, r status.Report) {
	if c.set.Status.Watch.Get() {
		t.line("%s, every %s", utc(r.Time), c.set.Status.Interval.Get())
	}
	if len(r.Members) == 0 {
		return
	}
	t.row("ENDPOINT", "ID", "VERSION", "DB SIZE", "IS LEADER", "IS LEARNER", "RAFT TERM", "RAFT INDEX", "RAFT APPLIED INDEX", "ERRORS")
	for _, m := range r.Members {
		t.row(raftColumns(m)...)
	}
	t.line("")
	t.row("MEMBER", "IN USE", "FREE", "FRAGMENTATION", "QUOTA", "QUOTA USE", "DEFRAGMENTS", "SNAPSHOT STREAMS")
	for _, m := range r.Members {
		t.row(append(append([]any{orID(m.Name, m.ID)}, spaceColumns(m.Space)...), flightColumns(m.InFlight)...)...)
	}
	for _, a := range r.Alarms {
		t.line("ALARM: %s (%s, id %s)", a.Text, orID(a.Name, "no member"), a.ID)
	}
	for _, m := range r.Members {
		if m.MetricsError != "" && m.Error == "" { // its row says what is wrong
			t.line("NOTE: %s: what is in flight is not known: %s", orID(m.Name, m.ID), m.MetricsError)
		}
		for _, bug := range m.Known {
			t.line("NOTE: %s: %s", orID(m.Name, m.ID), bug)
		}
	}
	for _, note := range r.Notes {
		t.line("NOTE: %s", note)
	}
}

func orID(name, id string) string {
	if name == "" {
		return id
	}
	return name
}

// raftColumns are etcdctl's ten.
func raftColumns(m status.Member) []any {
	bytes := "-"
	if m.Space != nil {
		bytes = size(m.DBSize)
	}
	if m.Raft == nil {
		return []any{m.Endpoint, m.ID, "-", bytes, "-", m.Learner, "-", "-", "-", m.Error}
	}
	return []any{m.Endpoint, m.ID, m.Version, bytes, m.Leader, m.Learner, m.Term, m.Index, m.Applied, strings.Join(m.Errors, ", ")}
}

func spaceColumns(s *status.Space) []any {
	if s == nil {
		return []any{"-", "-", "-", "-", "-"}
	}
	quota, use := "-", "-"
	switch {
	case s.QuotaFrom == status.None:
		quota = "none"
	case s.DBQuota != nil:
		quota, use = size(*s.DBQuota), percent(*s.DBQuotaUsage)
	}
	if s.QuotaFrom == status.Assumed {
		quota += " assumed"
	}
	return []any{size(s.DBSizeInUse), size(s.DBSizeFree), percent(s.Fragmentation), quota, use}
}

func flightColumns(f *status.InFlight) []any {
	if f == nil {
		return []any{"-", "-"}
	}
	return []any{map[bool]string{true: "yes", false: "no"}[f.Defragmenting], f.SnapshotStreams}
}

// percent prints a share of 1.
func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + "%" }
