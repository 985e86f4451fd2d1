package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/cron"
)

// schedule is what is measured of `etcdsafe cron`.
type schedule struct {
	start, etcdctl []float64 // seconds
	cores          float64   // of one, while idle
	idleFor        time.Duration
	anonymous      int // bytes
	fleet          fleet
}

// idleTime is for how long an idle process is watched.
const idleTime = time.Minute

// measureCron times starts, watches an idle schedule, and counts a fleet's starts.
func (b *bench) measureCron(ctx context.Context, r *results) error {
	s := &schedule{fleet: countFleet(10_000)}
	r.schedule = s
	for i := range 4*b.rounds + 1 {
		ours, err := b.firstLine(ctx)
		if err != nil {
			return err
		}
		o, err := b.run(ctx, b.tool("etcdctl"), "version")
		if err != nil {
			return err
		}
		if i > 0 {
			s.start, s.etcdctl = append(s.start, ours.Seconds()), append(s.etcdctl, o.wall.Seconds())
		}
	}
	b.say("an idle schedule, for %s", idleTime)
	return b.idle(ctx, s)
}

// firstLine is the time from a process's start to its first line of the log.
func (b *bench) firstLine(ctx context.Context) (time.Duration, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := b.command(ctx, b.etcdsafe(), "cron", "--cluster", "bench", "--lock", "none", "--schedules", "defrag=0 0 29 2 *")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(stderr).ReadString('\n')
	took := time.Since(began)
	stop()
	_ = cmd.Wait() // killed
	if err != nil || !strings.Contains(line, "started") {
		return 0, fmt.Errorf("etcdsafe cron said %q, %w", line, err)
	}
	return took, nil
}

// idle watches a schedule of ten lines, none of which is due, that leads by a key in etcd.
func (b *bench) idle(ctx context.Context, s *schedule) error {
	member, err := b.startServer(ctx)
	if err != nil {
		return err
	}
	defer member.stop()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var lines []string
	for i, jobs := range []string{"snapshot", "verify", "prune", "defrag", "snapshot,verify", "snapshot,prune", "snapshot,defrag", "verify,prune", "verify,defrag", "prune,defrag"} {
		lines = append(lines, fmt.Sprintf("%s=%d 0 29 2 *", jobs, i))
	}
	cmd := b.command(ctx, b.etcdsafe(), "cron", "--cluster", "bench", "--schedules", strings.Join(lines, ";"), "--endpoints", member.endpoint,
		"--stores", "file://"+b.path("idle-store"), "--plaintext", "--prune-keep-last", "3", "--starting-deadline", "1m")
	if err := os.MkdirAll(b.path("idle-store"), 0o700); err != nil {
		return err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	defer stop()
	leads := false
	for lines := bufio.NewScanner(stderr); !leads && lines.Scan(); {
		leads = strings.Contains(lines.Text(), "lead taken")
	}
	if !leads {
		return errors.New("etcdsafe cron did not take the lead")
	}
	before, err := cpuOf(cmd.Process.Pid)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(idleTime):
	}
	after, err := cpuOf(cmd.Process.Pid)
	if err != nil {
		return err
	}
	s.cores, s.idleFor = (after-before).Seconds()/idleTime.Seconds(), idleTime
	s.anonymous, err = anonymousOf(cmd.Process.Pid)
	return err
}

// anonymousOf is a process's RssAnon, in bytes.
func anonymousOf(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	return kib << 10, err
}

// fleet is how many of many clusters begin in each minute of an hour.
type fleet struct {
	clusters  int
	most      int
	mean      float64
	byDefault time.Duration
}

// countFleet has clusters with the same hourly line and the default jitter.
func countFleet(clusters int) fleet {
	const jitter = time.Hour
	f := fleet{clusters: clusters, mean: float64(clusters) / 60, byDefault: jitter}
	when, err := cron.ParseSchedule("0 * * * *", time.UTC, false)
	if err != nil {
		panic(err) // it is a schedule
	}
	var minutes [60]int
	for i := range clusters {
		line := cron.Line{Schedule: when, Jitter: jitter, Share: cron.ShareOf(fmt.Sprintf("prod-%04d", i))}
		slot, _ := line.Next(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
		minutes[slot.Due.Minute()]++
	}
	f.most = slices.Max(minutes[:])
	return f
}

// cronDocument is CRON.md.
func (r *results) cronDocument() string {
	var t text
	r.title(&t, "Results of `make bench`: cron")
	s := r.schedule
	t.section("Figures")
	t.head("figure", "against", "ours", "theirs", "ratio", "must", "verdict")
	start, version := median(s.start), median(s.etcdctl)
	t.row("start to the first line of the log", "`etcdctl version`, whole", milliseconds(start), milliseconds(version), fmt.Sprintf("%.2f", start/version), "≤ 3.00", verdict(start/version, 3, 3))
	t.row("idle, ten lines, leading by a key in etcd: CPU", "one core, for "+s.idleFor.String(), fmt.Sprintf("%.2f %%", 100*s.cores), "-", "-", "< 1 %", verdict(s.cores, 0.01, 0.01))
	t.row("idle, the same: anonymous memory (RssAnon)", "-", mebibytes(float64(s.anonymous)), "-", "-", "≤ 40 MiB", verdict(float64(s.anonymous), 40<<20, 40<<20))
	f := s.fleet
	t.row(fmt.Sprintf("%d clusters with the same hourly line and the default jitter: most starts in a minute", f.clusters), "the mean of all minutes", strconv.Itoa(f.most),
		fmt.Sprintf("%.0f", f.mean), fmt.Sprintf("%.2f", float64(f.most)/f.mean), "≤ 2.00", verdict(float64(f.most)/f.mean, 2, 2))
	t.section("All starts", "Ours: "+each(milliseconds, s.start)+".", "", "`etcdctl version`: "+each(milliseconds, s.etcdctl)+".")
	return t.String()
}

func milliseconds(v float64) string { return fmt.Sprintf("%.0f ms", v*1000) }
