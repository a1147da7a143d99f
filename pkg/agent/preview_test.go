package agent

import (
	"strings"
	"testing"

	"mcctl/pkg/board"
	"mcctl/pkg/check"
)

// A server whose disk fails cannot be stopped in good order, and with failover off nobody
// hands over unasked.
func TestASwitchFromAFailingDiskIsRefused(t *testing.T) {
	a := someAgent(t)
	for _, h := range a.conditions(board.Sight{DiskFailed: true, DiskError: "/data: input/output error"}) {
		if h.ID == "disk" && h.State == check.Blocker && strings.Contains(h.Text, "input/output error") && strings.Contains(h.Text, "enable-failover") {
			return
		}
	}
	t.Error("the disk is not in the way")
}
