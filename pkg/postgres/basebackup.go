package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// BackupOptions says how a copy is made.
type BackupOptions struct {
	Slot     string                  // existing physical slot of the source that holds its WAL; empty: a temporary one
	MaxRate  string                  // as pg_basebackup --max-rate takes it ("50M"); empty: as fast as it goes
	Progress func(done, total int64) // bytes, about once a second; may be nil
}

// ErrTablespaces tells that the source has tablespaces of its own.
var ErrTablespaces = errors.New("the source has tablespaces, which are not supported yet; copy it by hand with pg_basebackup --tablespace-mapping")

// BaseBackup copies the source beside the data directory, to Data.new, which is
// whole and on the disk when it exists; see Swap. Our own configuration files are
// copied into it, so that it is configured as this server, not as the source. When
// pg_wal is a symbolic link, the copy gets a directory beside the link's target.
//
// The data directory itself is not touched, and on failure nothing but a partial
// copy is left, which the next call empties.
func (in *Instance) BaseBackup(ctx context.Context, source Source, opt BackupOptions) error {
	if err := in.backup(ctx, source, opt); err != nil {
		return fmt.Errorf("base backup: %w", err)
	}
	return nil
}

func (in *Instance) backup(ctx context.Context, source Source, opt BackupOptions) error {
	if err := in.checkBeside(); err != nil {
		return err
	}
	if err := source.refuseTablespaces(ctx); err != nil {
		return err
	}
	part, fresh := in.Data+".part", in.Data+".new"
	waldir, err := in.newWALDir()
	if err != nil {
		return err
	}
	for _, dir := range []string{fresh, part, waldir} {
		if dir == "" {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("empty %s: %w", dir, err)
		}
	}
	if err := in.run(ctx, source.Passfile, opt.progressLine(), "pg_basebackup", opt.arguments(source, part, waldir)...); err != nil {
		return err
	}
	if err := in.giveOwnFiles(part); err != nil {
		return err
	}
	return renameDurably(part, fresh)
}

func (o BackupOptions) arguments(source Source, dir, waldir string) []string {
	args := []string{
		"--pgdata=" + dir, "--dbname=" + source.Conninfo(), "--wal-method=stream",
		"--checkpoint=fast", "--progress", "--no-password",
	}
	if o.Slot != "" {
		args = append(args, "--slot="+o.Slot)
	}
	if o.MaxRate != "" {
		args = append(args, "--max-rate="+o.MaxRate)
	}
	if waldir != "" {
		args = append(args, "--waldir="+waldir)
	}
	return args
}

// progressPattern is a line of pg_basebackup --progress under LC_ALL=C:
// "1024/40960 kB (2%), 0/1 tablespace (…)", src/bin/pg_basebackup, 13 to 18.
const progressPattern = `(\d+)/(\d+) kB`

func (o BackupOptions) progressLine() func(string) {
	if o.Progress == nil {
		return nil
	}
	pattern := regexp.MustCompile(progressPattern)
	return func(line string) {
		m := pattern.FindStringSubmatch(line)
		if m == nil {
			return
		}
		done, errDone := strconv.ParseInt(m[1], 10, 64)
		total, errTotal := strconv.ParseInt(m[2], 10, 64)
		if errDone == nil && errTotal == nil {
			o.Progress(done<<10, total<<10)
		}
	}
}

func (s Source) refuseTablespaces(ctx context.Context) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer (&Session{conn: conn}).Close()
	var n int
	if err := conn.QueryRow(ctx, "select count(*)::int from pg_tablespace where spcname not in ('pg_default', 'pg_global')").Scan(&n); err != nil {
		return fmt.Errorf("look at the source's tablespaces: %w", err)
	}
	if n > 0 {
		return ErrTablespaces
	}
	return nil
}

// checkBeside finds out early that the copy could not take the data directory's
// place by a rename in the end.
func (in *Instance) checkBeside() error {
	parent, err := os.Stat(filepath.Dir(in.Data))
	if err != nil {
		return fmt.Errorf("look beside the data directory: %w", err)
	}
	data, err := os.Stat(in.Data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the data directory: %w", err)
	}
	if parent.Sys().(*syscall.Stat_t).Dev != data.Sys().(*syscall.Stat_t).Dev {
		return fmt.Errorf("%s is a file system of its own, so a copy cannot be swapped in; copy in place, or make the data directory a subdirectory of it", in.Data)
	}
	return nil
}

// newWALDir is where the copy's WAL goes: empty when pg_wal is a plain directory.
// The directory's name alternates, as the old one is needed until the swap.
func (in *Instance) newWALDir() (string, error) {
	link := filepath.Join(in.Data, "pg_wal")
	info, err := os.Lstat(link)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at pg_wal: %w", err)
	}
	target, err := filepath.EvalSymlinks(link)
	if err != nil {
		return "", fmt.Errorf("look at pg_wal: %w", err)
	}
	const other = ".new"
	if base, ok := strings.CutSuffix(target, other); ok {
		return base, nil
	}
	return target + other, nil
}

// giveOwnFiles replaces the source's files in the copy by ours.
func (in *Instance) giveOwnFiles(dir string) error {
	names, err := in.ownFiles()
	if err != nil {
		return fmt.Errorf("copy own files: %w", err)
	}
	for _, name := range names {
		to := filepath.Join(dir, name)
		if err := os.RemoveAll(to); err != nil { // it may be of another type
			return fmt.Errorf("copy own files: %w", err)
		}
		if err := copyDurably(filepath.Join(in.Data, name), to); err != nil {
			return fmt.Errorf("copy own files: %w", err)
		}
	}
	return nil
}
