package main

import (
	"context"
	"errors"
	"os"
	"time"
)

// theirs is the folder that the other tools work in.
const theirs = "theirs"

// A step is one command of a line that people type.
type step struct {
	name string
	path string
	args []string
}

// measureTheirSnapshot runs, step by step,
//
//	etcdctl snapshot save f && zstd -3 f -o g && age -R R -o h g && cp h store/ && sync -f store/
//
// and adds it to d.
func (b *bench) measureTheirSnapshot(ctx context.Context, s *server, d *dataset) error {
	if err := b.fresh(theirs, theirs+"/store"); err != nil {
		return err
	}
	f, g, h, store := b.path(theirs, "f"), b.path(theirs, "g"), b.path(theirs, "h"), b.path(theirs, "store")
	var saved outcome
	whole, member, err := aside(s, func() (outcome, error) {
		return b.steps(ctx, &d.snapshotStages.theirs, &saved,
			step{"etcdctl snapshot save", b.tool("etcdctl"), []string{"--endpoints", s.endpoint, "snapshot", "save", f}},
			step{"zstd -3", "zstd", []string{"-q", "-3", f, "-o", g}},
			step{"age", b.tool("age"), []string{"-R", b.path("recipients.txt"), "-o", h, g}},
			step{"cp", "cp", []string{h, store + "/"}},
			step{"sync -f", "sync", []string{"-f", store + "/"}},
		)
	})
	if err != nil {
		return err
	}
	lines := logLines(saved.stderr)
	opened, errOpened := find(lines, "opened snapshot stream; downloading")
	completed, errCompleted := find(lines, "completed snapshot read; closing")
	info, errStat := os.Stat(b.path(theirs, "store", "h"))
	if err := errors.Join(errOpened, errCompleted, errStat); err != nil {
		return err
	}
	d.of("stream").addTheirs(saved.wall.Seconds())
	d.of("stream-alone").addTheirs(completed.at().Sub(opened.at()).Seconds())
	d.of("stream-from-start").addTheirs(completed.at().Sub(saved.began).Seconds())
	d.of("snapshot").addTheirs(whole.wall.Seconds())
	d.of("cpu").addTheirs(whole.cpu.Seconds())
	d.of("member-cpu").addTheirs(member.Seconds())
	d.of("bytes").addTheirs(float64(info.Size()))
	return nil
}

// measureTheirRestore runs `age -d | zstd -d > f && etcdutl snapshot restore f` and adds it to d.
func (b *bench) measureTheirRestore(ctx context.Context, d *dataset) error {
	if err := b.fresh(theirs + "/restore"); err != nil {
		return err
	}
	f := b.path(theirs, "restore", "f")
	open := `set -o pipefail; "$1" -d -i "$2" "$3" | zstd -q -d >"$4"`
	whole, err := b.steps(ctx, &d.restoreStages.theirs, nil,
		step{"age -d | zstd -d", "bash", []string{"-c", open, "bash", b.tool("age"), b.path("identity.txt"), b.path(theirs, "store", "h"), f}},
		step{"etcdutl snapshot restore", b.tool("etcdutl"), []string{"snapshot", "restore", f, "--data-dir", b.path(theirs, "restore", "data")}},
	)
	if err != nil {
		return err
	}
	d.of("restore").addTheirs(whole.wall.Seconds())
	d.of("restore-cpu").addTheirs(whole.cpu.Seconds())
	return nil
}

// steps runs commands one after the other, notes what each took, and adds them up. The first
// one's outcome is kept where somebody wants it.
func (b *bench) steps(ctx context.Context, to *stages, first *outcome, all ...step) (outcome, error) {
	whole := outcome{began: time.Now()}
	for i, s := range all {
		o, err := b.run(ctx, s.path, s.args...)
		if err != nil {
			return whole, err
		}
		if i == 0 && first != nil {
			*first = o
		}
		to.add(s.name, o.wall.Seconds())
		whole.cpu += o.cpu
	}
	whole.wall = time.Since(whole.began)
	return whole, nil
}

// aside runs do and says how much CPU the member used meanwhile.
func aside(s *server, do func() (outcome, error)) (outcome, time.Duration, error) {
	before, err := s.cpu()
	if err != nil {
		return outcome{}, 0, err
	}
	o, err := do()
	if err != nil {
		return o, 0, err
	}
	after, err := s.cpu()
	return o, after - before, err
}
