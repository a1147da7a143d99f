package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// CreateOptions says what a new cluster is like.
type CreateOptions struct {
	Locale string // as initdb --locale takes it
	// Configure edits the files of the new data directory before it gets its name.
	Configure func(data string) error
}

// unborn ends the name of a data directory that is being made.
const unborn = ".mcctl-init"

// Create makes a new cluster with checksums and SCRAM, whose superuser is User. The
// data directory must be missing or empty; it appears whole or not at all. What an
// earlier call was cut off in is thrown away: it lies beside, as Data.mcctl-init.
func (in *Instance) Create(ctx context.Context, opt CreateOptions) error {
	if entries, err := os.ReadDir(in.Data); err == nil && len(entries) > 0 {
		return fmt.Errorf("create cluster: %s is not empty", in.Data)
	}
	part := in.Data + unborn
	if err := os.RemoveAll(part); err != nil {
		return fmt.Errorf("create cluster: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(in.Data), 0o700); err != nil {
		return fmt.Errorf("create cluster: %w", err)
	}
	err := in.run(ctx, "", nil, "initdb", "-D", part, "-U", in.User, "-k", "-E", "UTF8", "--locale="+opt.Locale,
		"--auth-local=peer", "--auth-host=scram-sha-256")
	if err != nil {
		return fmt.Errorf("create cluster: %w", err)
	}
	if err := opt.Configure(part); err != nil {
		return err
	}
	if err := renameDurably(part, in.Data); err != nil { // over an empty directory, too
		return fmt.Errorf("create cluster: %w", err)
	}
	return nil
}

// Adopt puts the copy that BaseBackup made in the place of a data directory, and of
// directories elsewhere, that are missing or empty. With it comes standby.signal, so
// that whoever starts it gets a standby. After an error or a crash call it again.
func (in *Instance) Adopt(configure func(data string) error) error {
	if entries, err := os.ReadDir(in.Data); err == nil && len(entries) > 0 {
		return fmt.Errorf("adopt copy: %s is not empty", in.Data)
	}
	fresh := in.Data + ".new"
	if err := configure(fresh); err != nil {
		return err
	}
	signal, err := os.OpenFile(filepath.Join(fresh, "standby.signal"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("adopt copy: %w", err)
	}
	if err := errors.Join(signal.Sync(), signal.Close(), syncDir(fresh)); err != nil {
		return fmt.Errorf("adopt copy: %w", err)
	}
	if err := in.moveIn(func(place) error { return nil }); err != nil { // over an empty directory, too
		return fmt.Errorf("adopt copy: %w", err)
	}
	return nil
}

// Running tells how the running postmaster of the data directory is reached and where
// its programs are. Port and socket are lines 4 and 5 of postmaster.pid
// (src/include/utils/pidfile.h, same in 13 to 18).
func (in *Instance) Running() (socket string, port int, bin string, err error) {
	pid, running := in.Postmaster()
	if !running {
		return "", 0, "", fmt.Errorf("no PostgreSQL of this user is running in %s", in.Data)
	}
	b, err := os.ReadFile(filepath.Join(in.Data, "postmaster.pid"))
	if err != nil {
		return "", 0, "", fmt.Errorf("look at PostgreSQL: %w", err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 5 {
		return "", 0, "", errors.New("look at PostgreSQL: it is just starting; try again")
	}
	if port, err = strconv.Atoi(lines[3]); err != nil {
		return "", 0, "", fmt.Errorf("look at PostgreSQL: read postmaster.pid: %w", err)
	}
	program, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	if err != nil {
		return "", 0, "", fmt.Errorf("look at PostgreSQL: %w", err)
	}
	return lines[4], port, filepath.Dir(program), nil
}
