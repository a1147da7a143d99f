package agent

import (
	"fmt"
	"slices"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/wire"
)

// roomWarnings tells of the disks on which room becomes short, and what to do.
func (a *Agent) roomWarnings(s board.Sight, st wire.Status) (found []string) {
	if s.ProbeTrouble != "" {
		found = append(found, s.ProbeTrouble)
	}
	for _, of := range st.Servers {
		if short(of.DiskLevel) {
			found = append(found, fmt.Sprintf("%s: room is %s on %s: free or add some there; see df -h and mcctl check", of.Server, of.DiskLevel, of.Disk))
		}
	}
	for _, p := range s.Places {
		if level := a.limits.now().Level(p.Room); p.Measured && p.Same == "" && short(level) {
			found = append(found, fmt.Sprintf("%s: room is %s on the management directory's disk, %s: without any, roles cannot change; see du -sh %s/log/*", a.config.Me(), level, p.Describe(), p.Path))
		} else if p.Measured && p.Error != "" {
			found = append(found, fmt.Sprintf("%s: the management directory does not answer: %s", a.config.Me(), p.Error))
		}
	}
	return found
}

// shortDisks are PostgreSQL's disks here on which room is short.
func (a *Agent) shortDisks(s board.Sight) (all []wire.ShortDisk) {
	l := a.limits.now()
	for _, p := range s.Places {
		if level := l.Level(p.Room); !p.Measured && p.Same == "" && short(level) {
			all = append(all, wire.ShortDisk{Disk: p.Describe(), Level: level, Log: p.Log})
		}
	}
	return all
}

func short(level string) bool { return level == board.LevelLow || level == board.LevelCritical }

// settlingText says why a standby that streams is not attached yet.
func (a *Agent) settlingText(s board.Sight) string {
	now := a.clock.Now()
	return fmt.Sprintf("%s streams, but was lost %d times in a row, last %s ago: it is attached when it has been steady for %s more; mcctl attach does it at once",
		a.config.Other(), s.Losses.Count, (now - s.Losses.Last).Round(time.Second), a.limits.now().Unsteady(s, now).Round(time.Second))
}

// advice is what the loop tells once when it comes to be, and when it is over.
type advice struct{ said []string }

// turn writes what has become true to the journal.
func (d *advice) turn(a *Agent, s board.Sight, f decide.Facts) {
	now := a.roomNews(s)
	if f.Stream == decide.StreamSettling {
		now = append(now, fmt.Sprintf("%s was lost %d times in a row: it is attached again only when it has been steady for %s", a.config.Other(), s.Losses.Count, a.limits.now().Steady(s.Losses, a.clock.Now())))
	}
	for _, text := range now {
		if !slices.Contains(d.said, text) {
			a.journal.add(Event{Action: "notice", Text: text})
		}
	}
	for _, text := range d.said {
		if !slices.Contains(now, text) {
			a.journal.add(Event{Action: "notice", Text: "over: " + text})
		}
	}
	d.said = now
}

// roomNews names the disks that are short of room, without numbers that change.
func (a *Agent) roomNews(s board.Sight) (news []string) {
	l := a.limits.now()
	for _, p := range s.Places {
		if level := l.Level(p.Room); p.Same == "" && short(level) {
			news = append(news, fmt.Sprintf("room is %s on the disk of %s", level, p.Path))
		}
	}
	if s.ProbeTrouble != "" {
		news = append(news, s.ProbeTrouble)
	}
	return news
}

// countLoss counts a detach that a fault made necessary, and no operator.
func (a *Agent) countLoss() {
	a.mu.Lock()
	by := a.detachRule
	a.mu.Unlock()
	if byFault(by) {
		l := a.limits.now()
		a.board.Set(func(s *board.Sight) { s.Losses, s.Close = l.Lost(s.Losses, a.clock.Now()), 0 })
	}
}

// byFault: by this rule a standby is detached that was lost.
func byFault(rule int) bool {
	return slices.Contains([]int{226, 252, 253, 254, 255, 256}, rule)
}

// steadySince keeps since when the standby has been close without a break.
func steadySince(s *board.Sight, f decide.Facts, now time.Duration) {
	here := f.Peer == decide.PeerHere && f.PeerPG == decide.PeerPGStandby && (f.Stream == decide.StreamClose || f.Stream == decide.StreamSettling)
	switch {
	case !here:
		s.Close = 0
	case s.Close == 0:
		s.Close = now
	}
}
