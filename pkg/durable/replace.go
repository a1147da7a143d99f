package durable

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Reasons why Replace has left a file as it is.
var (
	// ErrChanged: it does not hold what the caller has read. Read it again.
	ErrChanged = errors.New("somebody else has just changed it")
	// ErrBusy: somebody is writing it in place. Wait until that is done, and read again.
	ErrBusy = errors.New("somebody else is writing it just now")
)

// Displaced is where Replace leaves a file that somebody goes on writing.
const Displaced = ".mcctl-displaced"

// Replace is WriteFile for a file that others write as well, and not by a rename: who
// truncates a file and writes it anew has it open all the while, and what it writes
// must not end in a file that has no name any more. So a lease (fcntl(2)) tells whether
// anybody has the file open for writing, and holds up who comes while it is exchanged;
// whoever did come in between finds the old file back in its place. The content must
// still be old. Where the file system knows no leases, or the file is another user's,
// only the content is compared.
//
// With force a writer is not waited for any longer: the file that it writes goes on
// under the name path + Displaced, and left tells that. So it does with an error when a
// writer's file cannot be given its name back.
func Replace(path string, old, data []byte, force bool) (left string, err error) {
	if left, err = replace(path, old, data, force); err != nil {
		return left, fmt.Errorf("write %s: %w", path, err)
	}
	return left, nil
}

// TryReplace does of Replace what can fail for want of a right or of room, and leaves the
// file as it is: data is written beside it, with its owner and mode, and removed again.
func TryReplace(path string, data []byte) error {
	resolved, err := resolve(path)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	temp, err := openTemp(tempName(resolved))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer temp.Close()
	if err := errors.Join(fill(temp, resolved, data, 0o600), os.Remove(temp.Name())); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func replace(path string, old, data []byte, force bool) (left string, err error) {
	if path, err = resolve(path); err != nil {
		return "", err
	}
	temp, err := openTemp(tempName(path))
	if err != nil {
		return "", err
	}
	defer temp.Close()
	err = fill(temp, path, data, 0o600)
	if err == nil {
		left, err = exchange(temp, path, old, data, force)
	}
	if err != nil && left == "" {
		err = errors.Join(err, ignoreMissing(os.Remove(temp.Name())))
	}
	return left, err
}

// lateOpen is how long a writer that found the file before the exchange may take until
// it has opened it: in between nothing shows that it comes.
const lateOpen = 5 * time.Millisecond

// exchange gives the temporary file the name path. After an error path is as it was, unless
// left tells where somebody else's file is.
func exchange(temp *os.File, path string, old, data []byte, force bool) (left string, err error) {
	g, err := guardFile(path)
	if err != nil {
		return "", err
	}
	defer g.Close()
	if g.busy && !force {
		return "", ErrBusy
	}
	if !g.holds(old) {
		return "", ErrChanged
	}
	dir := filepath.Dir(path)
	err = unix.Renameat2(unix.AT_FDCWD, temp.Name(), unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // NFS, and other file systems
		if g.awaited() {
			return "", ErrBusy
		}
		if err := os.Rename(temp.Name(), path); err != nil {
			return "", err
		}
		return "", syncDir(dir)
	}
	if err != nil {
		return "", err
	}
	exchanged := time.Now()
	_ = temp.Close() // from now on nobody but others has it open for writing
	err = syncDir(dir)
	time.Sleep(lateOpen - time.Since(exchanged))
	left, settled := g.settle(temp.Name(), path, old, data)
	return left, errors.Join(err, settled)
}

// settle is what follows an exchange: the guarded file, which holds old, has the name temp
// now, and data that of path.
func (g *guard) settle(temp, path string, old, data []byte) (left string, err error) {
	switch {
	case g.awaited(): // somebody waits in open for the very file that has just been put aside
		return g.giveBack(temp, path, old, data)
	case g.busy:
		return keepDisplaced(temp, path)
	}
	return "", os.Remove(temp)
}

// giveBack gives the guarded file its name again. A waiter whose open was interrupted by a
// signal, and who came again, has found what has the name now: what it saved there stays.
func (g *guard) giveBack(temp, path string, old, data []byte) (left string, err error) {
	ours, err := guardFile(path)
	if err == nil {
		defer ours.Close()
		if !ours.busy && ours.holds(data) {
			err = unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
			if err == nil {
				return ours.putAside(temp, path)
			}
		}
	}
	_ = g.Close() // who still waits goes on
	time.Sleep(lateOpen)
	if again, err := guardFile(temp); err == nil {
		defer again.Close()
		if !again.busy && again.holds(old) {
			return "", errors.Join(ErrChanged, os.Remove(temp))
		}
	}
	left, kept := keepDisplaced(temp, path)
	return left, errors.Join(fmt.Errorf("it was replaced while somebody else was saving it, and cannot be put back (%w): what they save is in %s, compare the two", cmp.Or(err, ErrChanged), left), kept)
}

// putAside removes what has lost its name to a writer's file, unless somebody found it
// while it had it, and comes to write.
func (g *guard) putAside(temp, path string) (left string, err error) {
	synced := syncDir(filepath.Dir(path))
	if g.awaited() {
		left, err = keepDisplaced(temp, path)
		return left, errors.Join(fmt.Errorf("two others save it just now: what one of them saves is in %s, compare the two", left), err, synced)
	}
	return "", errors.Join(ErrBusy, synced)
}

// keepDisplaced gives a file that somebody writes a name that lasts: left is what it has.
func keepDisplaced(temp, path string) (left string, err error) {
	if err := os.Rename(temp, path+Displaced); err != nil {
		return temp, err
	}
	return path + Displaced, syncDir(filepath.Dir(path))
}

// guard is a file that nobody begins to write while it is open.
type guard struct {
	*os.File
	leased bool
	busy   bool // somebody has it open for writing
}

func guardFile(path string) (*guard, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	g := &guard{File: f}
	// A writer like this one that comes to open the file under its temporary name waits
	// for this lock, and then finds that the name is gone.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		_ = f.Close()
		return nil, ErrBusy
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	g.leased, g.busy = err == nil, errors.Is(err, unix.EAGAIN)
	return g, nil
}

// holds tells that the content is that.
func (g *guard) holds(content []byte) bool {
	now := make([]byte, len(content)+1)
	n, err := g.ReadAt(now, 0)
	return errors.Is(err, io.EOF) && bytes.Equal(now[:n], content)
}

// awaited tells that somebody waits to write the file.
func (g *guard) awaited() bool {
	kind, err := unix.FcntlInt(g.Fd(), unix.F_GETLEASE, 0)
	return g.leased && err == nil && kind != unix.F_RDLCK
}

// Busy tells whether somebody has the file at path open for writing, as far as that can
// be told: of another user's file it cannot.
func Busy(path string) bool {
	g, err := guardFile(path)
	if err != nil {
		return errors.Is(err, ErrBusy)
	}
	defer g.Close()
	return g.busy
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
