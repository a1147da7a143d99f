package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// readyPoll is how often postmaster.pid is read while a server starts. Reading it
// rather than knocking leaves no "the database system is starting up" in the log.
const readyPoll = 5 * time.Millisecond

// looksForSocket is how often in a row a server that says that it accepts connections
// is looked for where it should.
const looksForSocket = 10

// tailLines is how many last lines of a log or of a program's output an error carries.
const tailLines = 8

// Accepts tells, without knocking, whether the postmaster says in postmaster.pid
// that it accepts connections, on a standby read-only ones.
func (in *Instance) Accepts(pid int) bool { return in.statusOf(pid) == "ready" }

// Serves tells whether the postmaster has come so far in its start that it answers everybody
// who connects, if only with a refusal. Before that it listens already and answers nobody,
// for long where there are many temporary files to be removed (PostmasterMain in postmaster.c,
// 13 to 18).
func (in *Instance) Serves(pid int) bool { return in.statusOf(pid) != "" }

// Lingers tells that the postmaster has written its shutdown checkpoint and is there all
// the same: it waits until a walsender has sent everything, for wal_sender_timeout where
// the standby is not reached, or until the archiver is done (PostgreSQL 13 to 18,
// PM_SHUTDOWN_2 in postmaster.c).
func (in *Instance) Lingers(pid int) bool {
	if in.statusOf(pid) != "stopping" {
		return false
	}
	c, err := in.Control()
	return err == nil && (c.State == ShutDown || c.State == ShutDownInRecovery)
}

// ErrElsewhere tells that the server accepts connections, but has no socket where this
// one looks for it: its files name another port or directory, or somebody was just
// saving them and it met half of them.
var ErrElsewhere = errors.New("it accepts connections elsewhere; compare port and unix_socket_directories with [postgres] in server.toml")

// WaitReady returns nil once the server accepts connections, on a standby
// read-only ones. It fails when the postmaster exits (with the end of its log, or
// ErrStillInUse), when the server refuses the supervisor for good (password,
// role, database) or is not where it should be (ErrElsewhere), or when ctx ends; then
// the server may still be starting.
func (in *Instance) WaitReady(ctx context.Context) error {
	pid, exited, stop, err := in.watchOwn()
	if err != nil {
		return fmt.Errorf("wait for PostgreSQL: %w", err)
	}
	defer stop()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	var last error
	for missed := 0; ; { // looks that found no socket: a server that is just ending has none either
		if in.statusOf(pid) == "ready" {
			err := in.Knock(ctx)
			if err == nil {
				return nil
			}
			if Refusal(err) != "" {
				return fmt.Errorf("wait for PostgreSQL: %w", err)
			}
			if last == nil || ctx.Err() == nil && !pgconn.Timeout(err) { // one that was cut off tells less
				last = err
			}
			if !errors.Is(err, fs.ErrNotExist) {
				missed = 0
			} else if missed++; missed == looksForSocket {
				return fmt.Errorf("wait for PostgreSQL at %s: %w", in.SocketPath(), ErrElsewhere)
			}
		}
		select {
		case <-exited:
			return in.startFailure()
		case <-ctx.Done():
			in.awaitLock(pid, exited, tick.C)
			return fmt.Errorf("wait for PostgreSQL: %w", errors.Join(context.Cause(ctx), last))
		case <-tick.C:
		}
	}
}

// lockPatience bounds awaitLock, for a disk that hangs.
const lockPatience = time.Second

// awaitLock waits the moment until a postmaster that was just launched has written
// postmaster.pid: who stops the server next must not take it for one that is down. One
// that takes longer has touched nothing yet (PostmasterMain in postmaster.c, 13 to 18),
// and is ended.
func (in *Instance) awaitLock(pid int, exited <-chan struct{}, tick <-chan time.Time) {
	for began := time.Now(); time.Since(began) < lockPatience; {
		if found, _ := in.Postmaster(); found == pid {
			return
		}
		select {
		case <-exited:
			return
		case <-tick:
		}
	}
	in.endChild(pid)
}

// endChild ends the postmaster that this process has launched, if it is that one.
func (in *Instance) endChild(pid int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if c := in.child; c != nil && c.pid == pid {
		_ = c.process.Kill() // it fails where it has ended, and been reaped
	}
}

// watchOwn watches the postmaster this process started, else the running one.
func (in *Instance) watchOwn() (pid int, exited <-chan struct{}, stop func(), err error) {
	in.mu.Lock()
	c := in.child
	_, running := in.runningChild()
	in.mu.Unlock()
	pid, other := in.Postmaster()
	switch {
	case c != nil && (running || !other):
		return c.pid, c.exited, func() {}, nil
	case other:
		exited, stop, err = WatchExit(pid)
		return pid, exited, stop, err
	}
	return 0, nil, nil, errors.New("it is not running; start it first")
}

// statusOf is the last line of postmaster.pid, empty while another pid stands there.
func (in *Instance) statusOf(pid int) string {
	lock, err := readLockFile(filepath.Join(in.Data, "postmaster.pid"))
	if err != nil || lock.pid != pid {
		return ""
	}
	return lock.status
}

// Refusal is what the server said when it does not let the supervisor in and waiting
// will not change that: invalid authorization (class 28) or no such database (3D),
// appendix A of the PostgreSQL manual, 13 to 18. Empty for every other error.
func Refusal(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (strings.HasPrefix(pg.Code, "28") || strings.HasPrefix(pg.Code, "3D")) {
		return pg.Message
	}
	return ""
}

// startFailure says why the postmaster that was waited for exited.
func (in *Instance) startFailure() error {
	in.mu.Lock()
	from := int64(0)
	if in.child != nil {
		from = in.child.logFrom
	}
	in.mu.Unlock()
	tail := logTail(in.LogFile, from)
	// Start looks before it launches, so this text (sysv_shmem.c, 13 to 18) only
	// shows after a race; in another language the caller gets the plain error.
	if strings.Contains(tail, "pre-existing shared memory block") {
		return fmt.Errorf("wait for PostgreSQL: %w", ErrStillInUse)
	}
	return fmt.Errorf("wait for PostgreSQL: it exited; the end of %s says:\n%s", in.LogFile, tail)
}

// logTail is the last lines of a log behind the offset from, 16 KiB at most.
func logTail(path string, from int64) string {
	const most = 16 << 10
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size()-from > most {
		from = info.Size() - most
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return err.Error()
	}
	return lastLines(string(b))
}

func lastLines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
