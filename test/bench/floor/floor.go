// Package floor drives two bare PostgreSQL servers by hand, with no supervisor at
// all, as fast as the server itself allows: planned switch, failover after kill -9,
// going on without the standby. What clients see of that is the floor that a
// supervisor is measured against, in the same run and on the same machine. It
// decides nothing, guards against nothing and is no example of how to run a pair.
// The benchmarks call it.
package floor

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Pair is two local servers with synchronous replication on free ports. Its
// methods are called one at a time.
type Pair struct {
	bin     string
	primary *node
	standby *node
}

// Up makes a new pair below dir, which must not hold one yet, from the programs in
// the directory bin, and returns once it replicates synchronously. Lines of conf
// go into postgresql.conf. After an error nothing is left running.
func Up(dir, bin string, conf ...string) (*Pair, error) {
	if os.Getuid() == 0 {
		return nil, fmt.Errorf("start PostgreSQL: it does not run as root; use an unprivileged user")
	}
	ports, err := freePorts()
	if err != nil {
		return nil, err
	}
	p := &Pair{bin: bin, primary: newNode(dir, bin, "n1", ports[0]), standby: newNode(dir, bin, "n2", ports[1])}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := p.create(ctx, conf); err != nil {
		p.Down()
		return nil, fmt.Errorf("create pair in %s: %w", dir, err)
	}
	return p, nil
}

func (p *Pair) create(ctx context.Context, conf []string) error {
	n := p.primary
	if err := run(ctx, p.bin, "initdb", "-D", n.data, "-U", "postgres", "-A", "trust"); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(n.data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	// 100 ms, because a promotion asked for at the wrong moment waits as long, and
	// so does a standby whose primary has just been started again.
	lines := append([]string{
		"listen_addresses = '127.0.0.1'", "unix_socket_directories = ''", "wal_log_hints = on", "wal_keep_size = 512MB",
		"wal_retrieve_retry_interval = 100ms", "restart_after_crash = off", "dynamic_shared_memory_type = mmap", "include = 'node.conf'",
	}, conf...)
	if _, err := f.WriteString(strings.Join(lines, "\n") + "\n"); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := n.configure("", nil); err != nil {
		return err
	}
	if err := n.start(ctx); err != nil {
		return err
	}
	return p.clone(ctx)
}

// clone makes the standby anew from the primary and waits until it is synchronous.
func (p *Pair) clone(ctx context.Context) error {
	if err := p.primary.reconfigure("", nil); err != nil { // its standby is gone: block nobody meanwhile
		return err
	}
	s := p.standby
	if err := s.remove(ctx); err != nil {
		return err
	}
	err := run(ctx, p.bin, "pg_basebackup", "-h", "127.0.0.1", "-p", fmt.Sprint(p.primary.port), "-U", "postgres", "-D", s.data, "-c", "fast")
	if err != nil {
		return err
	}
	return p.follow(ctx)
}

// follow starts the stopped standby and waits until it is synchronous.
func (p *Pair) follow(ctx context.Context) error {
	if err := p.standby.configure("", p.primary); err != nil {
		return err
	}
	if err := p.standby.start(ctx); err != nil {
		return err
	}
	return p.attach(ctx)
}

// attach makes the primary wait for its standby from now on.
func (p *Pair) attach(ctx context.Context) error {
	streaming := "select exists (select from pg_stat_replication where state = 'streaming')"
	if err := p.primary.until(ctx, streaming); err != nil {
		return fmt.Errorf("wait for %s to stream: %w", p.standby.name, err)
	}
	if err := p.primary.reconfigure("*", nil); err != nil {
		return err
	}
	if err := p.primary.until(ctx, isSynchronous); err != nil {
		return fmt.Errorf("wait for %s to be synchronous: %w", p.standby.name, err)
	}
	return nil
}

const isSynchronous = "select exists (select from pg_stat_replication where state = 'streaming' and sync_state = 'sync')"

// URI is what clients connect to: both servers, of which they take the one that
// takes writes.
func (p *Pair) URI() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable&target_session_attrs=read-write",
		min(p.primary.port, p.standby.port), max(p.primary.port, p.standby.port))
}

// Heal brings a pair that lost something back to synchronous replication: it
// restarts the standby, or makes it anew where its history has parted.
func (p *Pair) Heal(ctx context.Context) error {
	if !p.primary.running() {
		return fmt.Errorf("heal: the primary %s is down; a pair without a primary cannot be healed, make a new one", p.primary.name)
	}
	if p.standby.running() {
		if ok, err := p.primary.ask(ctx, isSynchronous); err == nil && ok == "t" {
			return nil
		}
		p.standby.stop()
	}
	if p.standby.isStandby() {
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if p.follow(short) == nil {
			return nil
		}
		p.standby.stop()
	}
	if err := p.clone(ctx); err != nil {
		return fmt.Errorf("heal: %w", err)
	}
	return nil
}

// Down ends both servers. The data directories stay.
func (p *Pair) Down() {
	p.standby.stop()
	p.primary.stop()
}

// freePorts reserves nothing: the ports were free a moment ago.
func freePorts() (ports [2]int, err error) {
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return ports, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
