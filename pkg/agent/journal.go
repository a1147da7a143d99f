package agent

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"mcctl/pkg/decide"
	"mcctl/pkg/lost"
	"mcctl/pkg/observe"
)

// Event is a line of the journal. Wall time is for people; nothing decides by it.
type Event struct {
	Time   time.Time         `json:"time"`
	Rule   int               `json:"rule,omitempty"`
	Action string            `json:"action"`
	By     string            `json:"transition,omitempty"`
	Why    string            `json:"why,omitempty"`
	TookMS float64           `json:"took_ms,omitempty"`
	Error  string            `json:"error,omitempty"`
	Times  int               `json:"times,omitempty"` // that this has failed since it was last told
	Facts  map[string]string `json:"facts,omitempty"`
	Text   string            `json:"text"`
	// Report is the id of a report of discarded transactions (mcctl events show).
	Report string `json:"report,omitempty"`
	// Wait is a commit that returned before the standby had it.
	Wait *observe.Cancelled `json:"wait,omitempty"`
}

// journal writes events from a goroutine of its own: its disk may hang.
type journal struct {
	log   *slog.Logger
	ended chan struct{}
	tell  func(Event) // told of every event; must not block

	mu     sync.Mutex // a late action may end while the supervisor does
	lines  chan Event
	closed bool
}

func openJournal(path string, log *slog.Logger) *journal {
	j := &journal{log: log, lines: make(chan Event, 1024), ended: make(chan struct{}), tell: func(Event) {}}
	go j.write(path)
	return j
}

func (j *journal) write(path string) {
	defer close(j.ended)
	for e := range j.lines {
		line, err := json.Marshal(e)
		if err != nil {
			continue
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			j.log.Warn("event journal cannot be written", "error", err)
			continue
		}
		if isTorn(f) {
			line = append([]byte{'\n'}, line...)
		}
		_, _ = f.Write(append(line, '\n'))
		_ = f.Close()
	}
}

// isTorn: the last line has no end, as its disk was full.
func isTorn(f *os.File) bool {
	last := []byte{'\n'}
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		_, _ = f.ReadAt(last, info.Size()-1)
	}
	return last[0] != '\n'
}

func (j *journal) close() {
	j.mu.Lock()
	j.closed = true
	close(j.lines)
	j.mu.Unlock()
	select {
	case <-j.ended:
	case <-time.After(time.Second):
	}
}

func (j *journal) add(e Event) {
	e.Time = time.Now()
	j.log.Info(e.Text)
	j.tell(e)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return
	}
	select {
	case j.lines <- e:
	default: // the disk hangs; the log has it
	}
}

// decided notes that another rule decides now.
func (j *journal) decided(r decide.Rule, f decide.Facts) {
	facts := map[string]string{}
	for _, field := range r.When.Fields(f) {
		facts[field.Name] = field.Value
	}
	j.add(Event{
		Rule: r.ID, Action: string(r.Do), By: r.By, Why: r.Why, Facts: facts,
		Text: fmt.Sprintf("rule %d: %s, because %s", r.ID, r.Do, r.Why),
	})
}

// acted notes the end of an action, which has ended so as often since that was last noted.
func (j *journal) acted(action decide.Action, err error, took time.Duration, times int) {
	e := Event{Action: string(action), TookMS: float64(took.Microseconds()) / 1e3, Text: fmt.Sprintf("%s done in %s", action, took.Round(100*time.Microsecond))}
	if err != nil {
		e.Error = err.Error()
		again := ""
		if times > 1 {
			e.Times = times
			again = fmt.Sprintf(", %d times since it was last told", times)
		}
		e.Text = fmt.Sprintf("%s failed after %s%s: %v", action, took.Round(100*time.Microsecond), again, err)
	}
	j.add(e)
}

// discarded notes which transactions are about to be discarded. Nothing is, twice.
func (a *Agent) discarded(r lost.Report) {
	a.mu.Lock()
	again := a.toldLost == r.Line()
	a.toldLost = r.Line()
	a.mu.Unlock()
	if !again {
		a.journal.add(Event{Action: "discard", Report: r.ID, Text: r.Line()})
	}
}

// cancelledWait notes a commit that is on this server only, although the pair is paired.
func (a *Agent) cancelledWait(c observe.Cancelled) {
	how := "its client was told that it committed"
	if c.Ended {
		how = "its session has ended"
	}
	a.journal.add(Event{
		Action: "cancelled-wait", Wait: &c,
		Text: fmt.Sprintf("the commit of transaction %d (%s) returned while it waited for %s, %s: user %s, application %q, pid %d; until %s has it, a failover loses it",
			c.XID, c.LSN, a.config.Other(), how, c.User, c.Application, c.PID, a.config.Other()),
	})
}
