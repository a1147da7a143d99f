package runbook

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/probe"
)

const one, two = lab.Server1, lab.Server2

// A page's block that takes longer hangs.
const blockLimit = 3 * time.Minute

// calm is what marks the time before the page begins.
const calm = "before"

// stage is a pair under load on which a page is executed.
type stage struct {
	*testing.T
	lab   *lab.Lab
	clean string // a directory of the test's own, outside the lab
	probe *probe.Probe
	// variables of each server, as the page's blocks see them.
	variables map[pair.Server]map[string]string
	preamble  map[pair.Server]string // the page's own blocks of variables
	token     string                 // that was printed and not taken yet
	served    func()                 // waits for the block that printed it
	archive   time.Duration          // what the site's archive may add to a switch
}

// newStage makes a paired lab. The writers begin with begin, so that a test can
// prepare the servers first.
func newStage(t *testing.T, opt lab.Options) *stage {
	t.Helper()
	if os.Geteuid() == 0 || os.Getenv("MCCTL") == "" {
		t.Fatal("run the tests as an unprivileged user and with MCCTL set: use make test PKG=./test/runbook")
	}
	dir, err := os.MkdirTemp("", "mcbook")
	if err != nil {
		t.Fatal(err)
	}
	opt.Dir, opt.Mcctl, opt.BinDir, opt.Template = filepath.Join(dir, "lab"), os.Getenv("MCCTL"), os.Getenv("PG_BIN"), os.Getenv("TEST_CLUSTER")
	s := &stage{T: t, clean: dir, variables: map[pair.Server]map[string]string{}, preamble: map[pair.Server]string{}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := lab.Down(ctx, opt.Dir, true); err != nil {
			t.Errorf("take the lab down: %v", err)
		}
		_ = os.RemoveAll(dir)
	})
	if s.lab, err = lab.Up(t.Context(), opt); err != nil {
		t.Fatal(err)
	}
	if err := errorsOf(os.Mkdir(filepath.Join(dir, "bin"), 0o755), os.Symlink(s.lab.Mcctl(), filepath.Join(dir, "bin", "mcctl"))); err != nil {
		t.Fatal(err)
	}
	for _, server := range []pair.Server{one, two} {
		s.variables[server] = s.paths(server)
		if err := appendTo(filepath.Join(s.lab.Mcdir(server), "pair.toml"), stallMax); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// stallMax makes commits wait for long when a server goes without saying goodbye, so that
// such a gap is told from those of a busy machine, see bound.
const stallMax = "commit_stall_max = \"12s\"\n"

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errorsOf(err, f.Close())
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// paths are the variables that most pages have.
func (s *stage) paths(server pair.Server) map[string]string {
	c, err := config.Load(s.lab.Mcdir(server))
	if err != nil {
		s.Fatal(err)
	}
	pg := c.Server.Postgres
	return map[string]string{
		"MCCONTROLDIR": c.Dir, "PGDATA": c.Server.DataDirectory, "CONF": c.Server.ConfigFile,
		"PGHOST": pg.SocketDirectory, "PGPORT": fmt.Sprint(pg.Port), "PGUSER": pg.User, "PGDATABASE": pg.Database,
		"PATH": filepath.Join(s.clean, "bin") + ":" + s.lab.BinDir() + ":" + os.Getenv("PATH"),
	}
}

// begin starts the writers and lets them run undisturbed for a moment, which tells
// how much this machine stutters by itself.
func (s *stage) begin() {
	s.Helper()
	var err error
	if s.probe, err = probe.Start(s.Context(), probe.Options{URI: s.lab.Env()["PGURI"], Interval: 20 * time.Millisecond, Retry: 50 * time.Millisecond}); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _, _ = s.probe.Stop() })
	s.probe.Mark(calm)
	s.flowing()
	time.Sleep(time.Second)
}

// flowing waits until writes have flowed without a break for a moment.
func (s *stage) flowing() {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.probe.WaitCalmFromNow(ctx, 300*time.Millisecond); err != nil {
		s.Fatalf("writes do not flow: %v", err)
	}
}

// Tests have no root; what root gives to postgres they give to whom they run as.
var rootless = strings.NewReplacer("-o postgres -g postgres", `-o "$(id -un)" -g "$(id -gn)"`)

// execute runs the blocks of a page in order.
func (s *stage) execute(page Page) {
	s.Helper()
	for _, b := range page.Blocks {
		if !b.Variables {
			s.probe.Mark(fmt.Sprintf("line %d: %s", b.Line, b.Title()))
		}
		if b.Root {
			b.Text = rootless.Replace(b.Text)
		}
		for _, name := range b.Servers {
			server := pair.Server(name)
			if b.Variables {
				s.define(page, b, server)
			} else if b.PrintsToken {
				s.serve(server, b)
			} else if out, err := s.shell(server, b.Text); err != nil {
				s.tellLogs()
				s.Fatalf("%s:%d on %s: %v\n%s\n%s", page.Name, b.Line, server, err, b.Text, out)
			} else {
				s.Logf("%s:%d on %s\n%s%s", page.Name, b.Line, server, b.Text, out)
			}
			if b.TakesToken {
				s.served()
			}
		}
	}
}

// define takes a block of variables, all of which the test must have values for.
func (s *stage) define(page Page, b Block, server pair.Server) {
	s.Helper()
	for _, name := range b.Names() {
		if _, ok := s.variables[server][name]; !ok {
			s.Fatalf("%s:%d: the test has no value for %s", page.Name, b.Line, name)
		}
	}
	s.preamble[server] += b.Text
}

// shell runs commands on a server as its operator would, but for a stop at the first
// that fails. A token that was printed stands on the standard input.
func (s *stage) shell(server pair.Server, text string) (string, error) {
	ctx, cancel := context.WithTimeout(s.Context(), blockLimit)
	defer cancel()
	cmd := s.bash(ctx, server, text)
	cmd.Stdin = strings.NewReader(s.token)
	// What mcctl starts in the background holds the output open, so it is a file.
	out, err := os.CreateTemp(s.clean, "out")
	if err != nil {
		return "", err
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Run()
	said, _ := os.ReadFile(out.Name())
	return string(said), err
}

// bash is a shell on a server. The variables of the lab come after the page's, which so
// are read.
func (s *stage) bash(ctx context.Context, server pair.Server, text string) *exec.Cmd {
	var script strings.Builder
	script.WriteString("set -euo pipefail\n" + s.preamble[server])
	for _, name := range slices.Sorted(maps.Keys(s.variables[server])) {
		fmt.Fprintf(&script, "export %s='%s'\n", name, strings.ReplaceAll(s.variables[server][name], "'", `'\''`))
	}
	script.WriteString(text)
	cmd := exec.CommandContext(ctx, "bash", "-c", script.String())
	cmd.Dir = s.clean
	cmd.Env = []string{"HOME=" + os.Getenv("HOME"), "LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	return cmd
}

// serve runs a block that prints a token and waits, until served.
func (s *stage) serve(server pair.Server, b Block) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), blockLimit)
	s.Cleanup(cancel)
	cmd := s.bash(ctx, server, b.Text)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.Fatal(err)
	}
	if s.token, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		_ = cmd.Wait()
		s.Fatalf("no token: %v\n%s", err, said.String())
	}
	s.served = func() {
		s.Helper()
		s.token = ""
		if err := cmd.Wait(); err != nil {
			s.Fatalf("serve a token: %v\n%s", err, said.String())
		}
	}
}

func (s *stage) tellLogs() {
	for _, of := range []string{"server1", "server2"} {
		b, _ := os.ReadFile(filepath.Join(s.lab.Dir, of, "mcdir", "log", "mcctl.log"))
		lines := strings.Split(string(b), "\n")
		s.Logf("%s:\n%s", of, strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
}

// psql asks a server over its unix socket.
func (s *stage) psql(of pair.Server, statement string) string {
	s.Helper()
	s.variables[of]["STATEMENT"] = statement
	out, err := s.shell(of, "psql -XAtqc \"$STATEMENT\"\n")
	if err != nil {
		s.Fatalf("psql on %s: %v\n%s", of, err, out)
	}
	return strings.TrimSpace(out)
}

func (s *stage) kill(pids ...int) {
	s.Helper()
	for _, pid := range pids {
		if pid == 0 {
			s.Fatal("there is no such process to kill")
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			s.Fatalf("kill %d: %v", pid, err)
		}
	}
}

// read is a file of a server.
func (s *stage) read(path string) string {
	s.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		s.Fatal(err)
	}
	return string(b)
}
