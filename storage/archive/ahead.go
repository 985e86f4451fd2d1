package archive

import (
	"errors"
	"io"
)

var errStopped = errors.New("reading ahead was stopped")

// ahead reads a source in a goroutine of its own, a few blocks before they are asked for. Stop
// it. It is for one goroutine.
type ahead struct {
	idle    chan []byte
	blocks  chan block // holds as many as there are
	stopped chan struct{}
	ended   chan struct{} // closed when src is not read any more

	block // the one that is being read
	used  int
}

// block is what one read gave, and the error behind its last byte.
type block struct {
	p   []byte
	err error
}

// readAhead begins to read src, count blocks of size bytes at a time.
func readAhead(src io.Reader, count, size int) *ahead {
	a := &ahead{idle: make(chan []byte, count), blocks: make(chan block, count),
		stopped: make(chan struct{}), ended: make(chan struct{})}
	for range count {
		a.idle <- make([]byte, size)
	}
	go a.drive(src)
	return a
}

func (a *ahead) drive(src io.Reader) {
	defer close(a.ended)
	for {
		select {
		case <-a.stopped:
			return
		case p := <-a.idle:
			b := fill(src, p)
			a.blocks <- b
			if b.err != nil {
				return
			}
		}
	}
}

// fill reads until p is full or src fails.
func fill(src io.Reader, p []byte) (b block) {
	n := 0
	for n < len(p) && b.err == nil {
		var more int
		more, b.err = src.Read(p[n:])
		n += more
	}
	b.p = p[:n]
	return b
}

// Read implements io.Reader. After an error it goes on returning that error.
func (a *ahead) Read(p []byte) (int, error) {
	if err := a.next(); err != nil {
		return 0, err
	}
	n := copy(p, a.p[a.used:])
	a.used += n
	return n, nil
}

// WriteTo implements io.WriterTo.
func (a *ahead) WriteTo(w io.Writer) (total int64, err error) {
	for {
		switch err := a.next(); {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		}
		n, err := w.Write(a.p[a.used:])
		a.used += n
		total += int64(n)
		if err != nil {
			return total, err //nolint:wrapcheck // w's own, as io.Copy gives it
		}
	}
}

// next waits until some of the block is unread, or returns the error behind its last byte.
func (a *ahead) next() error {
	for a.used == len(a.p) {
		if a.err != nil {
			return a.err
		}
		if a.p != nil {
			a.idle <- a.p[:cap(a.p)]
		}
		select {
		case a.block = <-a.blocks:
			a.used = 0
		case <-a.stopped:
			a.block, a.used = block{err: errStopped}, 0
		}
	}
	return nil
}

// stop ends the reading at the next block, and a Read that waits for one. It does not wait for a
// read of src that is under way.
func (a *ahead) stop() { close(a.stopped) }
