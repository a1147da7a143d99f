package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// patience is how long anything may take that has no bound of its own.
const patience = 2 * time.Minute

func hostNames() []string { return []string{"a", "b", "w"} }

// world is three hosts and the switch between them: a and b are the servers of the
// pair, w is the arbiter's host.
type world struct {
	options
	name   string   // of the run
	dir    string   // below /tmp
	groups []string // mounted cgroup hierarchies
	root   string   // the file system that hosts are made of
	golden string   // disks of a pair that was set up and put down in good order
	net    network
	hosts  map[string]*host
	apart  bool // pg_wal and a tablespace are on disks of their own
	clocks bool // each host has a wall clock of its own
	bare   bool // nothing of mcctl is installed on the hosts; all that was built is in builtIn
}

// newWorld makes the hosts and sets the pair up once, by mcctl init.
func newWorld(ctx context.Context, o options) (*world, error) {
	w := &world{options: o, name: os.Getenv(insideEnv), hosts: map[string]*host{}}
	w.root, w.dir = os.Getenv(imageEnv), filepath.Join("/tmp", w.name)
	w.golden = filepath.Join(w.dir, "golden")
	if _, err := os.Stat(o.mcctl); err != nil {
		return nil, fmt.Errorf("find the mcctl program: %w; build it by: make build", err)
	}
	if err := furnish(w.dir); err != nil {
		return nil, err
	}
	var err error
	if w.groups, err = cgroups(); err != nil {
		return nil, err
	}
	if err := w.weigh(); err != nil {
		return nil, err
	}
	if err := layNetwork(hostNames()); err != nil {
		return nil, err
	}
	if err := w.net.apply(); err != nil {
		return nil, err
	}
	for _, name := range hostNames() {
		w.hosts[name] = &host{w: w, name: name}
	}
	if o.arbiter == "command" {
		if err := w.servePowerSwitch(); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	if err := w.setUp(ctx); err != nil {
		err = errors.Join(fmt.Errorf("set the pair up: %w", err), w.keepLogs("setup"))
		w.close()
		return nil, err
	}
	w.say("three hosts are set up (%.0f s)", time.Since(began).Seconds())
	return w, nil
}

// findUp finds a file of the repository from wherever in it we are: a test is in its
// package, a command at the top.
func findUp(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if dir == "/" {
			return "", fmt.Errorf("%s is not found above the present directory: run this inside the repository", name)
		}
	}
}

// fresh powers everything off and gives every host a new system and the disks of the
// pair as it was set up, changed as the scenario wants it.
func (w *world) fresh(s *scenario) error {
	if err := w.down(); err != nil {
		return err
	}
	w.apart, w.clocks = false, s.clocks
	for _, h := range w.hosts {
		if err := os.RemoveAll(h.dir()); err != nil {
			return err
		}
		if err := h.make(); err != nil {
			return err
		}
		if err := run("cp", "--sparse=always", filepath.Join(w.golden, h.name), h.image()); err != nil {
			return err
		}
	}
	if w.apart = s.apart; !s.apart {
		return nil
	}
	return errors.Join(w.hosts["a"].spread(), w.hosts["b"].spread())
}

// down ends all hosts at once, whatever state they are in, and heals the network.
func (w *world) down() error {
	err := w.net.heal()
	for _, h := range w.hosts {
		err = errors.Join(err, h.end())
	}
	return err
}

func (w *world) close() {
	if err := w.down(); err != nil {
		w.say("take down: %v", err)
	}
}

// keepLogs ends all hosts, and copies what tells of a failure to a place that stays. Disks
// of a host that is off are not mounted, and those with a fault cannot be read, so each
// gets power once more.
func (w *world) keepLogs(name string) error {
	if err := w.down(); err != nil {
		return err
	}
	dir := filepath.Join(w.keep, name)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, h := range w.hosts {
		_ = h.plugIn() // what cannot be mounted has nothing to keep
		for from, to := range map[string]string{
			h.disk() + "/orders/log/events.jsonl": "events.jsonl", h.disk() + "/orders/log/postgresql.log": "postgresql.log", h.dir() + "/console": "console",
		} {
			if text, err := os.ReadFile(from); err == nil {
				_ = os.WriteFile(filepath.Join(dir, h.name+"."+to), text, 0o644)
			}
		}
		journal, _ := exec.Command("journalctl", "-q", "--no-pager", "-o", "short-precise", "-D", h.dir()+"/upper/var/log/journal").Output()
		_ = os.WriteFile(filepath.Join(dir, h.name+".journal"), journal, 0o644)
	}
	return nil
}
