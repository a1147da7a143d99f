package act

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

// An operator's stop does not wait for wal_sender_timeout (a minute) for who is not reached.
func TestAStopEndsAWalsenderThatGetsOnNoMore(t *testing.T) {
	t.Run("it has sent everything", func(t *testing.T) { stopBesideFrozen(t, func(*postgres.Instance) {}) })
	// Then PostgreSQL does not come to its shutdown checkpoint.
	t.Run("it has more to send than the connection takes", func(t *testing.T) {
		stopBesideFrozen(t, func(in *postgres.Instance) {
			for range 8 {
				sql(t, in, "select pg_logical_emit_message(false, 'a', repeat('x', 1000000))")
			}
		})
	})
}

func stopBesideFrozen(t *testing.T, then func(*postgres.Instance)) {
	t.Helper()
	h, _ := newHands(t, copyOf(3, 8, pair.Alone))
	var mu sync.Mutex
	var told []string
	h.Tell = func(text string) { mu.Lock(); defer mu.Unlock(); told = append(told, text) }
	pid := started(t, h)
	in := server(h)
	conninfo := fmt.Sprintf("host=%s port=%d user=%s", in.Socket, in.Port, in.User)
	receiver := exec.Command(filepath.Join(bin(), "pg_receivewal"), "-D", t.TempDir(), "-d", conninfo)
	ok(t, receiver.Start())
	t.Cleanup(func() { _ = receiver.Process.Kill(); _ = receiver.Wait() })
	eventually(t, "it has received everything", func() bool {
		for _, shown := range in.Senders(pid) {
			return strings.HasSuffix(shown, "streaming "+sql(t, in, "select pg_current_wal_flush_lsn()"))
		}
		return false
	})
	freeze(t, receiver.Process.Pid)
	then(in)
	began := time.Now()
	ok(t, h.stop(within(t), time.Hour))
	if took := time.Since(began); took < fastPatience || took > 30*time.Second {
		t.Errorf("that took %s", took)
	}
	if c := control(t, h); c.State != postgres.ShutDown {
		t.Errorf("it was stopped as %s", c.State)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 1 || !strings.Contains(told[0], "walsender") {
		t.Errorf("told: %q", told)
	}
}
