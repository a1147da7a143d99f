package act

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

// Started while somebody saves postgresql.conf, a server may have met a half without its
// port. It is stopped again; the next start finds the whole.
func TestAServerThatNobodyReachesIsStoppedAgain(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Alone))
	conf, s := h.Config.Server.ConfigFile, h.Config.Server.Postgres
	whole := content(t, conf)
	half := strings.Replace(whole, fmt.Sprintf("port = %d", s.Port), fmt.Sprintf("port = %d", freePort(t)), 1)
	ok(t, os.WriteFile(conf, []byte(half), 0o600))
	if err := h.StartOpen(within(t)); !errors.Is(err, postgres.ErrElsewhere) {
		t.Errorf("half a file: %v", err)
	}
	if pid, running := h.Postgres.Postmaster(); running {
		t.Errorf("it still runs as %d", pid)
	}
	ok(t, os.WriteFile(conf, []byte(whole), 0o600))
	ok(t, h.StartOpen(within(t)))
}
