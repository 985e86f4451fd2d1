package child

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is another program when told so: one that starts a child and then waits to be
// killed. A test that leaves a goroutine behind fails the package.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "hold-a-child" {
		holdChild()
	}
	goleak.VerifyTestMain(m)
}

// holdChild prints its child's pid, or why there is none, and stays.
func holdChild() {
	p, err := Start("/bin/sleep", []string{"600"}, nil, os.Stderr)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.PID())
	<-p.done
}
