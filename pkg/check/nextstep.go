package check

import (
	"fmt"

	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

// NextStep is the one thing to look at first in the progress of replication, or
// empty. The worst comes first: what costs data or stops the service, then what
// costs time. A server that did not tell is nil.
func NextStep(here, there pair.Server, seenHere, seenThere *postgres.Progress) string {
	for _, find := range []func(pair.Server, postgres.Progress) string{lostSlot, pausedReplay, failingArchiver, idleSlot, longBacklog} {
		for _, s := range []struct {
			server pair.Server
			seen   *postgres.Progress
		}{{here, seenHere}, {there, seenThere}} {
			if s.seen == nil {
				continue
			}
			if step := find(s.server, *s.seen); step != "" {
				return step
			}
		}
	}
	return ""
}

func lostSlot(on pair.Server, p postgres.Progress) string {
	for _, s := range p.Slots {
		if s.Status == "lost" {
			return fmt.Sprintf("slot %s on %s has lost log: rebuild who reads it, or drop it", s.Name, on)
		}
	}
	return ""
}

func pausedReplay(on pair.Server, p postgres.Progress) string {
	if !p.ReplayPaused {
		return ""
	}
	return fmt.Sprintf("replay is paused on %s, so it cannot take over: run there: select pg_wal_replay_resume()", on)
}

func failingArchiver(on pair.Server, p postgres.Progress) string {
	if a := p.Archiver; a.On && a.Failing {
		return fmt.Sprintf("archiving %s fails on %s, for %.0f s: see the log of PostgreSQL there", a.LastWAL, on, seconds(a.FailureAge))
	}
	return ""
}

// idleKept is how much log an unused slot may keep before it is told.
const idleKept = 1 << 30

func idleSlot(on pair.Server, p postgres.Progress) string {
	for _, s := range p.Slots {
		if !s.Active && s.Retained > idleKept {
			return fmt.Sprintf("slot %s on %s is not used and keeps %s of log: drop it if nobody needs it", s.Name, on, pair.Size(uint64(s.Retained)))
		}
	}
	return ""
}

func longBacklog(on pair.Server, p postgres.Progress) string {
	if a := p.Archiver; a.On && a.Ready > backlogMax {
		return fmt.Sprintf("%d segments wait to be archived on %s: make archive_command faster", a.Ready, on)
	}
	return ""
}
