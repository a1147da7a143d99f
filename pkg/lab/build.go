package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// build makes every directory of the lab from nothing. What an earlier try left
// is thrown away first; no process can be using it for long, since none is started
// before Built is set and the programs run here die with us.
func (l *Lab) build(ctx context.Context) error {
	if err := l.demolish(); err != nil {
		return err
	}
	secrets := secrets{App: rand.Text(), Replication: rand.Text()}
	steps := []struct {
		what string
		do   func() error
	}{
		{"directories", l.makeDirectories},
		{"certificates", l.makeCertificates},
		{"management directories", l.writeMcdirs},
		{"passfiles", func() error { return l.writePassfiles(secrets) }},
		{"database cluster of server1", func() error { return l.initCluster(ctx, secrets) }},
		{"copy of it for server2", func() error { return l.copyCluster(ctx) }},
		{"first record", l.writeRecord},
	}
	for _, s := range steps {
		l.say("making the %s", s.what)
		if err := s.do(); err != nil {
			return fmt.Errorf("make the %s: %w", s.what, err)
		}
	}
	l.state.Built = true
	return l.save()
}

// parts is everything in a lab but lab.json and the lab's copy of mcctl.
func parts() []string {
	return []string{"server1", "server2", "arbiter", "etcd", "ca", "pgpass", "lab.log"}
}

func (l *Lab) demolish() error {
	for _, p := range parts() {
		if err := removeAll(l.path(p)); err != nil {
			return fmt.Errorf("remove %s: %w", p, err)
		}
	}
	for _, s := range servers() {
		if dir := l.socketDir(s); filepath.Dir(filepath.Dir(dir)) != l.Dir {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("remove the socket directory: %w", err)
			}
		}
	}
	return nil
}

// removeAll removes a directory in which the server that initdb runs may still be
// writing: when we were killed initdb died with us, and its child a moment later.
func removeAll(dir string) error {
	for tries := 0; ; tries++ {
		err := os.RemoveAll(dir)
		if !errors.Is(err, syscall.ENOTEMPTY) || tries == 50 {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (l *Lab) makeDirectories() error {
	dirs := []string{"ca"}
	for _, s := range servers() {
		for _, sub := range []string{"", "mcdir", "mcdir/run", "mcdir/log", "mcdir/tls", "run"} {
			dirs = append(dirs, filepath.Join(string(s), sub))
		}
	}
	if l.has("witness") {
		dirs = append(dirs, "arbiter", "arbiter/mcdir", "arbiter/mcdir/tls", "arbiter/mcdir/records", "arbiter/mcdir/run", "arbiter/mcdir/log")
	}
	if l.has("etcd") {
		dirs = append(dirs, "etcd")
	}
	for _, d := range dirs {
		if err := l.run.mkdir(l.path(d), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// writeRecord gives server1 the record of a new pair. server2 gets none: a copy
// that does not exist is older than any other.
func (l *Lab) writeRecord() error {
	path := filepath.Join(l.Mcdir(Server1), "record.json")
	if err := durable.WriteJSON(path, record.First(PairName, Server1), 0o600); err != nil {
		return err
	}
	return l.run.own(path)
}

// The socket's name must fit into sockaddr_un, 107 bytes on Linux (unix(7)).
const socketNameMax = 107

// socketDir is where a server's PostgreSQL has its unix socket: in the lab, or,
// if the lab's path is too long for that, in a directory below /tmp.
func (l *Lab) socketDir(s pair.Server) string {
	dir := l.path(string(s), "run")
	if len(dir)+len("/.s.PGSQL.65535") <= socketNameMax {
		return dir
	}
	return fmt.Sprintf("/tmp/mcctl-lab-%d-%s", l.state.Port, s)
}

// makeSocketDir makes the directory below /tmp again if the machine has cleaned
// it up, and refuses one that somebody else has put there.
func (l *Lab) makeSocketDir(s pair.Server) error {
	dir := l.socketDir(s)
	if filepath.Dir(filepath.Dir(dir)) == l.Dir {
		return nil
	}
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return l.run.own(dir)
	}
	if !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make socket directory: %w", err)
	}
	return l.run.mustOwn(dir)
}
