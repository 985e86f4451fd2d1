package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/cron"
	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

// reloadEvery is how often the configuration is looked at: its content, since a ConfigMap changes by a link that is
// swapped. Kubernetes itself takes a minute or two to bring a change.
const reloadEvery = 5 * time.Second

// config is the file as it was taken.
type config struct {
	path string // "": there is none
	text []byte
	cli  *cli // the settings with it
}

// watched is the file that --config names.
type watched struct {
	mu      sync.Mutex
	now     config
	refused error  // what is wrong with the file as it lies there; nil: it is the one taken
	seen    []byte // of what was refused
}

func (w *watched) taken() config {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// fault is what is wrong with the file as it lies there.
func (w *watched) fault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
}

var errNoPlainFile = errors.New("is no plain file")

// plain says whether path leads to a plain file: what is none, such as a pipe, gives its text once, or never.
func plain(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errNoPlainFile
	}
	if err != nil {
		return fmt.Errorf("configuration %q: %w", path, err)
	}
	return nil
}

// reload takes or refuses each new content of the file, whole, until ctx ends: every reloadEvery, and at SIGHUP.
func (d *daemon) reload(ctx context.Context) {
	path := d.config.taken().path
	if path == "" {
		return
	}
	if err := plain(path); err != nil {
		d.log.Warn("configuration not watched", "err", err.Error())
		return
	}
	var hangup <-chan os.Signal
	if d.hangup != nil {
		hangup = d.hangup()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		case <-time.After(reloadEvery):
		}
		d.lookAtConfig(ctx, path)
	}
}

// lookPatience is how long a file may take to be read before that is told: it is small.
const lookPatience = 10 * time.Second

var errHangs = errors.New("is not read for " + lookPatience.String())

// found is what a look at the file gave.
type found struct {
	text []byte
	err  error
}

// look reads the file. A mount may hang: then it is told, and the reader waited for by the next look, or by nobody once
// ctx has ended.
func (d *daemon) look(ctx context.Context, path string) ([]byte, error) {
	if d.reading == nil {
		d.reading = make(chan found, 1)
		go func(done chan<- found) {
			f := found{err: plain(path)}
			if f.err == nil {
				f.text, f.err = d.readFile(path)
			}
			done <- f
		}(d.reading)
	}
	select {
	case f := <-d.reading:
		d.reading = nil
		return f.text, f.err
	case <-time.After(lookPatience):
		return nil, fmt.Errorf("configuration %q %w", path, errHangs)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (d *daemon) lookAtConfig(ctx context.Context, path string) {
	w := d.config
	before := w.taken()
	text, err := d.look(ctx, path)
	if ctx.Err() != nil {
		return
	}
	if err == nil && bytes.Equal(text, before.text) {
		if w.refuse(nil, nil) {
			d.log.Info("configuration is again the one in force")
		}
		return
	}
	var lines []cron.Line
	var next *cli
	if err == nil {
		next, lines, err = d.tryConfig(before.path, text)
	}
	if err != nil {
		if w.refuse(text, err) {
			d.log.Error("configuration refused", "err", settings.Mask(jobs.OneLine(err)), "reason", "the one before stays in force")
		}
		return
	}
	w.take(config{path: before.path, text: text, cli: next})
	d.log.Info("configuration taken", "settings", next.set)
	fast := slices.DeleteFunc(d.set.Differ(next.set), func(path string) bool { return !slices.Contains(heldFast, path) })
	if _, settled := d.lead.(settled); settled && d.set.Lock.Lock.Get() == lock.KindEtcd && slices.ContainsFunc(lines, needsEtcd) {
		fast = append(fast, "cron.schedules") // a line needs etcd, and nobody was elected there
	}
	if len(fast) > 0 {
		d.log.Warn("configuration needs a restart for some settings", "settings", strings.Join(fast, ","))
	}
	d.schedule.Arm(ctx, lines)
}

// heldFast are the settings that the process itself has acted on: its runs go by the new ones. How etcd is reached is not
// among them: when the lead is lost, the next try goes by the new ones too.
var heldFast = []string{"cluster", "lock", "lockNamespace", "lockName", "dryRun", "logLevel", "logFormat", "cron.listen", "cron.group"}

// tryConfig reads the whole of the settings anew, with text in the file's place, and checks them.
func (d *daemon) tryConfig(path string, text []byte) (*cli, []cron.Line, error) {
	p := d.process
	p.stdout, p.stderr = io.Discard, io.Discard
	p.readFile = func(name string) ([]byte, error) {
		if name == path {
			return text, nil
		}
		return d.readFile(name)
	}
	next := &cli{process: p, set: settings.New()}
	cmd, rest, err := next.root().Find(slices.Clone(d.args))
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := next.load(next.cronChecks()...); err != nil {
		return nil, nil, err
	}
	lines, err := next.lines()
	return next, lines, err
}

// take puts a file in force.
func (w *watched) take(c config) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now, w.refused, w.seen = c, nil, nil
}

// refuse notes what is wrong with the file, or with err nil that nothing is; it returns whether that is news.
func (w *watched) refuse(text []byte, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	news := (w.refused == nil) != (err == nil) || err != nil && (err.Error() != w.refused.Error() || !bytes.Equal(w.seen, text))
	w.refused, w.seen = err, text
	return news
}
