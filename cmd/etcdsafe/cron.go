package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/cron"
	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
)

func (c *cli) cronCommand() *cobra.Command {
	s, slot := c.set, &slotFlags{}
	cmd := &cobra.Command{
		Use:   "cron",
		Short: "jobs on a schedule, in a process of its own, with the semantics of a Kubernetes CronJob",
		Long: "cron begins jobs by lines such as snapshot,verify=0 * * * *. Of several replicas in one --group one begins runs; where\n" +
			"nobody can say which, snapshots alone go on. A slot that was missed is made up for once, within --starting-deadline: the\n" +
			"stores tell whether it was. Runs begin up to --jitter after their slot, by the cluster's name; --next prints when.\n\n" +
			"A line with a fixed hour runs once where clocks change: at the first instant after the gap, at the first of two. Lines with\n" +
			"* or / in the hour go by what the clock reads. The --config file is read again when it changes, and taken or refused whole.\n" +
			"Each run is a process of its own: what it is given is read then.",
		Example: "  etcdsafe cron --cluster prod --config etcdsafe.yaml --listen 127.0.0.1:8080\n" +
			"  etcdsafe cron --cluster prod --schedules 'snapshot,verify=0 * * * *; prune=30 3 * * *' --next 5",
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if slot.line != "" {
				return c.slotRun(cmd.Context(), slot)
			}
			return c.cron(cmd.Context())
		},
	}
	c.chainFlags(cmd.Flags())
	s.Flags(cmd.Flags(), &s.Cron)
	slot.bind(cmd.Flags())
	return cmd
}

// cronChecks are those of all jobs in all lines, and of the lines themselves.
func (c *cli) cronChecks() []settings.Check {
	return []settings.Check{settings.Need(&c.set.Cluster, &c.set.Cron.Schedules), c.linesAreSound, nextIsFew, groupIsName, leaseIsNamed, listenIsAddress, clusterIsValid, storesAreKnown, endpointsAreKnown}
}

// linesAreSound tells each fault of the lines' jobs once.
func (c *cli) linesAreSound(s *settings.Settings) error {
	var faults []error
	tell := func(err error) {
		if err != nil && !slices.ContainsFunc(faults, func(f error) bool { return f.Error() == err.Error() }) {
			faults = append(faults, err)
		}
	}
	for _, l := range s.Cron.Schedules.Get() {
		names, err := jobNames(l.Jobs)
		if err != nil {
			tell(s.Cron.Schedules.Errorf("%w", err))
			continue
		}
		for _, check := range (&chain{cli: c, names: names}).checks() {
			tell(check(s))
		}
	}
	_, err := c.lines()
	tell(err)
	return errors.Join(faults...)
}

// lines reads the schedule. The error names the setting and the line.
func (c *cli) lines() ([]cron.Line, error) {
	s := &c.set.Cron
	var out []cron.Line
	var faults []error
	zone, err := location(s.TimeZone.Get())
	if err != nil {
		faults, zone = append(faults, s.TimeZone.Errorf("%w", err)), time.UTC
	}
	for _, l := range s.Schedules.Get() {
		when, err := cron.ParseSchedule(l.Spec, zone, s.Seconds.Get())
		if err != nil {
			faults = append(faults, s.Schedules.Errorf("%s: %w", l.Jobs, err))
		}
		out = append(out, cron.Line{Name: l.Jobs, Schedule: when, Policy: cron.Policy(valueOr(l.ConcurrencyPolicy, s.ConcurrencyPolicy.Get())),
			Deadline: valueOr(l.StartingDeadline, s.StartingDeadline.Get()), Suspend: valueOr(l.Suspend, s.Suspend.Get()),
			Jitter: s.Jitter.Get(), Share: cron.ShareOf(c.set.Cluster.Get())})
	}
	return out, errors.Join(faults...)
}

func valueOr[T any](own *T, all T) T {
	if own != nil {
		return *own
	}
	return all
}

// location is a time zone by its name; that of the machine is none, as for a CronJob.
func location(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || strings.EqualFold(name, "local") {
		return nil, fmt.Errorf("%q is no time zone such as Europe/Berlin", name)
	}
	return zone, nil
}

// mostNext bounds what --next prints of each line.
const mostNext = 1000

func nextIsFew(s *settings.Settings) error {
	if s.Cron.Next.Get() > mostNext {
		return s.Cron.Next.Errorf("must be at most %d", mostNext)
	}
	return nil
}

// cronNext prints when each line runs next.
func (c *cli) cronNext() error {
	lines, err := c.lines()
	if err != nil {
		return err
	}
	type coming struct {
		Line      string    `json:"line"`
		Slot      time.Time `json:"slot"`
		Run       time.Time `json:"run"`
		Suspended bool      `json:"suspended,omitempty"` // it would run then
	}
	var out []coming
	for _, l := range lines {
		at := c.now()
		for range c.set.Cron.Next.Get() {
			s, ok := l.Next(at)
			if !ok {
				break
			}
			out, at = append(out, coming{l.Name, s.At, s.Due, l.Suspend}), s.Due
		}
	}
	slices.SortStableFunc(out, func(a, b coming) int { return a.Run.Compare(b.Run) })
	return c.document(out, func(t *table) {
		t.row("RUN", "SLOT", "LINE")
		for _, n := range out {
			t.row(n.Run.Format(time.RFC3339), n.Slot.Format(time.RFC3339), n.Line+map[bool]string{true: " (suspended)"}[n.Suspended])
		}
	})
}

// cron keeps the schedule until it is told to stop. Then it is no failure: all runs have ended.
func (c *cli) cron(ctx context.Context) error {
	text, err := c.loadCron()
	if err != nil {
		return err
	}
	if c.set.Cron.Next.IsSet() {
		return c.cronNext()
	}
	d, err := c.newDaemon(text)
	if err != nil {
		return err
	}
	if err := d.run(ctx); err != nil {
		return err
	}
	d.log.Info("ended", "reason", jobs.OneLine(context.Cause(ctx)))
	return nil
}

// loadCron is load, and returns what the configuration file held: it may be a pipe, which is read once.
func (c *cli) loadCron() (text []byte, err error) {
	read := c.readFile
	defer func() { c.readFile = read }()
	c.readFile = func(name string) ([]byte, error) {
		text, err = read(name)
		return text, err
	}
	err = c.load(c.cronChecks()...)
	return text, err
}

// newDaemon checks everything that can be before the first slot. text is the configuration file's.
func (c *cli) newDaemon(text []byte) (*daemon, error) {
	log := c.logOf(c.logger(c.stderr), "cron")
	log.Info("started", "version", version(), "settings", c.set)
	c.warnOfInsecurity(log)
	lines, err := c.lines()
	if err != nil {
		return nil, err
	}
	d := &daemon{cli: c, log: log, lines: lines, waiting: map[string]time.Time{}}
	d.config = &watched{now: config{path: string(c.set.Config.Get()), text: text, cli: c}}
	if d.lead, err = c.newLead(log, lines, func() *cli { return d.config.taken().cli }); err != nil {
		return nil, err
	}
	d.schedule = &cron.Scheduler{Clock: cron.System{}, Lead: d.lead, Log: log, Do: d.do}
	return d, nil
}

// daemon is a cron process.
type daemon struct {
	*cli
	log      *slog.Logger
	lines    []cron.Line
	config   *watched
	lead     lead
	schedule *cron.Scheduler
	reading  chan found // of a look at the configuration that has not ended; nil: none

	mu      sync.Mutex
	waiting map[string]time.Time // the slot of a line that was not begun, since nobody could lead
}

func (d *daemon) run(ctx context.Context) error {
	serve, err := d.listen()
	if err != nil {
		return err
	}
	for _, l := range d.lines {
		if next, ok := l.Next(d.now()); ok && !l.Suspend {
			d.log.Info("line armed", "line", l.Name, "slot", next.At, "run", next.Due)
		}
	}
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	all.Go(func() { serve(beside) })
	all.Go(func() { d.lead.run(beside) })
	all.Go(func() { d.reload(beside) })
	d.schedule.Run(ctx, d.lines)
	stop()
	all.Wait()
	return nil
}
