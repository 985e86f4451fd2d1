package storetest

import (
	"fmt"
	"os"
	"runtime"
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
	p, err := launch("/bin/sleep", []string{"600"}, nil, os.Stderr)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.cmd.Process.Pid)
	<-p.done
}

// A doomed test notes how it failed; the code under test never sees that it is not real.
type doomed struct {
	testing.TB
	said string
}

func (d *doomed) Fatalf(format string, args ...any) {
	d.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure is what f tells the test that it fails, or nothing.
func failure(t testing.TB, f func(t testing.TB)) string {
	d := &doomed{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(d)
	}()
	<-done
	return d.said
}
