package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/check"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// playLooker is the child that looks: it hangs while its file says so.
func playLooker(dir string) {
	if text, err := os.ReadFile(filepath.Join(dir, "hangs")); err == nil {
		fmt.Print(string(text)) // as far as it came
		time.Sleep(time.Hour)
	}
	_ = json.NewEncoder(os.Stdout).Encode(check.Side{Server: "server1", Missing: map[check.Area]string{check.Supervisor: "not asked"}})
	os.Exit(0)
}

// An inspection on a hung disk hangs a child, not the supervisor: who asks is told, and
// when the disk answers again the next one is looked for.
func TestAnInspectionOnAHungDiskIsAnswered(t *testing.T) {
	a := someAgent(t)
	a.looker.Patience = 300 * time.Millisecond
	hangs := a.config.Path("hangs")
	ok(t, os.WriteFile(hangs, []byte(`{"Server":`), 0o600))
	for range 2 {
		_, err := a.Handle(t.Context(), otherServer, wire.KindInspect, body(wire.InspectRequest{}))
		if err == nil || !strings.Contains(err.Error(), "inspect server1: looking did not end within 300ms: perhaps a disk hangs") {
			t.Errorf("it hangs, and the answer is %v", err)
		}
	}
	ok(t, os.Remove(hangs))
	a.looker.Patience = limit
	answer, err := a.Handle(t.Context(), otherServer, wire.KindInspect, body(wire.InspectRequest{}))
	ok(t, err)
	var side check.Side
	ok(t, json.Unmarshal(answer.(wire.InspectAnswer).Side, &side))
	if _, missing := side.Missing[check.Supervisor]; side.Server != pair.Server("server1") || missing || side.Supervisor == nil {
		t.Errorf("it saw %+v", side)
	}
}
