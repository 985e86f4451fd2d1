package dbfile

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is also the child process: Child's zero value starts this very binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Command {
		os.Exit(Serve(os.Stdin, os.Stdout))
	}
	goleak.VerifyTestMain(m)
}
