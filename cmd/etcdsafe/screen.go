package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// screen is stderr: on a terminal a line of progress stands below the log.
type screen struct {
	w    io.Writer
	live bool
	now  func() time.Time

	mu    sync.Mutex
	shown bool
	stage string
	began time.Time
	drawn time.Time
}

const redraw = 200 * time.Millisecond

func (c *cli) newScreen() *screen {
	f, ok := c.stderr.(*os.File)
	return &screen{w: c.stderr, now: c.now, live: ok && isTerminal(f) && c.set.LogFormat.Get() == "text"}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Write puts log lines above the progress line.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	n, err := s.w.Write(p)
	return n, err
}

// tell redraws the progress line, five times a second at most.
func (s *screen) tell(stage string, done, total int64) {
	if !s.live {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if stage != s.stage {
		s.stage, s.began, s.drawn = stage, now, time.Time{}
	}
	if now.Sub(s.drawn) < redraw {
		return
	}
	s.drawn = now
	s.erase()
	fmt.Fprint(s.w, progressLine(stage, done, total, now.Sub(s.began)))
	s.shown = true
}

func progressLine(stage string, done, total int64, took time.Duration) string {
	line := fmt.Sprintf("%s: %s of %s", stage, size(done), size(total))
	if took < time.Second || done == 0 {
		return line
	}
	rate := float64(done) / took.Seconds()
	left := time.Duration(float64(total-done) / rate * float64(time.Second))
	return line + fmt.Sprintf(", %s/s, %s left", size(int64(rate)), left.Round(time.Second))
}

func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

func (s *screen) erase() {
	if s.shown {
		fmt.Fprint(s.w, "\r\033[K")
		s.shown = false
	}
}
