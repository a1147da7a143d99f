package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mcctl/pkg/act"
	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/wire"
)

// problem is what goes wrong on this server now: PostgreSQL does not let the
// supervisor in, the standby does not stream, or the decided action failed and is
// being tried again. Nobody should have to look for that in a log. Lasting: waiting
// will not end it.
func (a *Agent) problem(s board.Sight) (text string, lasting bool) {
	a.mu.Lock()
	rule := a.rule
	a.mu.Unlock()
	next, err := a.runner.failure(rule.Do)
	switch t, stream := s.LookTrouble, s.StreamTrouble; {
	case s.PID != 0 && s.LookAt == 0 && t.PID == s.PID:
		return t.Text, t.Lasting
	case errors.Is(err, act.ErrInVain):
		return fmt.Sprintf("%s fails: %s; tried again in %s, or now: mcctl rebuild", rule.Do, oneLine(err), next.Round(time.Second)), false
	case err != nil:
		return fmt.Sprintf("%s fails: %s", rule.Do, oneLine(err)), false
	case slices.Contains([]decide.Postgres{decide.PostgresStandby, decide.PostgresStarting}, board.Postgres(s)) && s.Look.Receiver.Status != "streaming" && stream.PID == s.PID:
		return stream.Text, stream.Lasting
	}
	return "", false
}

// oneLine takes out of an error that quotes a log, or a program, the lines that say
// what is wrong, without the times and numbers before them.
func oneLine(err error) string {
	head, quoted, _ := strings.Cut(err.Error(), "\n")
	for line := range strings.Lines(quoted) {
		for _, level := range []string{"PANIC:", "FATAL:", "ERROR:", "HINT:", "error:"} {
			if i := strings.Index(line, level); i >= 0 {
				head += " " + strings.Join(strings.Fields(line[i:]), " ")
				break
			}
		}
	}
	return head
}

// unread is why nobody tells the record: an arbiter or a server that runs, but is not
// ours, is not mended by starting it.
func (a *Agent) unread(s board.Sight) string {
	text := "the record has not been read: start the arbiter, or the other server"
	if a.withoutAnyRecord(s) {
		text = a.startOver()
	}
	if why := a.whyNotReached(); why != "" && a.config.Pair.Arbiter.Kind != config.None {
		text += fmt.Sprintf("; the arbiter at %s: %s", a.config.Pair.Arbiter.Where(), why)
	}
	if s.Link.Error != "" {
		text += fmt.Sprintf("; %s at %s: %s", a.config.Other(), a.config.Endpoint(a.config.Other()).Admin, s.Link.Error)
	}
	return text
}

// withoutAnyRecord: the record was on this server and is lost, and the other one has not
// been heard. What this server acknowledged last nobody knows, so not even force helps.
func (a *Agent) withoutAnyRecord(s board.Sight) bool {
	return !s.Record.Exists() && !a.config.Pair.Arbiter.Apart()
}

func (a *Agent) startOver() string {
	return fmt.Sprintf("%s has no record of the pair: start %s, from whose copy it is found again; only if that one is gone for good make a new pair of this server (docs/runbooks/lost-host.md, Nothing is left)", a.config.Me(), a.config.Other())
}

// peerAway is why the other supervisor is not reached, and what to do about it.
func (a *Agent) peerAway(s board.Sight, f decide.Facts) string {
	other := a.config.Other()
	where := a.config.Endpoint(other).Admin
	then := ""
	switch {
	case f.Record != decide.RecordTheirs:
	case s.PeerResting:
		then = fmt.Sprintf("; %s was stopped on purpose, so nobody takes over: if it does not come back, mcctl switch --force", other)
	case a.config.Pair.Arbiter.Kind == config.None:
		then = fmt.Sprintf("; without an arbiter nobody takes over by itself: if %s is gone for good, mcctl switch --force", other)
	}
	if s.Link.Refused {
		return fmt.Sprintf("no supervisor of %s listens at %s: %s%s", other, where, linkTrouble(s), then)
	}
	return fmt.Sprintf("the supervisor of %s at %s is %s: %s%s", other, where, f.Peer, linkTrouble(s), then)
}

// linkTrouble is the reason alone.
func linkTrouble(s board.Sight) string {
	if s.Link.Error == "" || s.Link.Refused {
		return "start it there with mcctl start"
	}
	return s.Link.Error
}

// versions tells that the two servers run different programs.
func (a *Agent) versions(s board.Sight, f decide.Facts) string {
	if f.Peer != decide.PeerHere || s.Report.Version == a.opt.Version {
		return ""
	}
	return fmt.Sprintf("%s runs mcctl %s, this server %s: install the same on both", a.config.Other(), s.Report.Version, a.opt.Version)
}

// keeperStatus is the arbiter as it is seen from here.
func (a *Agent) keeperStatus(s board.Sight) wire.ArbiterStatus {
	st := wire.ArbiterStatus{Kind: string(a.config.Pair.Arbiter.Kind), Address: a.config.Pair.Arbiter.Where(), Reached: s.KeeperReached}
	if st.Reached {
		st.Error = a.vain(s)
	} else {
		st.Error = a.whyNotReached()
	}
	return st
}

// whyNotReached is empty where nothing is known but that it does not answer.
func (a *Agent) whyNotReached() string {
	if holds, _, reached := a.keeper.Seen(); reached && a.unmet.Load() {
		return fmt.Sprintf("this server is new, and %s has not said yet that it goes by the record there, %s: start it", a.config.Other(), holds)
	}
	return a.keeper.Problem()
}

// withoutRecord: a first one, or one that was lost, is found from what both servers know.
const withoutRecord = "it has no record of this pair, and takes it from both servers"

// vain is why the arbiter, which is reached from here, would yet not let the standby take
// over from the record in sight; empty where it would.
func (a *Agent) vain(s board.Sight) string {
	if !a.config.Pair.Arbiter.Apart() {
		return ""
	}
	switch r, _, _ := a.keeper.Seen(); {
	case !r.Exists():
		return withoutRecord
	case r.NewerThan(s.Record): // as after it was found again: the loop takes it in at its next turn
		return "it has a newer record, " + r.String()
	case a.keeper.Problem() != "":
		return a.keeper.Problem()
	case !a.keeper.OtherHeard():
		return fmt.Sprintf("it does not hear %s", a.config.Other())
	}
	return ""
}
