package jobs

import "io"

// Progress is told how far a stage came, in bytes; total is 0 where it is not known. nil is
// told nothing.
type Progress func(stage string, done, total int64)

// Tell tells p, unless it is nil.
func (p Progress) Tell(stage string, done, total int64) {
	if p != nil {
		p(stage, done, total)
	}
}

// Count returns a writer that tells p of all that is written to it.
func (p Progress) Count(stage string, total int64) io.Writer {
	return &count{stage: stage, total: total, tell: p}
}

type count struct {
	stage       string
	done, total int64
	tell        Progress
}

func (c *count) Write(p []byte) (int, error) {
	c.done += int64(len(p))
	c.tell.Tell(c.stage, c.done, c.total)
	return len(p), nil
}
