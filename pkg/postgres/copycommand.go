package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"mcctl/pkg/durable"
)

// CopyCommand is a program of the site that makes a copy of the cluster, out of a
// repository of backups as a rule. It gets the directory to fill as its last
// argument and the same and more as JSON on its standard input (CopyRequest).
type CopyCommand struct {
	Program []string // with its own arguments
	// SystemID is the cluster's system identifier: what the copy must be of.
	SystemID uint64
	Line     func(string) // every line that it prints; may be nil
	// Lock is the path of a file that all of its processes hold, see EndCopiers.
	Lock string
}

// CopyRequest is what a CopyCommand reads. The data directory is made and empty, the others do
// not exist yet.
type CopyRequest struct {
	Directory   string            `json:"directory"`                // to be filled with the data directory's content
	WAL         string            `json:"wal,omitempty"`            // pg_wal shall be a link to this directory; absent: a plain directory
	Tablespaces []CopyTablespace  `json:"tablespaces,omitempty"`    // each shall be restored to its directory
	Primary     map[string]string `json:"primary"`                  // host, port, user, passfile: the server to be copied
	SystemID    uint64            `json:"system_identifier"`        // the copy must have it
	MaxRate     string            `json:"max_rate,omitempty"`       // as --max-rate was given
	Server      string            `json:"postgresql_bin_directory"` // PostgreSQL's programs
}

// CopyTablespace is one tablespace for a CopyCommand.
type CopyTablespace struct {
	OID       string `json:"oid"`
	Name      string `json:"name"`
	Location  string `json:"location"`  // on the primary
	Directory string `json:"directory"` // here
}

// ErrWrongCopy tells that a CopyCommand succeeded but what it left is not a copy of
// this cluster.
var ErrWrongCopy = errors.New("what the copy command left is not a copy of this cluster")

func (in *Instance) copyByCommand(ctx context.Context, source Source, opt BackupOptions, to copyGoal) error {
	request := CopyRequest{
		Directory: to.data, SystemID: opt.By.SystemID, MaxRate: opt.MaxRate, Server: in.Bin,
		Primary: map[string]string{"host": source.Host, "port": fmt.Sprint(source.Port), "user": source.User, "passfile": source.Passfile},
	}
	if to.layout.WAL != "" {
		request.WAL = to.name(to.layout.WAL)
	}
	for _, t := range to.spaces {
		request.Tablespaces = append(request.Tablespaces, CopyTablespace{t.OID, t.Name, t.Location, to.name(to.layout.Tablespaces[t.OID])})
	}
	if err := os.Mkdir(to.data, 0o700); err != nil {
		return fmt.Errorf("make directory for the copy: %w", err)
	}
	if err := opt.By.run(ctx, request); err != nil {
		return err
	}
	if err := in.judgeCopy(to, opt.By.SystemID); err != nil {
		return err
	}
	// pg_basebackup has synced what it wrote, and recovery relies on that; others may not.
	return in.run(ctx, "", nil, "initdb", "--sync-only", "-D", to.data)
}

// run gives the program a clean environment: what the supervisor was started with
// is not for it. Nothing that it began is left when run returns without an error.
func (c *CopyCommand) run(ctx context.Context, request CopyRequest) error {
	input, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("run copy command: %w", err)
	}
	runtime.LockOSThread() // see Instance.run
	defer runtime.UnlockOSThread()
	out := &lines{each: c.Line}
	args := append(append([]string{}, c.Program[1:]...), request.Directory)
	cmd := exec.CommandContext(ctx, c.Program[0], args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), out, out
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "USER=" + os.Getenv("USER"), "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err = errors.Join(c.attend(cmd), EndCopiers(c.Lock))
	out.flush()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("run copy command: %w", context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("run copy command %s: %w; its last lines:\n%s", c.Program[0], err, strings.Join(out.last, "\n"))
	}
	return nil
}

// attend starts the program and waits for its end. Whoever in its background holds its
// output does not make a failure of a copy that is whole.
func (c *CopyCommand) attend(cmd *exec.Cmd) error {
	held, err := holdCopiers(c.Lock)
	if err != nil {
		return err
	}
	defer held.Close()
	cmd.ExtraFiles = []*os.File{held}
	if err := cmd.Start(); err != nil {
		return err
	}
	noted := noteCopiers(held, cmd.Process.Pid)
	if err := cmd.Wait(); !errors.Is(err, exec.ErrWaitDelay) {
		return errors.Join(err, noted)
	}
	return noted
}

// judgeCopy believes nothing: the copy must be of this cluster and this major, and
// have its links where they were asked for.
func (in *Instance) judgeCopy(to copyGoal, systemID uint64) error {
	made := &Instance{Data: to.data, Bin: in.Bin}
	control, err := made.Control()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWrongCopy, err)
	}
	if control.SystemID != systemID {
		return fmt.Errorf("%w: its system identifier is %d, the cluster's is %d", ErrWrongCopy, control.SystemID, systemID)
	}
	if _, err := made.Version(context.Background()); err != nil {
		return fmt.Errorf("%w: %w", ErrWrongCopy, err)
	}
	if _, err := os.Stat(filepath.Join(to.data, "base")); err != nil {
		return fmt.Errorf("%w: %w", ErrWrongCopy, err)
	}
	return settleLinks(to)
}

// settleLinks accepts a plain pg_wal where a link was asked for, by moving it; a
// tablespace must be where it was asked for.
func settleLinks(to copyGoal) error {
	for _, p := range to.layout.places() {
		want, link := to.name(p.dir), filepath.Join(to.data, p.link)
		if p.link == "pg_wal" && !isLink(link) && exists(link) {
			if err := copyDurably(link, want); err != nil {
				return err
			}
			if err := os.RemoveAll(link); err != nil {
				return fmt.Errorf("move pg_wal: %w", err)
			}
			if err := durable.Symlink(want, link); err != nil {
				return err
			}
		}
		if got, err := linkTarget(link); err != nil || got != want {
			return errors.Join(fmt.Errorf("%w: %s leads to %q, not to %s", ErrWrongCopy, p.link, got, want), err)
		}
	}
	// Some tools restore it with a backup, and PostgreSQL, when it starts from a backup
	// label, makes every link of pg_tblspc anew by it, to the primary's directories
	// (read_tablespace_map in its source).
	return durable.Remove(filepath.Join(to.data, "tablespace_map"))
}
