package cli

import (
	"strings"
	"testing"

	"mcctl/pkg/probe"
)

func TestProbeNeedsADatabase(t *testing.T) {
	mcctl(t.Context(), "probe").wants(t, exitUsage, "no connection string", "mcctl lab env")
	mcctl(t.Context(), "probe", "--uri", "port=nonsense").wants(t, exitFailed, "check the connection string")
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
