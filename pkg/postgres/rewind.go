package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"mcctl/pkg/majors"
	"mcctl/pkg/pair"
)

// RewindOptions says where to keep what pg_rewind would overwrite.
type RewindOptions struct {
	// KeepDir holds this server's own files meanwhile; outside the data directory.
	// See RestoreKept.
	KeepDir  string
	Progress func(line string) // pg_rewind's own lines; may be nil
}

// ErrSourceNotReady tells that the source is no primary on a newer timeline, by
// its pg_control: promote it, or write a checkpoint on it, and try again.
var ErrSourceNotReady = errors.New("the source is not a checkpointed primary on a newer timeline")

// Rewind turns the stopped server, which was primary, back to where the source's
// history left its own and on to the source's present state. Its own
// configuration files stay as they are. The caller then marks it a standby and
// starts it.
//
// It is tried dry first: an error from the checks or from that leaves the data as
// it was (a crashed server may have been recovered, in single-user mode; links among
// the logs may be gone). Only ErrUnfinished means that pg_rewind failed while writing;
// then nothing but BaseBackup helps, as the reference page of pg_rewind says (13 to 18).
func (in *Instance) Rewind(ctx context.Context, source Source, opt RewindOptions) error {
	if err := in.rewindable(ctx, source, opt); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	major, err := in.dataVersion() // that the programs fit it was seen when the supervisor started
	if err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	if err := in.recoverAlone(ctx); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	if err := in.makePlaces(ctx, source); err != nil { // recovery may have made links
		return fmt.Errorf("rewind: %w", err)
	}
	logs, err := in.mayWriteAll()
	if err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	if err := in.keepWhole(opt.KeepDir); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	args := in.rewindArguments(source, majors.Of(major))
	dry := func() error { return in.runRewind(ctx, source, nil, append(args, "--dry-run")...) }
	if err := in.clearWay(opt.KeepDir, logs, dry); err != nil {
		return errors.Join(fmt.Errorf("rewind: %w", err), in.finishKept(opt.KeepDir))
	}
	if err := in.runRewind(ctx, source, opt.Progress, append(args, "--progress")...); err != nil {
		return errors.Join(fmt.Errorf("rewind: %w", err), in.RestoreKept(opt.KeepDir))
	}
	if err := in.finishKept(opt.KeepDir); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	return nil
}

// runRewind spares the source compiling pg_rewind's query for the list of its files: the
// planner takes it for a costly one, so that jit, on by default, needs far longer for it than
// the query does (libpq_source.c, in 13 libpq_fetch.c; 13 to 18). Options of the source's own win.
func (in *Instance) runRewind(ctx context.Context, source Source, line func(string), args ...string) error {
	return in.runWith(ctx, []string{"PGPASSFILE=" + source.Passfile, "PGOPTIONS=-c jit=off"}, line, "pg_rewind", args...)
}

// rewindable checks what pg_rewind does not, or only after it has begun.
func (in *Instance) rewindable(ctx context.Context, source Source, opt RewindOptions) error {
	if opt.KeepDir == "" {
		return errors.New("no directory to keep the own files in")
	}
	if _, running := in.Postmaster(); running {
		return errors.New("the server is running; stop it first")
	}
	if _, err := os.Stat(in.program("pg_rewind")); err != nil { // some packagers leave it out
		return fmt.Errorf("there is no pg_rewind beside postgres, install it or rebuild: %w", err)
	}
	if err := in.RestoreKept(opt.KeepDir); err != nil {
		return err
	}
	layout, err := in.Layout()
	if err != nil {
		return err
	}
	if err := in.Apart(layout); err != nil {
		return err
	}
	if err := in.mayRewindOver(layout); err != nil {
		return err
	}
	own, err := in.Control()
	if err != nil {
		return err
	}
	if !own.WALLogHints && !own.Checksums {
		return errors.New("the server has neither wal_log_hints nor checksums; set wal_log_hints = on for the next time and rebuild now")
	}
	return source.leads(ctx, own)
}

// leads checks that the source is a primary of the same cluster on a newer
// timeline. On the same timeline pg_rewind would say that there is nothing to do,
// and before the new primary's first checkpoint its pg_control still has the old one.
func (s Source) leads(ctx context.Context, own Control) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer (&Session{conn: conn}).Close()
	var (
		system, timeline int64
		inRecovery       bool
	)
	err = conn.QueryRow(ctx, `
select (select system_identifier from pg_control_system()),
  (select timeline_id from pg_control_checkpoint())::bigint, pg_is_in_recovery()`).
		Scan(&system, &timeline, &inRecovery)
	newest := max(own.Timeline, own.MinRecoveryTimeline)
	switch {
	case err != nil:
		return fmt.Errorf("look at the source: %w", err)
	case uint64(system) != own.SystemID:
		return fmt.Errorf("the source is another cluster: its system identifier is %d, ours %d", system, own.SystemID)
	case inRecovery || pair.Timeline(timeline) <= newest:
		return fmt.Errorf("source in recovery %t on timeline %d, we on %d: %w", inRecovery, timeline, newest, ErrSourceNotReady)
	}
	return nil
}

// recoverAlone lets a crashed server replay its own WAL, because pg_rewind wants
// one that was shut down. pg_rewind could do that itself, but not before a dry
// run, not with a config_file elsewhere before 15, without syncing, and it would lose
// the log that it goes by: back to the last checkpoint before the histories part.
// The checkpoints at the end of recovery and of the server need only what comes after
// themselves and what slots hold back, of which the files know little
// (KeepLogSeg and StartupReplicationSlots, 13 to 18).
func (in *Instance) recoverAlone(ctx context.Context) error {
	c, err := in.Control()
	if err != nil {
		return err
	}
	if c.State == ShutDown || c.State == ShutDownInRecovery {
		return nil
	}
	if err := in.clearLock(); err != nil {
		return err
	}
	// "standby mode is not supported by single-user servers" (xlog.c, 13 to 18).
	if err := in.ClearStandby(); err != nil {
		return err
	}
	args := append([]string{"--single"}, in.arguments(StartOptions{Settings: map[string]string{"wal_keep_size": keepAll}})...)
	if err := in.run(ctx, "", nil, "postgres", append(args, "template1")...); err != nil {
		return fmt.Errorf("recover the crashed server: %w", err)
	}
	return nil
}

// keepAll is the greatest wal_keep_size that there is, in MB (guc.c, 13 to 18).
const keepAll = "2147483647"

func (in *Instance) rewindArguments(source Source, can majors.Abilities) []string {
	args := []string{"--target-pgdata=" + in.Data, "--source-server=" + source.noticing().Conninfo(), "--no-ensure-shutdown"}
	if in.ConfigFile != "" && can.RewindConfigFile {
		args = append(args, "--config-file="+in.ConfigFile)
	}
	return args
}

// oldLogs are those that pg_rewind does not get past: it puts the source's in
// their place, or removes them.
type oldLogs struct {
	links []string // dry
	files []string // not before it writes: somebody else has packed them perhaps
}

// mayWriteAll refuses a data directory of which pg_rewind could not write everything: dry
// it opens nothing to write, and then it fails in the middle at the first such file (its
// reference page, 13 to 18). Our own files are taken away before, see clearOwn. So are old
// logs, which are told.
func (in *Instance) mayWriteAll() (logs oldLogs, err error) {
	own, err := in.ownFiles()
	if err != nil {
		return logs, err
	}
	layout, err := in.Layout()
	if err != nil {
		return logs, err
	}
	within := func(path string) func(name string) bool {
		return func(name string) bool { return isWithin(path, filepath.Join(in.Data, name)) }
	}
	for _, p := range append(layout.places(), place{dir: in.Data}) {
		if err := filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
			link, log := err == nil && d.Type()&fs.ModeSymlink != 0, slices.ContainsFunc([]string{"log", "pg_log"}, within(path))
			switch {
			case link && log && filepath.Dir(path) != in.Data:
				logs.links = append(logs.links, path)
				return nil
			case err != nil || link || unix.Access(path, unix.W_OK) == nil:
				return err
			case !d.IsDir() && slices.ContainsFunc(own, within(path)):
				return nil // to take it away it need not be written
			case !d.IsDir() && log:
				logs.files = append(logs.files, path)
				return nil
			}
			return fmt.Errorf("%s cannot be written by this user, and pg_rewind would fail in the middle of its work: remove it, give it to this user, or rebuild by a copy", path)
		}); err != nil {
			return logs, fmt.Errorf("look for what cannot be written: %w", err)
		}
	}
	return logs, nil
}

// clearWay takes away what pg_rewind does not get past, before it is tried dry what it
// stops at even then: a link is one here, and in its list of the source's files what it
// leads to (pg_stat_file; filemap.c, 13 to 18). The data is whole until this has succeeded.
func (in *Instance) clearWay(kept string, logs oldLogs, dry func() error) error {
	if err := errors.Join(in.clearOwn(kept), clearLogs(logs.links)); err != nil {
		return err
	}
	if err := dry(); err != nil {
		return err
	}
	if err := clearLogs(logs.files); err != nil {
		return err
	}
	return markBegun(kept)
}

func clearLogs(paths []string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("clear logs: %w", err)
		}
	}
	return nil
}

// finishKept brings the own files back after the program has succeeded.
func (in *Instance) finishKept(dir string) error {
	if err := markFinished(dir); err != nil {
		return err
	}
	return in.RestoreKept(dir)
}
