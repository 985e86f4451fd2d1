package snapshot

import (
	"os"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
)

// TestMain is also the child process that looks at database files.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == dbfile.Command {
		// With the race detector os.Exit sleeps for a second.
		syscall.Exit(dbfile.Serve(os.Stdin, os.Stdout))
	}
	goleak.VerifyTestMain(m)
}
