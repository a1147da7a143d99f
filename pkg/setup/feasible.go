package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"mcctl/pkg/hook"
	"mcctl/pkg/majors"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// What is looked at here changes nothing. It comes before the plan is noted: the same
// command goes on with the answers that it was begun with, so that a wrong one must not
// get so far.

// feasible tells why a new cluster could not be made and run as planned.
func (p Plan) feasible(ctx context.Context) error {
	return errors.Join(p.hasPrograms(ctx, "initdb", "pg_basebackup"), p.hasSocketDirectory(), isFree(dataDirectory, p.DataDirectory), mayMake(dataDirectory, p.DataDirectory), p.portsAreFree(ctx))
}

// hasPrograms looks for PostgreSQL's programs, of a version that is known.
func (p Plan) hasPrograms(ctx context.Context, names ...string) error {
	for _, name := range append([]string{"postgres"}, names...) {
		if info, err := os.Stat(filepath.Join(p.Bin, name)); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return fmt.Errorf("use programs in %s: there is no %s that can be run; give the directory of a PostgreSQL server's programs with --bin-directory", p.Bin, name)
		}
	}
	major, err := (&postgres.Instance{Bin: p.Bin}).ProgramsVersion(ctx)
	if err != nil {
		return fmt.Errorf("use programs in %s: %w", p.Bin, err)
	}
	return majors.Check(major)
}

func (p Plan) hasSocketDirectory() error {
	if info, err := os.Stat(p.Socket); err != nil || !info.IsDir() || syscall.Access(p.Socket, mayWrite) != nil {
		return fmt.Errorf("use socket directory %s: it is not a directory that this user may write to; give another one with --socket-directory", p.Socket)
	}
	return nil
}

const mayWrite = 2 | 1 // W_OK, X_OK

const dataDirectory = "data directory"

// mayMake looks whether a directory may be made, or one that is there be replaced: a
// cluster and a copy are made beside and then renamed.
func mayMake(what, dir string) error {
	parent := filepath.Dir(dir)
	for {
		info, err := os.Stat(parent)
		if errors.Is(err, fs.ErrNotExist) && parent != "/" {
			parent = filepath.Dir(parent)
			continue
		}
		switch {
		case err != nil:
			return fmt.Errorf("use %s: %w", what, err)
		case !info.IsDir() || syscall.Access(parent, mayWrite) != nil:
			return fmt.Errorf("use %s %s: it is made beside first, and %s is not a directory that this user may write to; give that to this user, or name another one", what, dir, parent)
		}
		break
	}
	var here, above syscall.Stat_t
	if syscall.Stat(dir, &here) == nil && syscall.Stat(parent, &above) == nil && here.Dev != above.Dev {
		return fmt.Errorf("use %s %s: it is a file system of its own, which nothing can be renamed to; name a directory in it", what, dir)
	}
	return nil
}

// isFree looks whether a directory is missing or empty, and nothing beside it is in the way.
func isFree(what, dir string) error {
	if info, err := os.Lstat(dir); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("use %s %s: it is a symbolic link; name the directory that it leads to", what, dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("use %s: %w", what, err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("use %s: %w", dir, ErrNotEmpty)
	}
	return isFreeBeside(what, dir)
}

// ErrInTheWay tells that something stands where mcctl would take it for its own.
var ErrInTheWay = errors.New("by that name mcctl keeps what it deletes when that has served; move it away, or name another directory")

// isFreeBeside looks at the names by which copies are made and what they replace is put
// aside, now and by every later rebuild.
func isFreeBeside(what, dir string) error {
	for _, ending := range postgres.Endings() {
		if _, err := os.Lstat(dir + ending); err == nil {
			return fmt.Errorf("use %s %s: %s is there: %w", what, dir, dir+ending, ErrInTheWay)
		}
	}
	return nil
}

// portsAreFree tries the addresses of this server. One that the host does not have is
// no error here: it may come from elsewhere.
func (p Plan) portsAreFree(ctx context.Context) error {
	var lc net.ListenConfig
	for flag, address := range map[string]string{"--replication": p.Replication, "--admin": p.Admin} {
		ln, err := lc.Listen(ctx, "tcp", address)
		if err == nil {
			err = ln.Close()
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("use %s %s: another process listens there already; stop that, or choose another port", flag, address)
		}
	}
	return nil
}

// hasAuthority looks into the directory of an authority that was given.
func (p Plan) hasAuthority() error {
	if p.CA == "" {
		return nil
	}
	if err := wire.CheckCA(p.CA); err != nil {
		return fmt.Errorf("%w; give the directory that has ca.crt and ca.key with --ca", err)
	}
	return nil
}

// mayJoin looks at what a second server was given: what is left out is found out when
// the first server has told of itself.
func (p Plan) mayJoin(ctx context.Context, token Token) error {
	if token.Name == arbiterName {
		return errors.New("the token was made for an arbiter, not for a server; make one with mcctl init --serve-token")
	}
	errs := []error{isFree(dataDirectory, p.DataDirectory), mayMake(dataDirectory, p.DataDirectory), p.mayLieElsewhere()}
	if p.Bin != "" {
		errs = append(errs, p.hasPrograms(ctx, "pg_basebackup"))
	} else {
		errs = append(errs, p.findPlaces())
	}
	if p.Socket != "" {
		errs = append(errs, p.hasSocketDirectory())
	}
	return errors.Join(errs...)
}

// hasFiles looks at the files that a second server was given, by this call or an
// earlier one.
func (p Plan) hasFiles() error {
	var errs []error
	for flag, file := range map[string]string{"--config-file": p.ConfigFile, "--hba-file": p.HBAFile, "--ident-file": p.IdentFile} {
		if file == "" {
			continue
		}
		if _, err := os.ReadFile(file); err != nil {
			errs = append(errs, fmt.Errorf("use %s: %w", flag, err))
		}
	}
	for flag, file := range map[string]string{"--arbitration-command": p.Arbitration, "--fencing-command": p.Fencing} {
		if file == "" {
			continue
		}
		if err := hook.Judge(file); err != nil {
			errs = append(errs, fmt.Errorf("use %s: %w", flag, err))
		}
	}
	return errors.Join(errs...)
}
