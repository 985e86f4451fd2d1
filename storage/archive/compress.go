package archive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// readBytes is how much of a snapshot is read at a time.
const readBytes = 1 << 20

// compress writes src to dst as zstd frames, in order.
func compress(dst io.Writer, src io.ReaderAt, workers int) error {
	frames := newFrames(src, workers)
	defer frames.stop()
	for {
		f := frames.next()
		if f.err != nil {
			return fmt.Errorf("seal snapshot: %w", f.err)
		}
		if _, err := f.packed.WriteTo(dst); err != nil {
			return fmt.Errorf("seal snapshot: %w", err)
		}
		if f.last {
			return nil
		}
		frames.free(f)
	}
}

// frame is one segment of the snapshot, compressed, and the tools to make the next of it.
type frame struct {
	in      *bufio.Reader
	encoder *zstd.Encoder
	packed  bytes.Buffer
	last    bool // the segment ended at the snapshot's end
	err     error
}

// frames makes frames ahead of who asks for the next one: as many at a time as it has idle
// frames to make them in.
type frames struct {
	src    io.ReaderAt
	idle   chan *frame
	order  chan chan *frame // a promise for each segment, in order
	ended  chan struct{}
	driver chan struct{} // closed when drive has returned
}

func newFrames(src io.ReaderAt, workers int) *frames {
	f := &frames{src: src, idle: make(chan *frame, workers), order: make(chan chan *frame, workers),
		ended: make(chan struct{}), driver: make(chan struct{})}
	for range workers {
		f.idle <- &frame{in: bufio.NewReaderSize(nil, readBytes)}
	}
	go f.drive()
	return f
}

// drive begins a segment whenever a frame is idle. It goes past the snapshot's end, where
// segments are empty, until it is stopped.
func (f *frames) drive() {
	defer close(f.driver)
	for at := int64(0); ; at += segmentBytes {
		select {
		case <-f.ended:
			return
		case fr := <-f.idle:
			promise := make(chan *frame, 1)
			f.order <- promise // holds as many as there are frames
			go func() {
				fr.make(io.NewSectionReader(f.src, at, segmentBytes), at == 0)
				promise <- fr
			}()
		}
	}
}

func (f *frames) next() *frame { return <-<-f.order }

func (f *frames) free(fr *frame) { f.idle <- fr }

// stop waits for the segments under way: src is not read any more once it returns.
func (f *frames) stop() {
	close(f.ended)
	<-f.driver
	close(f.order)
	for promise := range f.order {
		<-promise
	}
}

// make compresses one segment. An empty one makes no frame, unless it is the first.
func (fr *frame) make(segment io.Reader, first bool) {
	fr.packed.Reset()
	fr.in.Reset(segment)
	_, err := fr.in.Peek(1)
	fr.last, fr.err = errors.Is(err, io.EOF), nil
	switch {
	case fr.last && !first:
	case err == nil || fr.last:
		fr.last, fr.err = fr.compress()
	default:
		fr.err = err
	}
}

// compress says whether the segment was shorter than a whole one.
func (fr *frame) compress() (short bool, err error) {
	if fr.encoder == nil {
		fr.encoder, err = zstd.NewWriter(&fr.packed, zstd.WithWindowSize(windowBytes), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return false, fmt.Errorf("start zstd: %w", err)
		}
	} else {
		fr.encoder.Reset(&fr.packed)
	}
	n, err := fr.in.WriteTo(onlyWriter{fr.encoder})
	if err != nil {
		return false, err
	}
	if err := fr.encoder.Close(); err != nil {
		return false, fmt.Errorf("end zstd: %w", err)
	}
	return n < segmentBytes, nil
}

// onlyWriter hides ReadFrom, which would bring buffers of its own.
type onlyWriter struct{ io.Writer }
