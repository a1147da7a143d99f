package pair

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// asMC is a stage that is operated by mc_ctl.
type asMC struct {
	*stage
	bin string // where the links are
}

func newAsMC(t *testing.T, opt lab.Options) *asMC {
	m := &asMC{newStage(t, opt), t.TempDir()}
	out := m.page("docs/mc_ctl.md", "mcctl symlinks", m.bin, "/usr/local/bin", m.bin, "/mcdir/inst1", m.lab.Mcdir(one))
	if !strings.Contains(out, "mirroring status") {
		t.Errorf("the block of the page says\n%s", out)
	}
	return m
}

// mc runs mc_ctl on a server.
func (m *asMC) mc(of pair.Server, args ...string) (out string, exit int) {
	m.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	b, err := exec.CommandContext(ctx, filepath.Join(m.bin, "mc_ctl"), append(args, "-M", m.lab.Mcdir(of))...).CombinedOutput()
	if err != nil && exitOf(err) == 0 {
		m.Fatalf("mc_ctl %s: %v", strings.Join(args, " "), err)
	}
	return string(b), exitOf(err)
}

// does runs mc_ctl, which must succeed.
func (m *asMC) does(of pair.Server, args ...string) string {
	m.Helper()
	out, exit := m.mc(of, args...)
	if exit != 0 {
		m.Fatalf("mc_ctl %s on %s: exit status %d\n%s", strings.Join(args, " "), of, exit, out)
	}
	return out
}

// says waits until mc_ctl status on a server has these texts, as a runbook's loop
// with grep does.
func (m *asMC) says(of pair.Server, texts ...string) {
	m.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		out, _ := m.mc(of, "status", "--arbiter")
		missing := false
		for _, text := range texts {
			missing = missing || !strings.Contains(squeeze(out), text)
		}
		if !missing {
			return
		}
		if time.Since(began) > patience {
			m.Fatalf("mc_ctl status on %s does not come to say %q:\n%s", of, texts, out)
		}
	}
}

// squeeze makes one blank of many: column widths change with what is in them.
func squeeze(table string) string {
	var lines []string
	for line := range strings.Lines(table) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

// The runbook of a rolling update, as it was written for Mirroring Controller.
func TestRollingUpdateByMcCtl(t *testing.T) {
	m := newAsMC(t, lab.Options{})
	well := "\nswitchable\nserver_id host_role host host_status db_proc_status disk_status\n"
	for _, of := range []pair.Server{one, two} {
		m.says(of, well, "server1 primary 127.0.0.1 normal normal normal", "server2 standby 127.0.0.1 normal normal normal", "arbiter 127.0.0.1 online")
	}
	m.does(two, "stop")
	m.says(one, "\nnot-switchable\n", "server2 none(inactivated standby) 127.0.0.1 normal abnormal(postmaster) unknown")
	if out, exit := m.mc(two, "status"); exit == 0 || !strings.Contains(out, "ERROR: ") {
		t.Errorf("status of a stopped server: %d\n%s", exit, out)
	}
	m.flowing()
	m.does(two, "start", "-w", "-f")
	if out := m.does(one, "status"); !strings.Contains(out, "\nswitchable\n") {
		t.Errorf("after start -w, which waits:\n%s", out)
	}
	m.does(two, "switch") // from the standby
	m.says(two, well, "server2 primary", "server1 standby")
	m.does(one, "stop")
	m.does(one, "start", "-w", "-f")
	m.does(two, "switch")
	m.says(one, well, "server1 primary")

	m.does(one, "disable-failover")
	m.says(two, "\nfailover-disabled\n")
	m.does(two, "enable-failover")
	m.says(one, well)
	m.does(two, "stop")
	m.does(two, "start", "-F")
	m.says(one, "\nfailover-disabled\n")
	m.does(two, "stop")
	m.does(two, "start") // enabled, as from version 10 on
	m.says(one, well)
}

// After a failover the word is switched, and only the attach makes it switchable.
func TestMcCtlAfterAFailover(t *testing.T) {
	m := newAsMC(t, lab.Options{})
	p := m.lab.Pids().Servers[one]
	m.kill(p.Watch, p.Supervisor, p.Postmaster)
	m.says(two, "\nswitched\n", "server2 primary", "server1 none(inactivated standby)")
	m.does(one, "start", "-W")
	m.says(two, "\nswitchable\n", "server1 standby")
	m.does(two, "detach", "--no-fencing")
	m.says(two, "\nnot-switchable\n", "server1 standby 127.0.0.1 normal normal normal")
	m.does(one, "stop")
	m.does(one, "start") // attaches what was detached
	m.says(one, "\nswitchable\n")
}

// The primary keeps the word of an operator who has detached the standby: a start of the
// standby takes it back when it meets the primary, and does not promise it otherwise.
func TestMcCtlStartsADetachedStandbyFirst(t *testing.T) {
	m := newAsMC(t, lab.Options{})
	m.does(two, "detach")
	m.does(one, "stop", "-a")
	out, exit := m.mc(two, "start", "--timeout", "3s")
	if exit != 3 || !strings.Contains(out, "server2 is started, but not attached after 3s") || !strings.Contains(out, "if server2 was detached: mc_ctl start") {
		t.Errorf("without the primary: exit status %d\n%s", exit, out)
	}
	met := make(chan string, 1)
	go func() { out, exit := m.mc(two, "start"); met <- fmt.Sprint(exit, "\n", out) }()
	m.does(one, "start")
	if out := <-met; !strings.HasPrefix(out, "0\n") || !strings.Contains(out, "server2 is attached") {
		t.Errorf("with the primary: exit status %s", out)
	}
	m.says(one, "\nswitchable\n")
}

// stop -a from either side, in every state that an operator may meet.
func TestStopOfBothInEveryState(t *testing.T) {
	m := newAsMC(t, lab.Options{})
	left := func(what string, is func(lab.ServerPids) bool) {
		m.Helper()
		m.eventually(what, func() bool {
			p := m.lab.Pids().Servers
			return is(p[one]) && is(p[two])
		})
	}
	down := func(what string) {
		m.Helper()
		left("nothing is left, "+what, func(p lab.ServerPids) bool { return p.Supervisor == 0 && p.Postmaster == 0 && p.Watch == 0 })
	}
	up := func() {
		m.Helper()
		m.does(one, "start", "-W")
		m.does(two, "start")
		m.says(one, "\nswitchable\n")
	}
	for _, of := range []pair.Server{one, two} {
		m.does(of, "stop", "-a")
		down("paired, from " + string(of))
		up()
	}
	for _, of := range []pair.Server{one, two} {
		m.does(two, "detach")
		m.does(of, "stop", "-a")
		down("detached, from " + string(of))
		up()
	}
	m.does(one, "disable-failover")
	m.does(two, "stop", "-a")
	down("failover disabled")
	up()

	m.does(two, "stop")
	if out := m.does(one, "stop", "-a"); !strings.Contains(out, "server2 was down already") {
		t.Errorf("the other one was down:\n%s", out)
	}
	down("the other one was down")
	up()

	m.endWitness()
	m.does(two, "stop", "-a")
	down("without the arbiter")
	m.startWitness()
	up()

	m.does(two, "stop", "--mc-only") // its PostgreSQL goes on
	out, exit := m.mc(one, "stop", "-a")
	if exit == 0 || !strings.Contains(out, "server1 is stopped, but server2 was not stopped") {
		t.Errorf("the other PostgreSQL goes on: exit status %d\n%s", exit, out)
	}
	if p := m.lab.Pids().Servers; p[one].Postmaster != 0 || p[two].Postmaster == 0 {
		t.Errorf("left: %+v", p)
	}
	m.does(two, "stop", "-e")
	down("stop -e")
	up()
	m.does(one, "stop", "-a", "--mc-only")
	left("PostgreSQL alone is left", func(p lab.ServerPids) bool { return p.Supervisor == 0 && p.Watch == 0 && p.Postmaster != 0 })
	up()
	m.flowing()
}

// A forced switch by mc_ctl says what may be lost and asks nothing.
func TestForcedSwitchByMcCtl(t *testing.T) {
	m := newAsMC(t, lab.Options{Arbiter: "none"})
	p := m.lab.Pids().Servers[one]
	m.kill(p.Watch, p.Supervisor, p.Postmaster)
	m.until("the primary is missed", two, func(st wire.Status) bool { return st.Servers[0].Supervisor != "here" })
	out := m.does(two, "switch", "--force", "--no-fencing")
	if !strings.Contains(out, "WARNING: server2 will take over by force") {
		t.Errorf("what may be lost was not said:\n%s", out)
	}
	m.says(two, "\nswitched\n", "server2 primary")
	m.flowing()
}
