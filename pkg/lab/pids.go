package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mcctl/pkg/pair"
)

// Pids are the processes of a lab, to kill, freeze and watch; 0 where there is
// none.
type Pids struct {
	Servers map[pair.Server]ServerPids `json:"servers"`
	Witness int                        `json:"witness"`
	// WitnessWatch starts the witness again if it dies.
	WitnessWatch int `json:"witness_watch"`
	// Etcd are the members of the lab's etcd; nil in a lab without one.
	Etcd []int `json:"etcd,omitempty"`
}

// ServerPids are the processes of one server.
type ServerPids struct {
	Supervisor  int `json:"supervisor"`
	Watch       int `json:"watch"` // starts the supervisor again if it dies
	Postmaster  int `json:"postmaster"`
	Walreceiver int `json:"walreceiver"` // on a standby
	Walsender   int `json:"walsender"`   // on a primary, the one that feeds the other server
}

// Pids looks into /proc. It does not ask anyone, so it also works while the
// processes are frozen, and sees what is there rather than what ought to be.
func (l *Lab) Pids() Pids {
	all := processes()
	pids := Pids{Servers: map[pair.Server]ServerPids{}}
	pids.Witness, pids.WitnessWatch = daemons(all, l.ArbiterDir())
	pids.Etcd = l.etcdPids(all)
	for _, s := range servers() {
		pids.Servers[s] = l.serverPids(all, s)
	}
	return pids
}

func (l *Lab) serverPids(all []process, s pair.Server) (p ServerPids) {
	p.Supervisor, p.Watch = daemons(all, l.Mcdir(s))
	p.Postmaster = postmaster(all, l.Data(s))
	for _, c := range all {
		switch {
		case p.Postmaster == 0 || c.parent != p.Postmaster:
		case strings.Contains(c.title(), "walreceiver"):
			p.Walreceiver = c.pid
		case strings.Contains(c.title(), "walsender "+replicationRole) && !strings.Contains(c.title(), "backup"):
			p.Walsender = c.pid
		}
	}
	return p
}

// postmaster is the process that the data directory names, if PostgreSQL works there:
// the pid in the file may be another's by now.
func postmaster(all []process, data string) int {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0
	}
	if at, err := filepath.EvalSymlinks(data); err == nil { // the kernel tells a working directory without links
		data = at
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(line)
	for _, p := range all {
		if p.pid == pid && p.worksIn(data) {
			return pid
		}
	}
	return 0
}

// daemons finds the supervisor or witness of a management directory, and the
// watch that starts it again if it dies.
func daemons(all []process, mcdir string) (daemon, watch int) {
	for _, p := range all {
		if p.startedBy(all, mcdir) {
			continue
		}
		switch p.serves(mcdir) {
		case "supervise", "arbitrate":
			daemon = p.pid
		case "watch-supervisor", "watch-arbiter":
			watch = p.pid
		}
	}
	return daemon, watch
}

// startedBy: the process is what a daemon of the directory is just starting, and has its
// command line for as long as it is not yet another program.
func (p process) startedBy(all []process, mcdir string) bool {
	role := p.serves(mcdir)
	return role != "" && slices.ContainsFunc(all, func(of process) bool {
		return of.pid == p.parent && of.serves(mcdir) == role
	})
}

// process is one line of ps.
type process struct {
	pid, parent int
	args        []string
}

// processes lists what is running; zombies have no arguments and are left out.
func processes() []process {
	dirs, _ := filepath.Glob("/proc/[1-9]*")
	var all []process
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		cmdline, errRead := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || errRead != nil || len(cmdline) == 0 {
			continue
		}
		all = append(all, process{pid, parentOf(dir), strings.Split(string(bytes.TrimRight(cmdline, "\x00")), "\x00")})
	}
	return all
}

// parentOf reads the fourth field of /proc/PID/stat; the second, the name, may
// hold blanks and brackets, so counting begins behind its end (proc_pid_stat(5)).
func parentOf(dir string) int {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

func (p process) title() string { return strings.Join(p.args, " ") }

func (p process) workdir() string { return p.link("cwd") }

func (p process) link(name string) string {
	to, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(p.pid), name))
	return to
}

// worksIn tells whether the process is of PostgreSQL in a data directory; an operator's
// shell, or psql, may stand there too. The program may have been replaced by an update.
func (p process) worksIn(data string) bool {
	return p.workdir() == data && filepath.Base(strings.TrimSuffix(p.link("exe"), " (deleted)")) == "postgres"
}

// serves is the long-lived mcctl command that the process is for the management
// directory; "" if it is something else, a short command for example.
func (p process) serves(mcdir string) string {
	long := []string{"supervise", "watch-supervisor", "arbitrate", "watch-arbiter"}
	if len(p.args) < 2 || !slices.Contains(long, p.args[1]) || !slices.Contains(p.args[2:], mcdir) {
		return ""
	}
	return p.args[1]
}
