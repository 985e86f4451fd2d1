// Command fill writes the objects of package data to an etcd, so that there is something to
// back up, measure and show. It reads nothing, removes nothing, and is not for a cluster that
// somebody needs.
//
//	data.Kubernetes, every few objects an update ─▶ writers ─▶ etcd ─▶ compaction ─▶ report
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
