// Package setup makes management directories: for the first server of a pair, with a
// new PostgreSQL or over one that runs already; for the second, which joins the first
// by a token; and for an arbiter. It is a list of steps each of which may be cut off
// anywhere and be repeated.
//
// It asks nobody anything and starts no supervisor: what it must know is in a Plan,
// and who may say yes to an edit or a restart is a function of the caller. Called by
// the command line (mcctl init).
package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/postgres"
	"mcctl/pkg/shell"
)

// stateFile remembers the plan until the directory is complete, and that it is.
const stateFile = "init.json"

// caDir holds the authority of a pair on its first server.
const caDir = "ca"

// Kinds of management directories.
const (
	First   = "first"
	Second  = "second"
	Arbiter = "arbiter"
)

// Setup is the making of one management directory.
type Setup struct {
	// Dir is the management directory, absolute.
	Dir string
	// Say tells of each step.
	Say func(text string)
	// Agree asks for consent to what was just told (ForEdit) or to a restart (ForRestart).
	// An error is no answer.
	Agree func(ctx context.Context, about, question string) (bool, error)
	// Now is the wall clock: certificates and tokens end by it.
	Now func() time.Time
	// Progress tells of a copy, in bytes; it may be nil.
	Progress func(done, total int64)

	state state
}

// state is init.json.
type state struct {
	Kind     string `json:"kind"`
	Plan     Plan   `json:"plan"`
	Finished bool   `json:"finished"`
	// Copying: what lies beside the data directory (D.part, D.new) is ours, and beside the
	// places of Layout, by which the copy goes.
	Copying bool            `json:"copying,omitempty"`
	Layout  postgres.Layout `json:"layout,omitzero"`
	// Restarting: PostgreSQL was stopped by us to be started again.
	Restarting bool `json:"restarting,omitempty"`
	// Material is what a second server got for its token.
	Material *Material `json:"material,omitempty"`
	// Owed is a token of which the first server may not know that it has served.
	Owed *Token `json:"owed,omitempty"`
}

// ErrNotEmpty tells that a directory holds something that this command did not make.
var ErrNotEmpty = errors.New("it is not empty and not an unfinished work of mcctl init; name an empty or a new directory")

// Load finds out what is there. Finished tells that nothing is left to be done.
func (s *Setup) Load() (kind string, plan Plan, finished bool, err error) {
	err = durable.ReadJSON(s.path(stateFile), &s.state)
	if err == nil {
		return s.state.Kind, s.state.Plan, s.state.Finished, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", Plan{}, false, err
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", Plan{}, false, fmt.Errorf("use management directory: %w", err)
	}
	// A state that was being written is what a call left that was cut off before it had
	// done anything. In tls may be what pair.toml will name: the files for an etcd.
	foreign := func(e fs.DirEntry) bool {
		return e.Name() != "."+stateFile+".mcctl-tmp" && (e.Name() != "tls" || !e.IsDir())
	}
	if slices.ContainsFunc(entries, foreign) {
		return "", Plan{}, false, fmt.Errorf("use %s: %w", s.Dir, ErrNotEmpty)
	}
	return "", Plan{}, false, nil
}

// Unfinished tells that mcctl init was cut off in a directory: nobody may use that yet.
func Unfinished(dir string) bool {
	kind, _, finished, err := (&Setup{Dir: dir}).Load()
	return err == nil && kind != "" && !finished
}

// certificateFiles are what this command makes in tls.
func certificateFiles(name string) []string {
	return []string{filepath.Join("tls", "ca.crt"), filepath.Join("tls", name+".crt"), filepath.Join("tls", name+".key")}
}

// certificatesAreFree looks into a directory that is not begun yet.
func (s *Setup) certificatesAreFree(name string) error {
	for _, file := range certificateFiles(name) {
		if _, err := os.Lstat(s.path(file)); err == nil {
			return fmt.Errorf("use %s: %s is there: %w", s.Dir, file, ErrNotEmpty)
		}
	}
	return nil
}

// ErrHeld tells that another call is at work on the directory.
var ErrHeld = errors.New("another mcctl init is at work there; wait for it")

// claim makes the directory and keeps other calls out until release.
func (s *Setup) claim() (release func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make management directory: %w%s", err, s.byRoot(err))
	}
	d, err := os.Open(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("lock management directory: %w", err)
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("lock %s: %w", s.Dir, ErrHeld)
	}
	return func() { _ = d.Close() }, nil
}

// byRoot is what root has to do where this user may make no directory, as in /etc.
func (s *Setup) byRoot(err error) string {
	me, unknown := user.Current()
	if !errors.Is(err, fs.ErrPermission) || unknown != nil {
		return ""
	}
	group := me.Gid
	if g, err := user.LookupGroupId(me.Gid); err == nil {
		group = g.Name
	}
	return fmt.Sprintf("; have root make it: install -d -o %s -g %s -m 0700 %s", shell.Word(me.Username), shell.Word(group), shell.Word(s.Dir))
}

// begin notes the plan, before anything else is done. The plan of an earlier call that
// was cut off stays.
func (s *Setup) begin(kind string, plan Plan) error {
	was, _, _, err := s.Load()
	if err != nil {
		return err
	}
	if was != "" && was != kind {
		return fmt.Errorf("go on with %s: it was begun as a directory of kind %q, not %q; name another directory, or remove this one", s.Dir, was, kind)
	}
	if was != "" {
		before := s.state.Plan
		different := s.state.Plan.reconsider(plan, !s.hasWhole())
		if different = append(different, s.state.Plan.merge(plan)...); len(different) > 0 {
			return fmt.Errorf("go on with %s: it was begun with another answer for %s; leave that out, or begin again in another directory", s.Dir, strings.Join(different, ", "))
		}
		if late := s.tooLate(kind, before); len(late) > 0 {
			return fmt.Errorf("go on with %s: %s comes too late, as what it would go into is made; leave that out, and edit the file when this is complete, or begin again in another directory", s.Dir, strings.Join(late, ", "))
		}
		s.Say("going on with what was begun in " + s.Dir)
		return s.save()
	}
	s.state = state{Kind: kind, Plan: plan}
	return s.save()
}

func (s *Setup) save() error { return durable.WriteJSON(s.path(stateFile), s.state, 0o600) }

func (s *Setup) finish() error {
	s.state.Finished, s.state.Copying, s.state.Owed = true, false, nil
	if s.state.Material != nil {
		s.state.Material.Password = "" // it is in the passfile
	}
	return s.save()
}

// step is one piece of work: idempotent, and free to be cut off.
type step struct {
	what string
	do   func(context.Context) error
}

func (s *Setup) run(ctx context.Context, steps []step) error {
	for _, step := range steps {
		if step.what != "" {
			s.Say(step.what)
		}
		if err := step.do(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// directories makes what every management directory has.
func (s *Setup) directories(names ...string) error {
	for _, name := range names {
		if err := os.MkdirAll(s.path(name), 0o700); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	}
	return nil
}

func (s *Setup) path(elements ...string) string {
	return filepath.Join(append([]string{s.Dir}, elements...)...)
}

// write makes a file that only this user may read, unless it is there: somebody may
// have edited it since an earlier call.
func (s *Setup) write(name, text string) error {
	if _, err := os.Lstat(s.path(name)); err == nil {
		return nil
	}
	return durable.WriteFile(s.path(name), []byte(text), 0o600)
}
