package dbfile

import (
	"os"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is also the child process: Child's zero value starts this very binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Command {
		// With the race detector os.Exit sleeps for a second.
		syscall.Exit(Serve(os.Stdin, os.Stdout))
	}
	goleak.VerifyTestMain(m)
}
