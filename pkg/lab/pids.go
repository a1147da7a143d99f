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
	pids.Witness, _ = daemons(all, l.ArbiterDir())
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

// postmaster is the process that the data directory names, if it works there:
// the pid in the file may be another's by now.
func postmaster(all []process, data string) int {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(line)
	for _, p := range all {
		if p.pid == pid && p.workdir() == data {
			return pid
		}
	}
	return 0
}

// daemons finds the long-lived mcctl processes of a management directory, which
// they have among their arguments. The watch is the supervisor's parent.
func daemons(all []process, mcdir string) (supervisor, watch int) {
	found := map[int]process{}
	for _, p := range all {
		if p.serves(mcdir) {
			found[p.pid] = p
		}
	}
	for pid, p := range found {
		if _, ok := found[p.parent]; ok {
			return pid, p.parent
		}
		if slices.Contains(p.args, "watch") {
			watch = pid
		} else {
			supervisor = pid
		}
	}
	return supervisor, watch
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

func (p process) workdir() string {
	dir, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(p.pid), "cwd"))
	return dir
}

// serves tells a daemon of the management directory from a command that somebody
// is just running on it.
func (p process) serves(mcdir string) bool {
	if !strings.HasPrefix(filepath.Base(p.args[0]), "mcctl") || !slices.Contains(p.args, mcdir) {
		return false
	}
	commands := []string{"start", "stop", "status", "switch", "attach", "detach", "rebuild", "events", "explain", "check", "config", "probe"}
	return !slices.ContainsFunc(p.args[1:], func(arg string) bool { return slices.Contains(commands, arg) })
}
