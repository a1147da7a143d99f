package first

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is far above what anything takes on a busy machine.
const patience = 2 * time.Minute

// hosts are two servers and an arbiter, each a directory on this machine.
type hosts struct {
	*testing.T
	dir   string
	ports map[string]int // by the address on the page
	mcctl string
}

// addresses of the page.
func addresses() []string {
	return []string{
		"192.0.2.100:27540", "192.0.2.100:5432", "192.0.2.110:27540", "192.0.2.110:5432", "192.0.3.120:27541",
		"192.0.3.121:2379", "192.0.3.122:2379", "192.0.3.123:2379",
	}
}

func newHosts(t *testing.T) *hosts {
	t.Helper()
	h := &hosts{T: t, mcctl: os.Getenv("MCCTL"), ports: map[string]int{}}
	if h.mcctl == "" || os.Getenv("PG_BIN") == "" || os.Geteuid() == 0 {
		t.Fatal("MCCTL and PG_BIN must name the programs, and PostgreSQL does not run as root: use make test")
	}
	var err error
	if h.dir, err = os.MkdirTemp("", "mcfirst"); err != nil { // sockets need a short path
		t.Fatal(err)
	}
	for _, name := range []string{"server1", "server2", "arbiter", "bin"} {
		h.ok(os.Mkdir(h.path(name), 0o700))
	}
	h.ok(os.Symlink(h.mcctl, h.path("bin", "mcctl")))
	var held []net.Listener // all at once, or one port might be given out twice
	for _, a := range addresses() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		h.ok(err)
		held = append(held, l)
		h.ports[a] = l.Addr().(*net.TCPAddr).Port
	}
	for _, l := range held {
		h.ok(l.Close())
	}
	t.Cleanup(h.takeDown)
	return h
}

func (h *hosts) ok(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *hosts) path(elements ...string) string {
	return filepath.Join(append([]string{h.dir}, elements...)...)
}

// takeDown stops everything that runs below the directory.
func (h *hosts) takeDown() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, server := range []string{"server1", "server2"} {
		mc := h.path(server, "mc")
		if h.Failed() {
			b, _ := os.ReadFile(filepath.Join(mc, "log", "mcctl.log"))
			lines := strings.Split(string(b), "\n")
			h.Logf("%s:\n%s", server, strings.Join(lines[max(0, len(lines)-30):], "\n"))
		}
		_ = exec.CommandContext(ctx, h.mcctl, "stop", "-e", "-M", mc).Run() // it may not run
		_ = exec.CommandContext(ctx, filepath.Join(os.Getenv("PG_BIN"), "pg_ctl"), "-D", h.path(server, "data"), "-m", "immediate", "stop").Run()
	}
	_ = exec.CommandContext(ctx, h.mcctl, "arbiter", "stop", "-M", h.path("arbiter", "mc")).Run()
	err := os.RemoveAll(h.dir)
	for ctx.Err() == nil && err != nil { // a process that is ending has written there once more
		time.Sleep(10 * time.Millisecond)
		err = os.RemoveAll(h.dir)
	}
	if err != nil {
		h.Error(err)
	}
}

// own puts this test's addresses and directories in the place of the page's, and says
// which PostgreSQL is under test.
func (h *hosts) own(host, text string) string {
	for _, a := range addresses() {
		text = strings.ReplaceAll(text, a, fmt.Sprintf("127.0.0.1:%d", h.ports[a]))
	}
	return strings.NewReplacer(
		"--pair orders", fmt.Sprintf("--pair orders --bin-directory %s --socket-directory %s", os.Getenv("PG_BIN"), h.dir),
		"/etc/mcctl/orders", h.path(host, "mc"),
		"/var/lib/postgresql/15/main", h.path(host, "data"),
		"/etc/mcctl/arbiter", h.path(host, "mc"),
		"/mnt/etcd/", h.dir+"/",
		"/usr/local/bin/", h.path("bin")+"/",
	).Replace(text)
}

// shell is a command block on a host; PostgreSQL's programs are those under test.
func (h *hosts) shell(ctx context.Context, host, text string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-ec", h.own(host, text))
	cmd.Env = append(os.Environ(), "PATH="+h.path("bin")+":"+os.Getenv("PATH"))
	cmd.WaitDelay = time.Second
	return cmd
}

// run runs a block to its end and gives what it said.
func (h *hosts) run(host, stdin, text string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := h.shell(ctx, host, text)
	cmd.Stdin = strings.NewReader(stdin)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (h *hosts) must(host, stdin, text string) string {
	h.Helper()
	out, err := h.run(host, stdin, text)
	if err != nil {
		h.Fatalf("on %s:\n%s\n%v\n%s", host, text, err, out)
	}
	return out
}

// token runs a block that prints a token and waits; served tells how that ended.
func (h *hosts) token(host, text string) (token string, served <-chan error) {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	h.Cleanup(cancel)
	cmd := h.shell(ctx, host, "exec "+text)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	h.ok(err)
	h.ok(cmd.Start())
	r := bufio.NewReader(out)
	if token, err = r.ReadString('\n'); err != nil {
		_ = cmd.Wait()
		h.Fatalf("no token: %v\n%s", err, complaints.String())
	}
	ended := make(chan error, 1)
	go func() {
		_, _ = io.Copy(io.Discard, r)
		ended <- cmd.Wait()
	}()
	return token, ended
}

// eventually repeats a block until it succeeds.
func (h *hosts) eventually(host, text string) {
	h.Helper()
	var out string
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if out, err = h.run(host, "", text); err == nil {
			return
		}
	}
	h.Fatalf("on %s, to the end of patience:\n%s\n%v\n%s", host, text, err, out)
}
