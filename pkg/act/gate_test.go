package act

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"mcctl/pkg/board"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

// process starts a process with the given arguments and returns its pid.
func process(t *testing.T, args ...string) int {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", "read forever", "postgres"}, args...)...)
	stdin, err := cmd.StdinPipe()
	ok(t, err)
	ok(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	// Until exec is done the command line is still our own.
	eventually(t, "the process runs", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid))
		return err == nil && strings.Contains(string(b), "read forever")
	})
	return cmd.Process.Pid
}

func TestTheGateIsALinkToItsOwnText(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Paired))
	site := "local all all peer\nhost all all 192.0.2.0/24 scram-sha-256\nhost replication repl 192.0.2.2/32 scram-sha-256\n"
	ok(t, os.WriteFile(h.Config.Server.HBAFile, []byte(site), 0o600))
	var gate Gate
	for range 2 { // again after a crash
		var err error
		gate, err = h.closeGate()
		ok(t, err)
		if to, err := os.Readlink(h.gateLink()); err != nil || to != h.gateShut() {
			t.Errorf("the link leads to %s, %v", to, err)
		}
	}
	text := content(t, gate.HBAFile)
	for _, want := range []string{`local "postgres" "postgres" peer` + "\n", "host replication repl 192.0.2.2/32 scram-sha-256\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the gate says %q, not %q", text, want)
		}
	}
	if strings.Contains(text, "192.0.2.0") {
		t.Errorf("the gate lets clients in: %q", text)
	}
	ok(t, h.site().TurnGate())
	if content(t, gate.HBAFile) != site || content(t, h.Config.Server.HBAFile) != site {
		t.Error("the open gate does not lead to the site's own file, or that has changed")
	}
	ok(t, os.Remove(h.Config.Server.HBAFile))
	_, err := h.closeGate()
	fails(t, err, "read client authentication")
}

func TestGatedGoesByTheCommandLineAndTheText(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Paired))
	gate, err := h.closeGate()
	ok(t, err)
	behind := process(t, "-c", "hba_file="+gate.HBAFile)
	before := process(t, "-c", "hba_file=/etc/pg_hba.conf")
	gated := func(when string, pid int, want bool) {
		t.Helper()
		if got := h.Gated(pid); got != want {
			t.Errorf("%s: gated %v, want %v", when, got, want)
		}
	}
	gated("started behind the gate", behind, true)
	gated("started with the site's file", before, false)
	gated("no such process", 0, false)
	ok(t, h.site().TurnGate())
	gated("turned, but nobody knows whether PostgreSQL has read it", behind, true)
	ok(t, h.site().GateIsOpen(before))
	gated("another one is open", behind, true)
	ok(t, h.site().GateIsOpen(behind))
	gated("the gate is open", behind, false)
}

// client tries to get in as an application does.
func client(t *testing.T, h *Hands) error {
	t.Helper()
	app := &postgres.Instance{Socket: server(h).Socket, Port: server(h).Port, User: "app", Database: "postgres"}
	return app.Knock(within(t))
}

func TestClientsComeInWhenTheGateOpens(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Alone))
	ok(t, h.StartGated(within(t)))
	look(h)
	pid := h.Board.Read().PID
	if !h.Gated(pid) {
		t.Error("the postmaster is not behind the gate")
	}
	h.Board.Set(func(s *board.Sight) { s.Gated = true })
	fails(t, client(t, h), "pg_hba.conf")
	ok(t, server(h).Knock(within(t)))

	ok(t, h.OpenGate(within(t)))
	if h.Board.Read().Gated || h.Gated(pid) {
		t.Error("the gate still counts as closed")
	}
	eventually(t, "clients get in", func() bool { return client(t, h) == nil })
	ok(t, h.OpenGate(within(t)))
}

// Commits that waited at the crash are visible now: without the standby's word
// nobody may see them.
func TestThePairedGateStaysClosedWithoutTheStandby(t *testing.T) {
	h, other := newHands(t, copyOf(3, 8, pair.Paired))
	other.answer = refuseAll
	ok(t, h.StartGated(within(t)))
	look(h)
	if !waitsForStandby(t, h) {
		t.Error("a paired primary starts without the names")
	}
	h.Board.Set(func(s *board.Sight) { s.Gated = true })
	fails(t, h.OpenGate(within(t)), "pause replay on server2", errPlanned.Error())
	if !h.Board.Read().Gated || !h.Gated(h.Board.Read().PID) {
		t.Error("the gate is open")
	}
	fails(t, client(t, h), "pg_hba.conf")
}
