// Command bench measures etcdsafe against the tools that people use today: etcdctl, zstd, age,
// cp, sync and etcdutl. scripts/bench.sh prepares what it needs and calls it.
//
//	fill ─▶ etcd ─▶ rounds: ours, theirs, ours, theirs … ─▶ medians ─▶ RESULTS.md
//	            └─▶ etcdsafe with a sampler in it ─▶ peaks of live heap ─▶ RESULTS.md
//	archives ─▶ versitygw ─▶ rounds: etcdsafe, the AWS SDK … ─▶ medians ─▶ STORES.md
//	etcdsafe cron, etcdctl version, … ─▶ medians; an idle schedule ─▶ CRON.md
//
// It starts etcd and the gateway itself, on loopback, and ends it; it writes below its work folder alone, and
// the results. A figure that misses its limit is said in the table, not by the exit code.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func main() {
	// Children are killed when the thread that started them ends: this one lasts.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
