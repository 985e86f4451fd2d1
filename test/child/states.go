package child

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Gone waits until a process is no more, or waits only for someone to take note of its end. It
// says whether that came in 10 seconds.
func Gone(ctx context.Context, pid int) bool {
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	return Poll(ctx, 10*time.Millisecond, func() error {
		if states, err := ThreadStates(pid); err == nil && strings.Trim(states, "ZX") != "" {
			return fmt.Errorf("threads of process %d are in states %q", pid, states)
		}
		return nil
	}) == nil
}

// ThreadStates has one letter per thread of a process, as in ps.
func ThreadStates(pid int) (string, error) {
	tasks, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat"))
	if err != nil || len(tasks) == 0 {
		return "", fmt.Errorf("no threads of process %d: %w", pid, os.ErrProcessDone)
	}
	var states strings.Builder
	for _, task := range tasks {
		stat, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended meanwhile
		}
		_, rest, ok := strings.Cut(string(stat), ") ")
		if !ok || rest == "" {
			return "", fmt.Errorf("read %s: no state in %q", task, stat)
		}
		states.WriteByte(rest[0])
	}
	return states.String(), nil
}
