package pair

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// beganLast is when a server began what it has done last of that kind, as its journal tells.
func (s *stage) beganLast(of pair.Server, action string) (began time.Time) {
	s.Helper()
	for line := range strings.Lines(s.mcctl("events", "-n", "10000", "-o", "json", "-M", s.lab.Mcdir(of))) {
		var e struct {
			Time   time.Time
			Text   string
			TookMS float64 `json:"took_ms"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.Fatalf("%v: %s", err, line)
		}
		if strings.HasPrefix(e.Text, action+" done in ") {
			began = e.Time.Add(-time.Duration(e.TookMS * float64(time.Millisecond)))
		}
	}
	return began
}

// Each attach of a standby that dies again costs clients a stall. The third loss in a
// row is followed by a wait, which an operator may cut short.
func TestAStandbyThatDiesAgainAndAgainIsNotAttachedAtOnce(t *testing.T) {
	s := newStage(t, lab.Options{Settling: true})
	lose := func() {
		t.Helper()
		before, err := s.status(one)
		if err != nil {
			t.Fatal(err)
		}
		s.kill(s.lab.Pids().Servers[two].Postmaster)
		s.until("the primary went alone", one, func(st wire.Status) bool { return st.Record.Revision > before.Record.Revision })
	}
	for range 2 {
		lose()
		s.paired(one)
	}
	lose()
	st := s.until("the standby streams and waits", one, func(st wire.Status) bool { return strings.Contains(st.NextStep, "was lost 3 times in a row") })
	if st.Record.Mode != pair.Alone {
		t.Errorf("the record is %s", st.Record)
	}
	if out := s.mcctl("explain", "-M", s.lab.Mcdir(one)); !strings.Contains(out, "settling") {
		t.Errorf("explain does not say it:\n%s", out)
	}
	if out := s.mcctl("events", "-M", s.lab.Mcdir(one)); !strings.Contains(out, "steady for 5s") {
		t.Errorf("the events do not say it:\n%s", out)
	}
	s.paired(one)
	started, attached := s.beganLast(two, "start-standby"), time.Time{}
	s.eventually("the journal tells of the attach", func() bool {
		attached = s.beganLast(one, "attach")
		return attached.After(started)
	})
	if waited := attached.Sub(started); waited < 3*time.Second {
		t.Errorf("attached after %s", waited)
	}
	lose()
	s.until("it waits again", one, func(st wire.Status) bool { return strings.Contains(st.NextStep, "was lost 4 times in a row") })
	s.mcctl("attach", "-M", s.lab.Mcdir(one)) // waits for the pair to be paired
	if st, err := s.status(one); err != nil || st.Record.Mode != pair.Paired {
		t.Errorf("the operator's attach: %+v, %v", st.Record, err)
	}
	s.flowing()
}
