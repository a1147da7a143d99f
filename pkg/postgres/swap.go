package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mcctl/pkg/durable"
)

// Endings are those of the names beside a data directory, and beside each directory
// outside it: a copy that is being made, one that waits to be swapped in, what one
// replaced, and data that was emptied and is void.
func Endings() []string { return []string{".part", ".new", ".old", ".void"} }

// Swap puts the copy that BaseBackup made in the data directory's place and the
// old one aside, to Data.old; each directory outside it likewise. Where a Data.old is
// there already, one of the two is deleted: the data directory if it never became whole
// data (see unproven; half tells that a rewind or a copy in place was cut off in it),
// else what is older. The server must be stopped. After an error or a crash call
// RecoverSwap; at no moment is less than one whole set of directories there.
func (in *Instance) Swap(half bool) error {
	if err := in.BeginSwap(half, false); err != nil {
		return err
	}
	return in.RecoverSwap()
}

// BeginSwap passes the point of no return: there is no data directory any more, and
// RecoverSwap makes the copy that. An operator may want to keep what is put aside; see
// OldIsWanted.
func (in *Instance) BeginSwap(half, keep bool) error {
	if err := in.beginSwap(half, keep); err != nil {
		return fmt.Errorf("swap data directory: %w", err)
	}
	return nil
}

func (in *Instance) beginSwap(half, keep bool) error {
	if _, running := in.Postmaster(); running {
		return errors.New("the server is running; stop it first")
	}
	if !exists(in.Data + ".new") {
		return fmt.Errorf("there is no %s.new; make a base backup first", in.Data)
	}
	if exists(in.Data + ".void") {
		return fmt.Errorf("%s.void is in the way; move it away", in.Data)
	}
	if err := in.isWholeCopy(); err != nil {
		return err
	}
	discard, err := in.oldIsBetter(half)
	if err != nil {
		return fmt.Errorf("find out whether the old data is still needed: %w", err)
	}
	if discard {
		return in.voidData(keep)
	}
	if err := in.DropOld(); err != nil {
		return err
	}
	return in.setAside(keep)
}

// isWholeCopy looks whether the copy's places lie where it is moved from.
func (in *Instance) isWholeCopy() error {
	layout, err := layoutOf(in.Data + ".new")
	if err != nil {
		return err
	}
	for _, p := range layout.places() {
		if !isFilled(newer(p.dir)) {
			return fmt.Errorf("the copy is not whole: there is nothing in %s, which is to be %s; make a base backup again", newer(p.dir), p.link)
		}
	}
	return nil
}

// isFilled: neither pg_wal nor a tablespace is ever empty, it has at least a directory
// (create_tablespace_directories in tablespace.c, 13 to 18).
func isFilled(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !isResidue(e.Name()) })
}

// oldIsBetter tells that Data.old, which an earlier swap has put aside, is whole data,
// and what took its place has never become that.
func (in *Instance) oldIsBetter(half bool) (bool, error) {
	if in.KeptOld() == "" {
		return false, nil
	}
	unproven, err := in.unproven()
	if err != nil || !unproven && !half {
		return false, err
	}
	nothing, err := (&Instance{Data: in.Data + ".old"}).unproven()
	return !nothing, err
}

// unproven tells that the data directory does not hold whole data of itself, by
// PostgreSQL's own evidence: a copy, or what pg_rewind has written, has a backup_label
// until it is started, and then, until recovery has come to the end of the backup, its
// start in pg_control (xlog.c, StartupXLOG and ReachedEndOfBackup, called by
// CheckRecoveryConsistency; 13 to 18). Such a directory cannot become consistent without
// log that the primary may not have any more.
func (in *Instance) unproven() (bool, error) {
	if in.Empty() {
		return true, nil
	}
	c, err := in.Control()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errControlSum) { // PostgreSQL would not start with it
		return true, nil
	}
	if err != nil {
		return false, err
	}
	label, err := in.backupLabel()
	if err != nil {
		return false, err
	}
	// A primary that crashed in an exclusive backup, of 13 or 14, has a label too.
	exclusive := strings.Contains(label, "BACKUP METHOD: pg_start_backup")
	return !exclusive && (c.BackupStart != 0 || exists(filepath.Join(in.Data, "backup_label"))), nil
}

// backupLabel is the label of the backup that the data directory was made from, also
// when PostgreSQL has started from it and renamed it; empty when there is none.
func (in *Instance) backupLabel() (string, error) {
	label, err := os.ReadFile(filepath.Join(in.Data, "backup_label"))
	if errors.Is(err, fs.ErrNotExist) {
		label, err = os.ReadFile(filepath.Join(in.Data, "backup_label.old"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(label), err
}

// setAside is the swap's point of no return: from here on it is finished. The mark goes
// with the data, which is never aside without it.
func (in *Instance) setAside(keep bool) error {
	layout, err := layoutOf(in.Data + ".new")
	if err != nil {
		return err
	}
	for _, p := range append(layout.places(), place{dir: in.Data}) {
		if exists(p.dir + ".old") {
			return fmt.Errorf("%s.old is still there; drop it first if the present server is sound", p.dir)
		}
	}
	if !exists(in.Data) { // nothing to keep, but a crash must be told from a copy that waits
		if err := os.Mkdir(in.Data, 0o700); err != nil {
			return err
		}
	}
	err = mark(in.Data, keep)
	if err == nil {
		err = renameDurably(in.Data, in.Data+".old")
	}
	if err != nil {
		in.dropMark()
	}
	return err
}

// voidData is the point of no return of a swap that discards the data directory. What an
// operator wanted to keep once stays wanted.
func (in *Instance) voidData(keep bool) error {
	layout, err := layoutOf(in.Data + ".new")
	if err != nil {
		return err
	}
	for _, p := range layout.places() {
		to, err := linkTarget(filepath.Join(in.Data+".old", p.link))
		if err != nil {
			return err
		}
		if exists(p.dir+".old") && to != p.dir+".old" {
			return fmt.Errorf("%s.old is there and does not belong to %s.old; move it away", p.dir, in.Data)
		}
	}
	if keep {
		if err := mark(in.Data+".old", keep); err != nil {
			return err
		}
	}
	if !exists(in.Data) {
		return nil // somebody has removed it
	}
	return renameDurably(in.Data, in.Data+".void")
}

// endSwap may be cut off anywhere and called again.
func (in *Instance) endSwap() error {
	if err := in.discardVoid(); err != nil {
		return err
	}
	return in.finishSwap()
}

// discardVoid deletes what voidData has renamed, with what of it lies elsewhere. All of
// it has gone from the disk before the copy is moved to the same names.
func (in *Instance) discardVoid() error {
	void := in.Data + ".void"
	if !exists(void) {
		return nil
	}
	gone, err := layoutOf(void)
	if err != nil {
		return err
	}
	old, err := layoutOf(in.Data + ".old")
	if err != nil {
		return err
	}
	for _, p := range gone.places() {
		if slices.ContainsFunc(old.places(), func(o place) bool { return o.dir == p.dir }) {
			continue
		}
		if err := removeDurably(p.dir); err != nil {
			return err
		}
	}
	return removeDurably(void)
}

// removeDurably deletes a directory and returns when that is on the disk.
func removeDurably(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(dir)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (in *Instance) finishSwap() error {
	if err := in.markAside(); err != nil {
		return err
	}
	return in.moveIn(in.putAside)
}

// moveIn gives the copy its names; inTheWay clears what is there. It may be cut off
// anywhere and called again: the links of the copy lead to where it shall lie, and what
// is still to be moved has its ending.
func (in *Instance) moveIn(inTheWay func(place) error) error {
	layout, err := layoutOf(in.Data + ".new")
	if err != nil {
		return err
	}
	for _, p := range layout.places() {
		if !exists(newer(p.dir)) {
			if !isFilled(p.dir) {
				return fmt.Errorf("the copy of %s is neither in %s nor in %s: make a base backup again", p.link, newer(p.dir), p.dir)
			}
			continue // this one was moved before
		}
		if exists(p.dir) {
			if err := inTheWay(p); err != nil {
				return err
			}
		}
		if err := renameDurably(newer(p.dir), p.dir); err != nil {
			return err
		}
	}
	if err := in.forgetCopy(); err != nil {
		return err
	}
	return renameDurably(in.Data+".new", in.Data)
}

// putAside renames what the copy replaces, and has the old data directory's link
// follow, so that the old server stays whole and DropOld finds the way.
func (in *Instance) putAside(p place) error {
	link := filepath.Join(in.Data+".old", p.link)
	to, err := linkTarget(link)
	if err != nil {
		return err
	}
	if to == p.dir+".old" && exists(to) { // the old one is aside: this is of data that was emptied since
		return removeDurably(p.dir)
	}
	if to == p.dir || !exists(link) {
		if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
			return err
		}
		if err := durable.Symlink(p.dir+".old", link); err != nil {
			return err
		}
	}
	return renameDurably(p.dir, p.dir+".old")
}

// RecoverSwap ends what BeginSwap has begun, also when it was cut off. Run it at every start of the
// supervisor, before anything looks at the data directory.
func (in *Instance) RecoverSwap() error {
	if !in.Swapping() {
		in.dropMark()
		in.dropNote()
		return nil
	}
	if err := in.endSwap(); err != nil {
		return fmt.Errorf("end swap of data directory: %w", err)
	}
	return nil
}

// Swapping tells that a swap is past its point of no return and not ended.
func (in *Instance) Swapping() bool {
	return !exists(in.Data) && exists(in.Data+".old") && exists(in.Data+".new")
}

// DropOld deletes the data directory that Swap put aside, with what of it lies
// elsewhere: once the new one has proven itself. Nothing there is fine, and what no swap
// has put there stays.
func (in *Instance) DropOld() error {
	if !exists(in.Data) {
		return nil
	}
	if in.KeptOld() == "" {
		_ = unix.Rmdir(in.Data + ".old") // empty, it is the rest of a removal that was cut off
		return nil
	}
	then, err := layoutOf(in.Data + ".old")
	if err != nil {
		return fmt.Errorf("drop old data directory: %w", err)
	}
	// Whoever is cut off leaves what nobody takes for whole data.
	if err := durable.Remove(filepath.Join(in.Data+".old", "global", "pg_control")); err != nil {
		return fmt.Errorf("drop old data directory: %w", err)
	}
	// Directories elsewhere first: afterwards nothing would lead to them any more.
	for _, p := range then.places() {
		if !strings.HasSuffix(p.dir, ".old") {
			continue // it was never put aside
		}
		if err := os.RemoveAll(p.dir); err != nil {
			return fmt.Errorf("drop old directory: %w", err)
		}
	}
	if err := in.removeOld(); err != nil {
		return fmt.Errorf("drop old data directory: %w", err)
	}
	return nil
}

// HasCopy tells that BaseBackup has made a whole copy that waits for Swap.
func (in *Instance) HasCopy() bool { return exists(in.Data + ".new") }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
