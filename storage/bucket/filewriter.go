package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"gocloud.dev/blob/driver"
)

// fileWriter writes one object: beside its place, synced, then given its name, and the folder
// synced. The object is seen from the moment that it has its name; before, it is whole.
type fileWriter struct {
	bucket    *fileBucket
	folder    *os.File
	part      *part
	name      string // in folder
	exclusive bool
	ended     func() error
	err       error // of the first Write that failed; Close must not publish then
}

func (b *fileBucket) NewTypedWriter(ctx context.Context, key, _ string, opts *driver.WriterOptions) (driver.Writer, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if len(opts.Metadata) > 0 {
		return nil, fmt.Errorf("metadata: %w", errUnimplemented)
	}
	if err := call(opts.BeforeWrite); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &fileWriter{bucket: b, name: path.Base(key), exclusive: opts.IfNotExist, ended: ctx.Err}
	if err := w.begin(path.Dir(key)); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *fileWriter) begin(dir string) (err error) {
	if err := w.bucket.makeFolder(dir); err != nil {
		return err
	}
	if w.folder, err = w.bucket.openFolder(dir); err != nil {
		return err
	}
	if w.part, err = w.bucket.newPart(w.folder, w.exclusive); err != nil {
		w.folder.Close() //nolint:errcheck // nothing was written over it
	}
	return err
}

func (w *fileWriter) Write(p []byte) (int, error) {
	if w.err == nil {
		w.err = w.ended()
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.bucket.sys.write(w.part.file, p)
	w.err = err
	return n, err
}

// Upload spares each object the 1 MiB buffer that gocloud takes for a writer without it.
func (w *fileWriter) Upload(r io.Reader) error {
	_, err := io.Copy(w, r)
	return err
}

// Close publishes the object, unless a write failed or the context is done.
func (w *fileWriter) Close() error {
	defer w.folder.Close() //nolint:errcheck // its sync is what counts
	defer w.part.drop()
	if w.err != nil {
		return w.err
	}
	if err := w.bucket.sys.sync(w.part.file); err != nil {
		return err
	}
	if err := w.ended(); err != nil {
		return err
	}
	return w.publish()
}

// publish gives the object its name. Where that cannot be synced, a name that was free before
// is taken back: whoever asked for the object has to be told that it is not there.
func (w *fileWriter) publish() error {
	if !w.exclusive {
		if err := w.part.replace(w.name); err != nil {
			return err
		}
		return w.bucket.sys.sync(w.folder)
	}
	if err := w.part.create(w.name); err != nil {
		return err
	}
	if err := w.bucket.sys.sync(w.folder); err != nil {
		return errors.Join(err, w.bucket.sys.unlink(w.folder, w.name))
	}
	return nil
}
