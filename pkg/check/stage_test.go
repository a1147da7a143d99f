package check_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/check"
	"mcctl/pkg/config"
	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// limit bounds every wait of a test, far above what anything takes.
const limit = time.Minute

// stage is a lab whose two servers are looked at.
type stage struct {
	*testing.T
	lab  *lab.Lab
	conf map[pair.Server]*config.Config
}

func newStage(t *testing.T) *stage {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Fatal("PostgreSQL does not run as root: use make test")
	}
	opt := lab.Options{Mcctl: os.Getenv("MCCTL"), BinDir: os.Getenv("PG_BIN"), Settings: map[string]string{"archive_mode": "on", "archive_command": "true", "max_prepared_transactions": "5"}}
	if opt.Mcctl == "" {
		t.Fatal("MCCTL does not name the mcctl program: use make test")
	}
	var err error
	if opt.Dir, err = os.MkdirTemp("", "mccheck"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := lab.Down(ctx, opt.Dir, true); err != nil {
			t.Errorf("take the lab down: %v", err)
		}
		_ = os.Remove(opt.Dir)
	})
	s := &stage{T: t, conf: map[pair.Server]*config.Config{}}
	if s.lab, err = lab.Up(t.Context(), opt); err != nil {
		t.Fatal(err)
	}
	for _, server := range []pair.Server{lab.Server1, lab.Server2} {
		if s.conf[server], err = config.Load(s.lab.Mcdir(server)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *stage) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// program runs one of PostgreSQL's programs.
func (s *stage) program(name string, args ...string) string {
	s.Helper()
	out, err := exec.CommandContext(s.Context(), filepath.Join(s.lab.BinDir(), name), args...).CombinedOutput()
	if err != nil {
		s.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// sql runs statements as the supervisor's user.
func (s *stage) sql(on pair.Server, statements ...string) string {
	s.Helper()
	p := s.conf[on].Server.Postgres
	args := []string{"-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", p.SocketDirectory, "-p", fmt.Sprint(p.Port), "-U", p.User, "-d", p.Database}
	for _, statement := range statements {
		args = append(args, "-c", statement)
	}
	return s.program("psql", args...)
}

// mcctl runs a command and ignores its exit status: some tell with it.
func (s *stage) mcctl(args ...string) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, _ := exec.CommandContext(ctx, s.lab.Mcctl(), args...).Output()
	return string(out)
}

func (s *stage) status(of pair.Server) (st wire.Status) {
	_ = json.Unmarshal([]byte(s.mcctl("status", "-M", s.lab.Mcdir(of), "-o", "json")), &st)
	return st
}

func (s *stage) eventually(what string, holds func() bool) {
	s.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("it never came about that %s", what)
		}
	}
}

// edit changes a file; what it returns puts it back.
func (s *stage) edit(path string, change func(string) string) (back func()) {
	s.Helper()
	old, err := os.ReadFile(path)
	s.ok(err)
	s.ok(os.WriteFile(path, []byte(change(string(old))), 0o600))
	return func() { s.ok(os.WriteFile(path, old, 0o600)) }
}

func (s *stage) chmod(path string, mode os.FileMode) (back func()) {
	s.Helper()
	info, err := os.Stat(path)
	s.ok(err)
	s.ok(os.Chmod(path, mode))
	return func() { s.ok(os.Chmod(path, info.Mode().Perm())) }
}

// beside makes an empty file beside another; what it returns removes it.
func (s *stage) beside(path, name string, mode os.FileMode) (remove func()) {
	s.Helper()
	path = filepath.Join(filepath.Dir(path), name)
	s.ok(os.WriteFile(path, nil, 0o600))
	s.chmod(path, mode)
	return func() { s.ok(os.Remove(path)) }
}

// set adds a line to postgresql.conf and reloads.
func (s *stage) set(on pair.Server, line string) (back func()) {
	s.Helper()
	undo := s.edit(s.conf[on].Server.ConfigFile, func(old string) string { return old + line + "\n" })
	s.sql(on, "select pg_reload_conf()")
	return func() { undo(); s.sql(on, "select pg_reload_conf()") }
}

// looks sees both servers from this process.
func (s *stage) looks() check.Scene {
	s.Helper()
	scene := check.Scene{Pair: lab.PairName, Now: time.Now()}
	seen := make(chan *check.Side)
	go func() { seen <- s.look(s.conf[lab.Server2]) }()
	scene.Here = s.look(s.conf[lab.Server1])
	scene.There = <-seen
	return scene
}

func (s *stage) look(c *config.Config) *check.Side {
	l := check.Looker{Config: c, Version: "test", Root: c.Path("root"), Now: time.Now, Patience: 10 * time.Second}
	return l.Look(s.Context())
}

// asks is what the command reports on server1.
func (s *stage) asks() (r check.Report) {
	s.Helper()
	s.ok(json.Unmarshal([]byte(s.mcctl("check", "-M", s.lab.Mcdir(lab.Server1), "-o", "json")), &r))
	return r
}

// found tells whether the report has the finding; its commands must be complete.
func (s *stage) found(r check.Report, id string, on pair.Server) bool {
	s.Helper()
	for _, f := range r.Findings {
		if strings.ContainsAny(f.Mend, "{}") {
			s.Errorf("%s: how to mend it has words left: %s", f.ID, f.Mend)
		}
		if f.ID == id && f.Server == on {
			if f.What == "" || f.Why == "" || f.Mend == "" {
				s.Errorf("incomplete: %+v", f)
			}
			return true
		}
	}
	return false
}

// judged fails unless the check could be judged.
func (s *stage) judged(r check.Report, id string, on pair.Server) {
	s.Helper()
	for _, n := range r.NotLooked {
		if n.Server == on && slices.Contains(n.IDs, id) {
			s.Fatalf("%s on %s was not looked at: %s", id, on, n.Why)
		}
	}
}
