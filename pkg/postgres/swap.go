package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Swap puts the copy that BaseBackup made in the data directory's place and the
// old one aside, to Data.old. The server must be stopped. After an error or a
// crash call RecoverSwap; at no moment is less than one whole directory there.
func (in *Instance) Swap() error {
	if _, running := in.Postmaster(); running {
		return errors.New("swap data directory: the server is running; stop it first")
	}
	if !exists(in.Data + ".new") {
		return fmt.Errorf("swap data directory: there is no %s.new; make a base backup first", in.Data)
	}
	if exists(in.Data) {
		if exists(in.Data + ".old") {
			return fmt.Errorf("swap data directory: %s.old is still there; drop it first if the present server is sound", in.Data)
		}
		if err := renameDurably(in.Data, in.Data+".old"); err != nil {
			return fmt.Errorf("swap data directory: %w", err)
		}
	}
	if err := renameDurably(in.Data+".new", in.Data); err != nil {
		return fmt.Errorf("swap data directory: %w", err)
	}
	return nil
}

// RecoverSwap ends a Swap that was cut off between its two renames. Run it at
// every start of the supervisor, before anything looks at the data directory.
func (in *Instance) RecoverSwap() error {
	if exists(in.Data) || !exists(in.Data+".old") || !exists(in.Data+".new") {
		return nil
	}
	if err := renameDurably(in.Data+".new", in.Data); err != nil {
		return fmt.Errorf("recover swap of data directory: %w", err)
	}
	return nil
}

// DropOld deletes the data directory that Swap put aside, with its WAL if that
// lies elsewhere: once the new one has proven itself. Nothing there is fine.
func (in *Instance) DropOld() error {
	old := in.Data + ".old"
	if !exists(in.Data) || !exists(old) {
		return nil
	}
	// The WAL first: afterwards nothing would lead to it any more.
	link := filepath.Join(old, "pg_wal")
	if wal, err := filepath.EvalSymlinks(link); err == nil && wal != link && !in.uses(wal) {
		if err := os.RemoveAll(wal); err != nil {
			return fmt.Errorf("drop old WAL directory: %w", err)
		}
	}
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("drop old data directory: %w", err)
	}
	return nil
}

// uses guards against deleting the WAL that the present server writes to.
func (in *Instance) uses(wal string) bool {
	a, errA := os.Stat(wal)
	b, errB := os.Stat(filepath.Join(in.Data, "pg_wal"))
	return errA != nil || errB != nil || os.SameFile(a, b)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
