package archive

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"
)

func TestAheadReadsTheSameHoweverItIsAsked(t *testing.T) {
	want := fakeSnapshot(10_000)
	for name, src := range map[string]func() io.Reader{
		"whole":           func() io.Reader { return bytes.NewReader(want) },
		"in single bytes": func() io.Reader { return iotest.OneByteReader(bytes.NewReader(want)) },
		"end with data":   func() io.Reader { return iotest.DataErrReader(bytes.NewReader(want)) },
	} {
		for _, size := range []int{1, 7, 4096, 10_000, 20_000} {
			read := readAhead(src(), 2, size)
			got, err := io.ReadAll(iotest.HalfReader(onlyReader{read}))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, blocks of %d: Read gave %d bytes and %v", name, size, len(got), err)
			}
			if n, err := read.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("%s, blocks of %d: Read behind the end gave %d bytes and %v, want io.EOF again", name, size, n, err)
			}
			var out bytes.Buffer
			written := readAhead(src(), 2, size)
			if n, err := written.WriteTo(&out); err != nil || n != int64(len(want)) || !bytes.Equal(out.Bytes(), want) {
				t.Errorf("%s, blocks of %d: WriteTo gave %d bytes and %v", name, size, n, err)
			}
			read.stop()
			written.stop()
			<-read.ended
			<-written.ended
		}
	}
}

type onlyReader struct{ io.Reader }

// An error comes behind the bytes that were read before it.
func TestAheadKeepsTheOrderOfBytesAndErrors(t *testing.T) {
	want := fakeSnapshot(1000)
	a := readAhead(brokenReader{bytes.NewReader(want)}, 3, 64)
	defer a.stop()
	got, err := io.ReadAll(a)
	if !errors.Is(err, errBroken) || !bytes.Equal(got, want) {
		t.Errorf("Read gave %d bytes and %v, want %d and %v", len(got), err, len(want), errBroken)
	}
}

// Whoever gives up must not wait for a source that hangs.
func TestAheadStopsWhileItsSourceHangs(t *testing.T) {
	hangs, end := io.Pipe()
	a := readAhead(hangs, 2, 64)
	failed := make(chan error, 1)
	go func() { _, err := a.Read(make([]byte, 1)); failed <- err }()
	a.stop()
	select {
	case err := <-failed:
		if !errors.Is(err, errStopped) {
			t.Errorf("Read of a stopped ahead: %v, want %v", err, errStopped)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Read of a stopped ahead waits")
	}
	end.Close() // the source is closed: the goroutine ends
	select {
	case <-a.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the goroutine outlives its source")
	}
}

// A full disk is neither the archive's fault nor the line's.
func TestUnsealTellsAFullDisk(t *testing.T) {
	rec, ids := newKey(t)
	arch, want := sealed(t, fakeSnapshot(5<<20), rec)
	full := errors.New("no space")
	err := Unseal(failAfter{full}, bytes.NewReader(arch), want, ids)
	if !errors.Is(err, full) || errors.Is(err, ErrCorrupt) {
		t.Errorf("Unseal onto a full disk: %v, want %v and not ErrCorrupt", err, full)
	}
}

type failAfter struct{ err error }

func (f failAfter) Write(p []byte) (int, error) { return len(p) / 2, f.err }
