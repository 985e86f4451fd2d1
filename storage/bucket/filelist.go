package bucket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"gocloud.dev/blob/driver"
	"golang.org/x/sys/unix"
)

// ListPaged reads the folders that can hold keys with the prefix, in the order of keys, and
// stops where the page is full. A page's token is its last key.
func (b *fileBucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	if err := call(opts.BeforeList); err != nil {
		return nil, err
	}
	if err := b.alive(); err != nil {
		return nil, err
	}
	p := &filePage{opts: opts, after: string(opts.PageToken), size: cmp.Or(opts.PageSize, pageSize)}
	dir := opts.Prefix[:strings.LastIndex(opts.Prefix, "/")+1]
	if err := checkPrefix(opts.Prefix); err != nil {
		return nil, err
	}
	if _, err := b.walk(ctx, dir, p); err != nil {
		return nil, err
	}
	return &p.page, nil
}

// alive tells an empty store from one whose folder was removed while it was open.
func (b *fileBucket) alive() error {
	fi, err := b.root.Stat(".")
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
		return errGone
	}
	return nil
}

// walk adds the objects below dir, which is empty or ends in a slash, until the page is full.
func (b *fileBucket) walk(ctx context.Context, dir string, p *filePage) (full bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	entries, err := b.readFolder(dir)
	if err != nil {
		return false, fmt.Errorf("list folder %q: %w", dir, err)
	}
	for _, e := range entries {
		if e.IsDir() && p.reaches(dir+e.Name()+"/") {
			full, err = b.walk(ctx, dir+e.Name()+"/", p)
		} else if e.Type().IsRegular() {
			full, err = p.add(dir+e.Name(), e)
		}
		if full || err != nil {
			return full, err
		}
	}
	return false, nil
}

// readFolder returns what may belong to the store, in the order of keys: a folder's keys go on
// with a slash, so "a-b" stands before what lies in "a". A folder that is not there, or no
// longer there, is empty.
func (b *fileBucket) readFolder(dir string) ([]fs.DirEntry, error) {
	f, err := b.openFolder(cmp.Or(strings.TrimSuffix(dir, "/"), "."))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // a reader's Close
	entries, err := f.ReadDir(-1)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !safeSegment(e.Name()) })
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(sortName(a), sortName(b)) })
	return entries, nil
}

func sortName(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

// filePage collects one page.
type filePage struct {
	opts  *driver.ListOptions
	after string
	size  int
	page  driver.ListPage
}

// reaches tells whether a key of the page can lie in folder, which ends in a slash.
func (p *filePage) reaches(folder string) bool {
	if !strings.HasPrefix(folder, p.opts.Prefix) {
		return false
	}
	return folder > p.after || strings.HasPrefix(p.after, folder)
}

// add appends an object, or the "folder" that a delimiter makes of it, and tells whether the
// page was full before.
func (p *filePage) add(key string, e fs.DirEntry) (full bool, err error) {
	if !strings.HasPrefix(key, p.opts.Prefix) {
		return false, nil
	}
	fi, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	obj := &driver.ListObject{Key: key, Size: fi.Size(), ModTime: fi.ModTime()}
	if folder, ok := p.collapse(key); ok {
		obj = &driver.ListObject{Key: folder, IsDir: true}
	}
	last := p.after
	if n := len(p.page.Objects); n > 0 {
		last = p.page.Objects[n-1].Key
	}
	if obj.Key <= last {
		return false, nil // on an earlier page, or a "folder" that is listed already
	}
	if len(p.page.Objects) == p.size {
		p.page.NextPageToken = []byte(last)
		return true, nil
	}
	p.page.Objects = append(p.page.Objects, obj)
	return false, nil
}

// collapse cuts key after the first delimiter beyond the prefix.
func (p *filePage) collapse(key string) (string, bool) {
	if p.opts.Delimiter == "" {
		return "", false
	}
	i := strings.Index(key[len(p.opts.Prefix):], p.opts.Delimiter)
	if i < 0 {
		return "", false
	}
	return key[:len(p.opts.Prefix)+i+len(p.opts.Delimiter)], true
}
