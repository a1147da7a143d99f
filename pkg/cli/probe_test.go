package cli

import (
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"mcctl/pkg/probe"
)

func TestProbeNeedsADatabase(t *testing.T) {
	mcctl(t.Context(), "probe").wants(t, exitUsage, "no connection string", "mcctl lab env")
	mcctl(t.Context(), "probe", "--uri", "port=nonsense").wants(t, exitFailed, "check the connection string")
}

// A read in the background of a terminal fails then, and no longer stops the whole process.
func TestProbeInTheBackgroundGoesOn(t *testing.T) {
	signal.Reset(syscall.SIGTTIN)
	t.Cleanup(func() { signal.Reset(syscall.SIGTTIN) })
	mcctl(t.Context(), "probe", "--uri", "port=nonsense").wants(t, exitFailed)
	if !signal.Ignored(syscall.SIGTTIN) {
		t.Error("to look for marks would stop it")
	}
}

func TestProbeMarks(t *testing.T) {
	marks := make(chan probe.Mark)
	go passMarks(t.Context(), strings.NewReader("switch\n\n  kill -9 \n"), marks)
	for _, want := range []string{"switch", "kill -9"} {
		if got := <-marks; got.Name != want || got.At.IsZero() {
			t.Errorf("got %+v, want %s", got, want)
		}
	}
}

func TestLabCommandsNeedALab(t *testing.T) {
	dir := t.TempDir()
	for _, command := range []string{"status", "env", "pids"} {
		mcctl(t.Context(), "lab", command, dir).wants(t, exitFailed, "there is no lab here")
	}
	mcctl(t.Context(), "lab", "down", dir).wants(t, exitDone, "the lab is stopped")
}
