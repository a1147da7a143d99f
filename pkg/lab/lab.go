// Package lab sets up a complete pair on this machine, two PostgreSQL servers,
// their supervisors and an arbiter below one directory, to learn, test and
// demonstrate on. It is not a way to install a pair for work: everything shares
// one host and one disk. It knows how the pieces are configured, never what they
// decide. The lab commands, the demonstration and tests call it.
package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
)

// Names of everything in a lab. They are fixed: a lab is there to be read about.
const (
	PairName = "lab"
	Server1  = pair.Server("server1")
	Server2  = pair.Server("server2")
)

// servers in the order in which they are started.
func servers() []pair.Server { return []pair.Server{Server1, Server2} }

// Options say what kind of lab to make. A lab that exists keeps what it was made
// with; Up refuses options that contradict it.
type Options struct {
	Dir     string // where everything goes; made if missing
	Arbiter string // "witness" (default), "etcd" (three members), "command" or "none"
	Port    int    // first of a block of 21 ports on 127.0.0.1; 0 chooses a free block
	BinDir  string // PostgreSQL's server programs; "" finds the newest
	User    string // when started as root: the user that everything runs as; "" is postgres, else mcctl
	// Settings are added to both postgresql.conf; they win over the lab's own.
	Settings map[string]string
	Profile  string // timings profile of pair.toml; "" is "default"
	Spare    bool   // arbiters of all kinds are there, to move to
	Settling bool   // a standby that is lost again and again is attached less often, as in a real pair
	Mcctl    string // path of the mcctl program; "" looks in PATH
	// Template is a directory that keeps what initdb makes, for one lab after the other to
	// copy: to PostgreSQL they are all the same cluster. Made if missing; "" for none.
	Template string
	Out      io.Writer // a line for each step; nil for none
}

// Lab is a pair that Up has made.
type Lab struct {
	Dir   string
	state state
	run   account
	out   io.Writer
	// template is Options.Template.
	template string
	// release ends the claim on the ports that were chosen.
	release func()
}

// state is lab.json: what must be known to go on after a kill at any point.
type state struct {
	Arbiter  string            `json:"arbiter"`
	Port     int               `json:"port"`
	BinDir   string            `json:"bin_directory"`
	User     string            `json:"user"`
	Settings map[string]string `json:"settings,omitempty"`
	Profile  string            `json:"profile"`
	Settling bool              `json:"settling,omitempty"`
	Spare    bool              `json:"spare,omitempty"`
	Mcctl    string            `json:"mcctl"`
	// Built is set once all directories are complete. Until then they are thrown
	// away and made again: nothing in them was ever used.
	Built bool `json:"built"`
}

// ErrNoLab tells that the directory holds no lab.
var ErrNoLab = errors.New("there is no lab here; make one with mcctl lab up")

// Open finds the lab in dir again. It starts nothing. The error is ErrNoLab if
// there is none.
func Open(dir string) (*Lab, error) {
	l := &Lab{out: io.Discard}
	var err error
	if l.Dir, err = realDir(dir); err == nil {
		err = durable.ReadJSON(l.path("lab.json"), &l.state)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open lab %s: %w", dir, ErrNoLab)
	}
	if err != nil {
		return nil, fmt.Errorf("open lab: %w", err)
	}
	l.run, err = findAccount(l.state.User)
	if err != nil {
		return nil, fmt.Errorf("open lab %s: %w", dir, err)
	}
	return l, nil
}

// realDir is a directory by the name that the kernel has for it, without links: a process
// is found by that.
func realDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// save writes lab.json; it belongs to the user that everything runs as.
func (l *Lab) save() error {
	path := l.path("lab.json")
	if err := durable.WriteJSON(path, l.state, 0o644); err != nil {
		return fmt.Errorf("save lab: %w", err)
	}
	return l.run.own(path)
}

func (l *Lab) say(format string, args ...any) { fmt.Fprintf(l.out, format+"\n", args...) }

func (l *Lab) path(elem ...string) string {
	return filepath.Join(append([]string{l.Dir}, elem...)...)
}

// Mcdir is the management directory of a server.
func (l *Lab) Mcdir(s pair.Server) string { return l.path(string(s), "mcdir") }

// Data is the data directory of a server.
func (l *Lab) Data(s pair.Server) string { return l.path(string(s), "data") }

// Mcctl is the mcctl program that the lab runs.
func (l *Lab) Mcctl() string { return l.state.Mcctl }

// BinDir is where the lab's PostgreSQL programs are.
func (l *Lab) BinDir() string { return l.state.BinDir }

// ArbiterDir is the management directory of the witness; it does not exist in a
// lab without one.
func (l *Lab) ArbiterDir() string { return l.path("arbiter", "mcdir") }

// ClientPort is where clients reach a server's PostgreSQL on 127.0.0.1.
func (l *Lab) ClientPort(s pair.Server) int { return l.state.Port + number(s) }

func (l *Lab) adminPort(s pair.Server) int { return l.state.Port + 10 + number(s) }

// has tells whether the lab has an arbiter of that kind, in use or to spare.
func (l *Lab) has(kind string) bool { return l.state.Arbiter == kind || l.state.Spare }

// WitnessAddress is where the witness listens.
func (l *Lab) WitnessAddress() string { return local(l.witnessPort()) }

// EtcdEndpoints are the members of the lab's etcd.
func (l *Lab) EtcdEndpoints() (all []string) {
	for i := range etcdMembers {
		all = append(all, l.etcdClient(i))
	}
	return all
}

func (l *Lab) witnessPort() int { return l.state.Port + witnessOffset }

func number(s pair.Server) int {
	if s == Server1 {
		return 1
	}
	return 2
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Env is what a shell needs to work with the lab: MC1, MC2 and MCARB are the
// management directories, PGURI is how clients connect to whichever server is
// primary. Its password is in a passfile, not in the URI.
func (l *Lab) Env() map[string]string {
	env := map[string]string{
		"MC1": l.Mcdir(Server1),
		"MC2": l.Mcdir(Server2),
		"PGURI": fmt.Sprintf("postgresql://app@%s,%s/app?target_session_attrs=read-write&connect_timeout=2&sslmode=disable&passfile=%s",
			local(l.ClientPort(Server1)), local(l.ClientPort(Server2)), strings.ReplaceAll(url.QueryEscape(l.path("pgpass")), "+", "%20")),
	}
	if l.has("witness") {
		env["MCARB"] = l.ArbiterDir()
	}
	return env
}

// empty tells whether a directory holds nothing but what a write that was cut off left
// (or does not exist).
func empty(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	kept := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !durable.Leftover(e.Name()) })
	return !kept, err
}
