// Command etcdsafe takes, proves, encrypts and stores snapshots of etcd, looks at them again,
// and restores them.
//
//	main ─▶ run ─▶ one file per command ─▶ jobs/*
//	         └ settings ─ log ─ report ─ exit code
//
// main adds what only a process has: signals, the environment, the exit. It never decides
// anything about archives.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // an image from scratch has no zones

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/stores"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == dbfile.Command {
		os.Exit(dbfile.Serve(os.Stdin, os.Stdout))
	}
	if err := stores.Clean(os.Environ(), os.Setenv); err != nil {
		fmt.Fprintf(os.Stderr, "etcdsafe: %s\n", err)
		os.Exit(exitFailed)
	}
	child := limitMemory(os.Environ(), os.ReadFile)
	signal.Ignore(syscall.SIGPIPE) // a reader of the log who goes away must not end a job in the middle
	ctx, stop := untilSignal(context.Background())
	code := run(ctx, process{
		args: os.Args[1:], env: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		now: time.Now, random: rand.Reader, readFile: os.ReadFile, child: child,
		lease: orUsual(testLease), watch: orUsual(testWatch), hangup: hangups,
	})
	stop()
	os.Exit(code)
}

// The causes with which a run is stopped from outside.
var (
	errTerminated  = errors.New("stopped by SIGTERM")
	errInterrupted = errors.New("stopped by SIGINT")
)

// hangups are the SIGHUPs from now on.
func hangups() <-chan os.Signal {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	return signals
}

// untilSignal returns a context that ends, with the cause, at the first SIGTERM or SIGINT. A
// second one ends the process as if nobody listened.
func untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		select {
		case <-ctx.Done():
		case s := <-signals:
			signal.Stop(signals)
			cancel(map[os.Signal]error{syscall.SIGTERM: errTerminated, os.Interrupt: errInterrupted}[s])
		}
	}()
	return ctx, func() { cancel(nil) }
}
