package bucket

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// partMaxAge is when a part that nobody wrote to is taken for one whose process was killed. No
// upload pauses for so long: each job has a deadline of hours.
const partMaxAge = 24 * time.Hour

// part is an object that is still being written: a file in the folder of its key that no listing
// shows. Where the file system can, it has no name at all, and the kernel removes it with the
// process; else its name begins with partPrefix.
type part struct {
	sys    system
	folder *os.File
	file   *os.File
	name   string // empty while there is none
}

// newPart begins a part. A part that is to replace an object has to have a name: only rename
// replaces.
func (b *fileBucket) newPart(folder *os.File, exclusive bool) (*part, error) {
	p := &part{sys: b.sys, folder: folder}
	if exclusive && (b.links.Load() || canLink(b.sys, folder)) {
		b.links.Store(true)
		var err error
		if p.file, err = b.sys.nameless(folder); err == nil {
			return p, nil
		}
	}
	if err := p.nameIt(); err != nil {
		return nil, err
	}
	if _, swept := b.swept.LoadOrStore(folder.Name(), true); !swept {
		p.sweep()
	}
	return p, nil
}

// canLink tells whether a file without a name can be given one in folder. It is tried out before
// the first byte, since afterwards there is no way back: O_TMPFILE may be missing, /proc may not
// be mounted, or a security module may refuse the link alone. Once is enough: ext4 walks past
// each inode that was freed within seconds, so a trial for every object would slow them all.
func canLink(sys system, folder *os.File) bool {
	f, err := sys.nameless(folder)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // nothing was written over it
	name := partName()
	if sys.linkNameless(f, folder, name) != nil {
		return false
	}
	return sys.unlink(folder, name) == nil
}

// nameIt begins a part that has a name.
func (p *part) nameIt() (err error) {
	name := partName()
	if p.file, err = p.sys.named(p.folder, name); err != nil {
		return err
	}
	p.name = name
	return nil
}

func partName() string {
	b := make([]byte, 8)
	rand.Read(b) // never fails: it ends the process instead
	return fmt.Sprintf("%s%x", partPrefix, b)
}

// sweep removes the parts that killed processes left in the folder, where no listing would ever
// name them. Their age is told by the file system's clock: the part made just now has it. That
// one of them stays is no reason not to write.
func (p *part) sweep() {
	fi, err := p.file.Stat()
	if err != nil {
		return
	}
	names, _ := p.folder.Readdirnames(-1)
	for _, name := range names {
		if !strings.HasPrefix(name, partPrefix) {
			continue
		}
		var st unix.Stat_t
		if unix.Fstatat(int(p.folder.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		if fi.ModTime().Sub(time.Unix(st.Mtim.Unix())) > partMaxAge {
			_ = p.sys.unlink(p.folder, name)
		}
	}
}

// create gives the part its name, if nothing has it: ErrExists otherwise.
func (p *part) create(name string) error {
	if p.name == "" {
		return exists(name, p.sys.linkNameless(p.file, p.folder, name))
	}
	err := p.sys.link(p.folder, p.name, name)
	switch {
	case noLinks(err):
		err = p.sys.renameExclusive(p.folder, p.name, name)
	case errors.Is(err, unix.EEXIST) && p.linked():
		err = nil
	}
	if err != nil {
		return exists(name, err)
	}
	p.forget()
	return nil
}

// noLinks tells whether a file system answered that it knows no second name for a file.
func noLinks(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) ||
		errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EMLINK)
}

// linked tells whether the part has two names: then a link that answered "exists" was ours. NFS
// does that when an answer is lost and the request repeated.
func (p *part) linked() bool {
	var st unix.Stat_t
	return unix.Fstat(int(p.file.Fd()), &st) == nil && st.Nlink == 2
}

func exists(name string, err error) error {
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%q: %w", name, ErrExists)
	}
	return err
}

// replace gives the part its name, whatever has it now.
func (p *part) replace(name string) error {
	if err := p.sys.rename(p.folder, p.name, name); err != nil {
		return err
	}
	p.name = ""
	return nil
}

// forget removes the first name of a part that has its second, so that one sync of the folder
// covers both and a later removal of the object frees its space.
func (p *part) forget() {
	_ = p.sys.unlink(p.folder, p.name)
	p.name = ""
}

// drop lets go of the part, and of its bytes where they were not published. What Close says no
// longer matters: the bytes are synced, or not wanted.
func (p *part) drop() {
	p.file.Close() //nolint:errcheck // said above
	if p.name != "" {
		p.forget()
	}
}
