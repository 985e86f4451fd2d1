package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
)

// ours is the folder that etcdsafe works in: its store, its spools, what it restores.
const ours = "ours"

// common are the arguments that each command of etcdsafe gets.
func (b *bench) common(job string, args ...string) []string {
	return append([]string{job, "--cluster", "bench", "--stores", "file://" + b.path(ours, "store"),
		"--spool-dir", b.path(ours, "spool"), "--log-format", "json", "--output", "json"}, args...)
}

// etcdsafe is the binary that is shipped; sampled the one with the heap's sampler in it.
func (b *bench) etcdsafe() string { return filepath.Join(b.bin, "etcdsafe") }
func (b *bench) sampled() string  { return filepath.Join(b.bin, "heap", "etcdsafe") }

// A stored is what the report of etcdsafe snapshot says.
type stored struct {
	Result  string `json:"result"`
	Archive struct {
		Bytes  int64 `json:"bytes"`
		HashKV struct {
			Outcome string `json:"outcome"`
		} `json:"hashKV"`
	} `json:"archive"`
}

// snapshot takes one, and fails unless it was proven: an archive that nobody compared is less
// work.
func (b *bench) snapshot(ctx context.Context, exe string, s *server, args ...string) (outcome, stored, error) {
	args = append([]string{"--endpoints", s.endpoint, "--recipients-file", b.path("recipients.txt")}, args...)
	o, err := b.run(ctx, exe, b.common("snapshot", args...)...)
	if err != nil {
		return o, stored{}, err
	}
	var r stored
	if err := json.Unmarshal(o.stdout, &r); err != nil {
		return o, r, fmt.Errorf("report of etcdsafe snapshot: %w", err)
	}
	if r.Result != "ok" || r.Archive.HashKV.Outcome != "equal" {
		return o, r, fmt.Errorf("etcdsafe snapshot ended in %q, its HashKV was %q: %s", r.Result, r.Archive.HashKV.Outcome, o.stdout)
	}
	return o, r, nil
}

func (b *bench) verify(ctx context.Context, exe string) (outcome, error) {
	return b.run(ctx, exe, b.common("verify", "latest", "--level", "content", "--identities-file", b.path("identity.txt"))...)
}

// restore tells its stages at level debug: some ten lines more.
func (b *bench) restore(ctx context.Context, exe string) (outcome, error) {
	return b.run(ctx, exe, b.common("restore", "latest", "--data-dir", b.path(ours, "data"), "--bump-revision", "0",
		"--identities-file", b.path("identity.txt"), "--log-level", "debug")...)
}

// measureOurSnapshot adds one run to d.
func (b *bench) measureOurSnapshot(ctx context.Context, s *server, d *dataset) error {
	if err := b.fresh(ours, ours+"/store", ours+"/spool"); err != nil {
		return err
	}
	o, member, err := aside(s, func() (outcome, error) {
		o, r, err := b.snapshot(ctx, b.etcdsafe(), s)
		d.of("bytes").addOurs(float64(r.Archive.Bytes))
		return o, err
	})
	if err != nil {
		return err
	}
	lines := logLines(o.stderr)
	opened, err := find(lines, "snapshot stream opened")
	if err != nil {
		return err
	}
	completed, err := find(lines, "snapshot stream completed")
	if err != nil {
		return err
	}
	d.of("stream").addOurs(completed.Took.Seconds())
	d.of("stream-alone").addOurs(completed.at().Sub(opened.at()).Seconds())
	d.of("stream-from-start").addOurs(completed.at().Sub(o.began).Seconds())
	d.of("snapshot").addOurs(o.wall.Seconds())
	d.of("cpu").addOurs(o.cpu.Seconds())
	d.of("member-cpu").addOurs(member.Seconds())
	d.snapshotStages.ours.note(o, lines)
	return nil
}

// measureOurRestore adds one run to d.
func (b *bench) measureOurRestore(ctx context.Context, d *dataset) error {
	if err := b.fresh(ours + "/spool"); err != nil {
		return err
	}
	o, err := b.restore(ctx, b.etcdsafe())
	if err != nil {
		return err
	}
	d.of("restore").addOurs(o.wall.Seconds())
	d.of("restore-cpu").addOurs(o.cpu.Seconds())
	d.restoreStages.ours.note(o, logLines(o.stderr))
	return nil
}

// note adds when, after the start of the process, each line was said for the first time.
func (s *stages) note(o outcome, lines []logLine) {
	seen := map[string]bool{}
	for _, l := range lines {
		if l.at().IsZero() || seen[l.Message] {
			continue
		}
		seen[l.Message] = true
		s.add(l.Message, l.at().Sub(o.began).Seconds())
	}
	s.add("end", o.wall.Seconds())
}
