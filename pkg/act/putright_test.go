package act

import (
	"os"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/pair"
)

// Somebody saves postgresql.conf in place: for a moment it is empty.
func TestPutRightWaitsForWhoIsWriting(t *testing.T) {
	h, _ := newHands(t, theirs(pair.Alone))
	path := h.Config.Server.ConfigFile
	whole := content(t, path) + "work_mem = 12345\n"
	ok(t, os.Truncate(path, 0))
	outcome := make(chan error, 1)
	go func() { outcome <- h.PutRight(within(t)) }()
	time.Sleep(calm / 2)
	ok(t, os.WriteFile(path, []byte(whole), 0o600))
	ok(t, <-outcome)
	if now := content(t, path); !strings.Contains(now, "work_mem = 12345\n") {
		t.Errorf("what was written is lost; the file is now:\n%s", now)
	}
	if !waitsForStandby(t, h) {
		t.Error("the managed lines were not put right")
	}
}
