// Package spool keeps a snapshot for as long as one process needs it, and not longer.
//
// A Spool is a file without a name: bytes of etcd never lie where a crash would leave them.
// One goroutine writes, others read behind the growing end, and a child process may be given the
// descriptor.
//
//	stream ─ Write ─▶ Spool ─ ReadAt ─▶ seal
//	                       └─ File ──▶ child process that maps it
//
// It never reports a clean end of a stream that was cut: a reader sees io.EOF only after
// End(nil).
package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Kind says where a spool keeps its bytes.
type Kind string

// Disk is an unlinked file of mode 0600, Memory a memfd, which counts against a container's
// memory limit.
const (
	Disk   Kind = "disk"
	Memory Kind = "memory"
)

// ErrFull marks a spool that has reached its own limit.
var ErrFull = errors.New("spool is full")

// ErrWrite marks a spool that could not be written to, by a fault of its own disk.
var ErrWrite = errors.New("write spool")

// Place says where spools are made and how large one may become.
type Place struct {
	Dir      string // the system's temporary folder where empty
	Kind     Kind   // Disk where empty
	MaxBytes int64  // no limit of our own where 0
}

// Spool is one file without a name. Write and End belong to one goroutine; ReadAt, Size and
// File may be called from any.
type Spool struct {
	f   *os.File
	max int64

	mu    sync.Mutex
	more  *sync.Cond
	n     int64
	ended bool
	err   error
}

// New makes an empty spool in p. Close it; its bytes are gone then, as they are when the
// process ends in any way.
func New(p Place) (*Spool, error) {
	f, err := p.open()
	if err != nil {
		return nil, err
	}
	s := &Spool{f: f, max: p.MaxBytes}
	s.more = sync.NewCond(&s.mu)
	return s, nil
}

// Write appends p. After an error the bytes that were written stay readable by File alone;
// call End with the error.
func (s *Spool) Write(p []byte) (int, error) {
	at := s.Size()
	if s.max > 0 && at+int64(len(p)) > s.max {
		return 0, fmt.Errorf("spool of %d bytes with %d more, limit %d: %w", at, len(p), s.max, ErrFull)
	}
	n, err := s.f.WriteAt(p, at)
	s.mu.Lock()
	s.n += int64(n)
	s.mu.Unlock()
	s.more.Broadcast()
	if err != nil {
		return n, fmt.Errorf("%w: %w", ErrWrite, bare(err))
	}
	return n, nil
}

// End tells those who wait that no more comes: io.EOF where err is nil, else err. Only the
// first call counts.
func (s *Spool) End(err error) {
	s.mu.Lock()
	if !s.ended {
		s.ended, s.err = true, err
	}
	s.mu.Unlock()
	s.more.Broadcast()
}

// Size is the number of bytes written so far.
func (s *Spool) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// File is the spool's file, for a child process or for ReadAt. It stays the spool's own.
func (s *Spool) File() *os.File { return s.f }

// Reader returns a reader of what was written so far.
func (s *Spool) Reader() io.Reader { return io.NewSectionReader(s.f, 0, s.Size()) }

// Close frees the bytes. A ReadAt that still waits sees an error.
func (s *Spool) Close() error {
	s.End(os.ErrClosed)
	return s.f.Close()
}

// ReadAt implements io.ReaderAt, waiting until len(p) bytes behind off were written, or End was
// called. Several goroutines may call it at once.
func (s *Spool) ReadAt(p []byte, off int64) (int, error) {
	have, end := s.wait(off, int64(len(p)))
	n, err := s.pread(p[:min(int64(len(p)), have)], off)
	if err == nil && n < len(p) {
		err = end
	}
	return n, err
}

// wait returns how many bytes lie behind off once there are want of them, or no more come. Then
// err says why: io.EOF, or what End was given, and with that no bytes at all.
func (s *Spool) wait(off, want int64) (have int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.n < off+want && !s.ended {
		s.more.Wait()
	}
	switch {
	case s.err != nil:
		return 0, s.err
	case s.ended && s.n < off+want:
		err = io.EOF
	}
	return max(0, s.n-off), err
}

func (s *Spool) pread(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := s.f.ReadAt(p, off)
	if err != nil && n < len(p) {
		return n, fmt.Errorf("read spool at byte %d: %w", off+int64(n), bare(err))
	}
	return n, nil
}

// bare drops the file name from err: a spool has none that would help.
func bare(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
