// Package postgres is one local PostgreSQL server (13 to 18): start, stop,
// promote, look at it, rewind it, copy it anew. One verb, one file. Every call is
// idempotent, takes the caller's deadline where it can wait, and says on failure
// what state it leaves.
//
// It knows nothing of the pair and decides nothing: it never asks whether a
// promotion or a rewind is a good idea. It does not edit configuration files
// either. Called by observe (what only reads) and act (the rest).
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"mcctl/pkg/majors"
)

// Instance is one PostgreSQL on this host. The exported fields are set once,
// before the first call; an Instance may be used from several goroutines.
type Instance struct {
	Data       string // data directory
	Bin        string // directory of PostgreSQL's programs
	ConfigFile string // postgresql.conf when it lives outside Data, else empty
	LogFile    string // gets what the postmaster prints before its own logging starts
	Socket     string // directory of the unix socket
	Port       int
	User       string // whom the supervisor connects as
	Database   string
	Passfile   string // empty: none is read

	mu    sync.Mutex
	child *child // the postmaster this process started last, if any
}

// Version is the major version of the data directory. It is an error when Bin
// holds programs of another major: a start would fail, and pg_rewind must match the
// server (its reference page, 13 to 18); or when the major is not one of ours.
func (in *Instance) Version(ctx context.Context) (major int, err error) {
	major, err = in.dataVersion()
	if err != nil {
		return 0, err
	}
	programs, err := in.ProgramsVersion(ctx)
	if err != nil {
		return 0, err
	}
	if programs != major {
		return 0, fmt.Errorf("data directory %s is of PostgreSQL %d, but the programs in %s are of %d; set bin_directory in server.toml to the programs of %d", in.Data, major, in.Bin, programs, major)
	}
	return major, majors.Check(major)
}

// ProgramsVersion is the major version of the programs in Bin.
func (in *Instance) ProgramsVersion(ctx context.Context) (major int, err error) {
	out, err := exec.CommandContext(ctx, in.program("postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("ask PostgreSQL for its version: %w; check bin_directory in server.toml", err)
	}
	return parseVersion(string(out)), nil
}

func (in *Instance) dataVersion() (int, error) {
	b, err := os.ReadFile(filepath.Join(in.Data, "PG_VERSION"))
	if _, missing := os.Stat(in.Data); missing != nil {
		return 0, fmt.Errorf("look at data directory: %w; check data_directory in server.toml", missing)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%s is not a data directory of PostgreSQL, it has no PG_VERSION: check data_directory in server.toml", in.Data)
	}
	if err != nil {
		return 0, fmt.Errorf("read version of data directory: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("read version of data directory %s: %w", in.Data, err)
	}
	return major, nil
}

// parseVersion takes the major out of "postgres (PostgreSQL) 15.20 (Debian …)",
// "… 18beta1" and the like; 0 when there is none.
func parseVersion(s string) int {
	_, rest, _ := strings.Cut(s, "(PostgreSQL) ")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	major, err := strconv.Atoi(rest[:end])
	if err != nil {
		return 0
	}
	return major
}

func (in *Instance) program(name string) string { return filepath.Join(in.Bin, name) }

// SocketPath is the unix socket of the server, as Answers takes it.
func (in *Instance) SocketPath() string {
	return filepath.Join(in.Socket, ".s.PGSQL."+strconv.Itoa(in.Port))
}
