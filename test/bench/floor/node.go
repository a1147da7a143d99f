package floor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// node is one server: its directory, its postmaster while there is one, and a
// warm connection once somebody asked for it.
type node struct {
	name string
	bin  string
	data string
	port int
	pid  int
	exit chan struct{} // closed once the postmaster has been reaped
	conn *pgconn.PgConn
}

func newNode(dir, bin, name string, port int) *node {
	return &node{name: name, bin: bin, data: filepath.Join(dir, name), port: port}
}

func (n *node) path(elem ...string) string {
	return filepath.Join(append([]string{n.data}, elem...)...)
}

// configure writes what differs between the servers. Without upstream the server
// is a primary and waits for the standbys called sync, if any.
func (n *node) configure(sync string, upstream *node) error {
	text := fmt.Sprintf("port = %d\nsynchronous_standby_names = '%s'\n", n.port, sync)
	if upstream != nil {
		text += fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=postgres application_name=%s sslmode=disable'\n", upstream.port, n.name)
		if err := os.WriteFile(n.path("standby.signal"), nil, 0o600); err != nil {
			return err
		}
	}
	if err := os.WriteFile(n.path("node.conf.new"), []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(n.path("node.conf.new"), n.path("node.conf"))
}

// reconfigure is configure of a running server.
func (n *node) reconfigure(sync string, upstream *node) error {
	if err := n.configure(sync, upstream); err != nil {
		return fmt.Errorf("configure %s: %w", n.name, err)
	}
	return n.signal(syscall.SIGHUP)
}

// start returns once the server takes connections. Backends of a killed
// postmaster hold the shared memory for a moment, so it may take several attempts.
func (n *node) start(ctx context.Context) error {
	for {
		if err := n.launch(); err != nil {
			return fmt.Errorf("start %s: %w", n.name, err)
		}
		for n.running() {
			if n.dial(ctx) == nil {
				return nil
			}
			if err := pause(ctx, 2*time.Millisecond); err != nil {
				return fmt.Errorf("start %s: %w; see %s.log", n.name, err, n.data)
			}
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("start %s: the postmaster exited: %w; see %s.log", n.name, err, n.data)
		}
	}
}

// launch starts a postmaster that ends with us, should the benchmark break off.
func (n *node) launch() error {
	log, err := os.OpenFile(n.data+".log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(n.bin, "postgres"), "-D", n.data)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGQUIT}
	if err := cmd.Start(); err != nil {
		return err
	}
	exit := make(chan struct{})
	go func() {
		_ = cmd.Wait() // only the time of its end matters
		close(exit)
	}()
	n.hangUp()
	n.pid, n.exit = cmd.Process.Pid, exit
	return nil
}

func (n *node) running() bool {
	if n.exit == nil {
		return false
	}
	select {
	case <-n.exit:
		return false
	default:
		return true
	}
}

// signal reaches the postmaster only while it has not been reaped: its pid cannot
// have gone to another process.
func (n *node) signal(sig syscall.Signal) error {
	if !n.running() {
		return fmt.Errorf("signal %s: it is not running; see %s.log", n.name, n.data)
	}
	if err := syscall.Kill(n.pid, sig); err != nil {
		return fmt.Errorf("signal %s: %w", n.name, err)
	}
	return nil
}

// stop ends the server without ceremony and waits for its end.
func (n *node) stop() {
	n.hangUp()
	if n.signal(syscall.SIGQUIT) != nil {
		return
	}
	select {
	case <-n.exit:
	case <-time.After(10 * time.Second):
		_ = n.signal(syscall.SIGKILL)
		<-n.exit
	}
}

// isStandby reports whether the stopped server would start as one.
func (n *node) isStandby() bool {
	_, err := os.Stat(n.path("standby.signal"))
	return err == nil
}

// sweep frees the shared memory that a killed postmaster has left in the machine:
// whoever next starts on its data directory does, and only that directory says
// which it is. What becomes of the server that does it does not matter.
func (n *node) sweep(ctx context.Context) {
	if _, err := os.Stat(n.path("postmaster.pid")); err == nil {
		_ = run(ctx, n.bin, "postgres", "--single", "-D", n.data, "postgres")
	}
}

// remove deletes the data directory. Backends of a killed postmaster may still
// write files there for a moment.
func (n *node) remove(ctx context.Context) error {
	n.sweep(ctx)
	for {
		err := os.RemoveAll(n.data)
		if err == nil {
			return nil
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("remove %s: %w", n.data, err)
		}
	}
}

// run runs one of PostgreSQL's programs.
func run(ctx context.Context, bin, program string, args ...string) error {
	out, err := exec.CommandContext(ctx, filepath.Join(bin, program), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("run %s: %w: %s", program, err, bytes.TrimSpace(out))
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
