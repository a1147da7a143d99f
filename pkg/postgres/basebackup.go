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
)

// BackupOptions says how a copy is made.
type BackupOptions struct {
	Slot     string                  // existing physical slot of the source that holds its WAL; empty: a temporary one
	MaxRate  string                  // as pg_basebackup --max-rate takes it ("50M"); empty: as fast as it goes
	Progress func(done, total int64) // bytes, about once a second; may be nil
	// Known and Own stand in for a data directory that was emptied: where its links
	// led, and a directory with its own files (see SaveOwn).
	Known Layout
	Own   string
	// By is a program of the site that makes the copy instead of pg_basebackup.
	By *CopyCommand
}

// BaseBackup copies the source beside the data directory, to Data.new, which is
// whole and on the disk when it exists; see Swap. Our own configuration files are
// copied into it, so that it is configured as this server, not as the source.
// Tablespaces, and a pg_wal that is a symbolic link, are copied beside the
// directories that this server has for them, with the ending .new.
//
// The data directory itself is not touched, and on failure nothing but a partial
// copy is left, which the next call removes.
func (in *Instance) BaseBackup(ctx context.Context, source Source, opt BackupOptions) error {
	if err := in.backup(ctx, source, opt); err != nil {
		return fmt.Errorf("base backup: %w", err)
	}
	return nil
}

func (in *Instance) backup(ctx context.Context, source Source, opt BackupOptions) error {
	goal, spaces, err := in.goalBeside(ctx, source, opt.Known)
	if err != nil {
		return err
	}
	if err := in.dropCopy(goal); err != nil {
		return err
	}
	if err := source.awaitSlot(ctx, opt.Slot); err != nil {
		return err
	}
	if err := in.noteCopy(goal); err != nil {
		return err
	}
	part, places := in.Data+".part", goal.places()
	if err := in.copyTo(ctx, source, opt, copyGoal{data: part, layout: goal, spaces: spaces, name: newer}); err != nil {
		return err
	}
	if err := in.giveOwnFiles(part, opt.Own); err != nil {
		return err
	}
	if err := in.giveModes(part, places); err != nil {
		return err
	}
	if err := relink(part, places, older); err != nil {
		return err
	}
	if err := markStandby(part); err != nil { // it must not be taken for a crashed primary
		return err
	}
	return renameDurably(part, in.Data+".new")
}

// older turns the name of a place into itself: where the links lead after the swap.
func older(dir string) string { return dir }

// newer is where the copy of a place lies until the swap.
func newer(dir string) string { return dir + ".new" }

// copyGoal is where a copy goes: the data, and each place by the name given to it.
type copyGoal struct {
	data   string
	layout Layout
	spaces []Tablespace
	name   func(dir string) string
}

func (in *Instance) copyTo(ctx context.Context, source Source, opt BackupOptions, to copyGoal) error {
	if opt.By != nil {
		return in.copyByCommand(ctx, source, opt, to)
	}
	return in.run(ctx, source.Passfile, opt.progressLine(), "pg_basebackup", opt.arguments(source, to)...)
}

func (o BackupOptions) arguments(source Source, to copyGoal) []string {
	args := []string{
		"--pgdata=" + to.data, "--dbname=" + source.noticing().Conninfo(), "--wal-method=stream",
		"--checkpoint=fast", "--progress", "--no-password",
	}
	if o.Slot != "" {
		args = append(args, "--slot="+o.Slot)
	}
	if o.MaxRate != "" {
		args = append(args, "--max-rate="+o.MaxRate)
	}
	if to.layout.WAL != "" {
		args = append(args, "--waldir="+to.name(to.layout.WAL))
	}
	// "=" separates the two, and "\=" stands for itself (pg_basebackup, 13 to 18).
	escape := strings.NewReplacer(`=`, `\=`).Replace
	for _, t := range to.spaces {
		args = append(args, "--tablespace-mapping="+escape(t.Location)+"="+escape(to.name(to.layout.Tablespaces[t.OID])))
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

// giveOwnFiles replaces the source's files in the copy by ours, and brings back the
// links to where logs lie. A data directory that was emptied has no files; spare
// holds them then, if they were saved.
func (in *Instance) giveOwnFiles(dir, spare string) error {
	names, err := in.ownFiles()
	if err != nil {
		return fmt.Errorf("copy own files: %w", err)
	}
	from := in.Data
	if in.Empty() && spare != "" {
		if names, err = entryNames(spare); err != nil {
			return fmt.Errorf("copy own files: %w", err)
		}
		from = spare
	}
	for _, name := range names {
		if err := replaceDurably(filepath.Join(from, name), filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("copy own files: %w", err)
		}
	}
	return nil
}

// giveModes gives the copy the modes of what it replaces: pg_basebackup takes the
// source's for the data directory.
func (in *Instance) giveModes(part string, places []place) error {
	for from, to := range in.modesFrom(part, places) {
		info, err := os.Stat(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("keep mode: %w", err)
		}
		if mode := info.Mode().Perm(); mode == 0o700 || mode == 0o750 {
			if err := os.Chmod(to, mode); err != nil {
				return fmt.Errorf("keep mode: %w", err)
			}
		}
	}
	return nil
}

func (in *Instance) modesFrom(part string, places []place) map[string]string {
	all := map[string]string{in.Data: part}
	for _, p := range places {
		all[p.dir] = newer(p.dir)
	}
	return all
}
