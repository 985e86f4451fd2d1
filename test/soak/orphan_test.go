package soak

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
)

// freezeChildren stops the children of a process, and returns them. They last for a tenth of a
// second: one that stands still is there for ever, unless it dies with its parent.
func freezeChildren(pid int) []int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var frozen []int
	for _, task := range tasks {
		raw, _ := os.ReadFile(task)
		for field := range strings.FieldsSeq(string(raw)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				continue
			}
			// One that was forked and has not become the child program yet has its parent's
			// command line: stopped there, it would hold the parent's pipes for ever.
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
			if bytes.Contains(line, []byte("\x00"+dbfile.Command+"\x00")) && syscall.Kill(child, syscall.SIGSTOP) == nil {
				frozen = append(frozen, child)
			}
		}
	}
	return frozen
}

// orphans waits for the children that a killed run had, which are this process's since then
// (TestMain made it their reaper), and returns how many the kernel killed with their parent. It
// fails for one that ended in any other way: left without a parent, a process that stands still
// goes on, or gets SIGHUP.
func (r *rig) orphans(d death) (killed int) {
	r.t.Helper()
	if !d.killed {
		return 0
	}
	for _, pid := range d.frozen {
		status, err := reap(pid)
		switch {
		case err != nil:
			r.t.Errorf("child %d of a killed run: %v", pid, err)
		case status.Signaled() && status.Signal() == syscall.SIGKILL:
			killed++
		case !status.Exited(): // it may have ended just before it was to be stopped
			r.t.Errorf("child %d of a killed run ended by %v", pid, status.Signal())
		}
	}
	return killed
}

// reap waits for a child's end. One that takes too long is killed.
func reap(pid int) (syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	err := within(func() error {
		got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		if err == nil && got != pid {
			err = errors.New("is still there")
		}
		return err
	})
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return status, err
}

// alone fails unless no process of the binary is left. What is left was started by this test,
// and is ended here.
func (r *rig) alone() {
	r.t.Helper()
	err := within(func() error {
		if left := processesOf(programs.etcdsafe); len(left) > 0 {
			return fmt.Errorf("are still there: %v", left)
		}
		return nil
	})
	if err == nil {
		return
	}
	for pid := range processesOf(programs.etcdsafe) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	r.t.Fatalf("processes of a killed run: %v", err)
}

// within asks for up to ten seconds, and returns the last answer.
func within(ask func() error) error {
	limit := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-limit:
			return err
		case <-tick.C:
		}
	}
}

// processesOf are the command lines of all processes that run a binary. A child is started as
// /proc/self/exe, which leads to the binary all the same. Those that are dead and not yet waited
// for have none.
func processesOf(binary string) map[int]string {
	out := map[int]string{}
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		dir := filepath.Dir(link)
		pid, err := strconv.Atoi(filepath.Base(dir))
		if to, linkErr := os.Readlink(link); err == nil && linkErr == nil && to == binary {
			line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
			out[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return out
}
