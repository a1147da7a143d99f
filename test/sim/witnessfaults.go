package sim

import (
	"encoding/json"
	"fmt"
	"time"

	"mcctl/pkg/record"
)

// witnessBackups is how many old records of a witness may come back.
const witnessBackups = 8

// witnessFaults are for a pair whose record a witness keeps.
func witnessFaults() []fault {
	return []fault{
		{"witness restored", func(w *World, _ *node) { w.witnessRestored() }},
	}
}

// witnessRestored puts an older record in the place of the one that the witness has. The
// page says: never, but remove the file. That is done here, unless both servers know the
// record that is lost: then neither goes by an older one (docs/protocol.md).
func (w *World) witnessRestored() {
	h := w.wit
	if h.server == nil || len(h.past) == 0 {
		return
	}
	old := h.past[w.rnd.IntN(len(h.past))]
	w.say("fault", "the witness comes back with %s", old)
	h.server.die()
	if now, known := w.record(); known && w.bothKnow(now) {
		h.restore(old)
	} else {
		h.host.disk.lose()
		w.ledger.records = record.Record{}
	}
	w.plans(w.mostly(2*time.Second, time.Minute), h.start)
}

// keeps notes a record that is not the newest any more.
func (h *witnessHost) keeps(old record.Record) {
	if old.Exists() {
		h.past = append(h.past, old)
		h.past = h.past[max(0, len(h.past)-witnessBackups):]
	}
}

func (h *witnessHost) restore(old record.Record) {
	b, err := json.Marshal(old)
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	h.host.disk.visible[recordOfWitness], h.host.disk.durable[recordOfWitness] = b, b
	h.restored, h.w.recordStale = old, true
}

// record is the record on its disk; zero when there is none, or when that is out of date.
func (h *witnessHost) record() record.Record {
	if r := h.host.disk.record(recordOfWitness); r != h.restored {
		return r
	}
	return record.Record{}
}
