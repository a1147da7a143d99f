package arbiter

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"mcctl/pkg/clock"
	"mcctl/test/fault"
)

// The network is silent when a change is sent, and who sent it goes on after a while by what
// another member says. It must not arrive later, out of this host's own queue.
func TestAChangeThatWasGivenUpIsNotSentLater(t *testing.T) {
	if !fault.Inside(t) {
		return
	}
	var questions, changes atomic.Int32
	member := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if questions.Add(1); r.URL.Path == "/v3/kv/txn" {
			changes.Add(1)
		}
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(member.Close)
	c, err := newEtcdClient(EtcdWorld{Clock: clock.Machine}, EtcdConfig{Endpoints: []string{member.URL}, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string, patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return c.call(ctx, path, struct{}{}, &struct{}{}, true)
	}
	if err := ask("/v3/kv/range", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	fault.Network(t, false)
	if err := ask("/v3/kv/txn", 300*time.Millisecond); err == nil {
		t.Fatal("there is a network")
	}
	fault.Network(t, true)
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end) && changes.Load() == 0; time.Sleep(10 * time.Millisecond) {
	}
	if changes.Load() != 0 {
		t.Error("the change arrived when nobody waited for it any more")
	}
	if err := ask("/v3/kv/range", 10*time.Second); err != nil || questions.Load() < 2 {
		t.Errorf("the member is not reached: %v", err)
	}
}
