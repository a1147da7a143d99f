package witness

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// What one pair's server makes up neither stays in memory, nor fills the log or the
// status, which all pairs share.
func TestWhatNoServerSaysIsRefused(t *testing.T) {
	var log bytes.Buffer
	w, err := New(Config{Records: t.TempDir(), HeartbeatTimeout: time.Minute, Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	t.Cleanup(func() { w.unlock() })
	w.found(t, "lab")
	for _, made := range []string{strings.Repeat("x", 1<<20), "\x1b[2J", "a\nb"} {
		for what, spoil := range map[string]func(*wire.WitnessReport){
			"postgres": func(r *wire.WitnessReport) { r.Postgres = made },
			"pair":     func(r *wire.WitnessReport) { r.Known.Pair = made },
			"primary":  func(r *wire.WitnessReport) { r.Known.Primary = pair.Server(made) },
			"mode":     func(r *wire.WitnessReport) { r.Known.Mode = pair.Mode(made) },
			"moved":    func(r *wire.WitnessReport) { r.Known.Moved = made },
		} {
			r := wire.WitnessReport{Postgres: wire.WitnessUp, Known: record.First("lab", "server1")}
			spoil(&r)
			_, err := w.ask("lab", "server1", wire.KindReport, r)
			wantRefused(t, what, err)
			r.Known.Revision = 0 // not a record, but kept all the same
			_, err = w.ask("lab", "server1", wire.KindReport, r)
			wantRefused(t, what, err)
		}
		for what, spoil := range map[string]func(*record.Change){
			"transition": func(c *record.Change) { c.Transition = record.Transition(made) },
			"to":         func(c *record.Change) { c.To = pair.Server(made) },
			"where":      func(c *record.Change) { c.Where = made },
		} {
			c := record.Change{Transition: record.Close, By: "server1", To: "server1", From: 2, Where: "elsewhere"}
			spoil(&c)
			_, err := w.ask("lab", "server1", wire.KindChange, wire.ChangeRequest{Change: c})
			wantRefused(t, what, err)
			if err != nil && len(err.Error()) > 500 {
				t.Errorf("%s: the error has %d bytes", what, len(err.Error()))
			}
		}
	}
	shown, err := json.Marshal(w.status(""))
	must(t, err)
	if len(shown) > 2000 || log.Len() > 5000 {
		t.Errorf("the status has %d bytes, the log %d", len(shown), log.Len())
	}
}

// Servers are updated one by one, before their witness too.
func TestAWordOfANewerVersionIsNotRefused(t *testing.T) {
	w := open(t, t.TempDir())
	w.found(t, "lab")
	newer := record.Record{Pair: "lab", Term: 1, Primary: "server1", Mode: "half-paired", Revision: 2}
	_, err := w.ask("lab", "server1", wire.KindReport, wire.WitnessReport{Postgres: "starting", Known: newer})
	must(t, err)
	must(t, w.detach("lab", 2))
	move := record.Change{Transition: record.Close, By: "server1", To: "server1", From: 3, Where: "etcd at https://é.example:2379,https://10.0.0.2:2379 below /mcctl"}
	_, err = w.ask("lab", "server1", wire.KindChange, wire.ChangeRequest{Change: move})
	must(t, err)
}
