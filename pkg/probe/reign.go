package probe

import "time"

// Reign is one server on one timeline, as far as it acknowledged writes.
type Reign struct {
	Host     string `json:"host"` // address as connected to; a proxy hides the servers behind it
	Timeline uint32 `json:"timeline"`
	Acks     uint64 `json:"acks"`
	// First is when its first acknowledgement arrived, Last when the last insert
	// that it acknowledged was sent: it surely acknowledged before First and after Last.
	First Millis `json:"first_ms"`
	Last  Millis `json:"last_ms"`
}

// reign counts an acknowledgement and returns the place of its reign.
func (l *ledger) reign(by reignKey, sent, now time.Duration) int {
	for i := range l.reigns {
		if r := &l.reigns[i]; r.Host == by.host && r.Timeline == by.timeline {
			r.Acks++
			r.Last = max(r.Last, Millis(sent))
			return i
		}
	}
	l.reigns = append(l.reigns, Reign{Host: by.host, Timeline: by.timeline, Acks: 1, First: Millis(now), Last: Millis(sent)})
	return len(l.reigns) - 1
}

func (l *ledger) newestTimeline() (newest uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.reigns {
		newest = max(newest, r.Timeline)
	}
	return newest
}

// overlap reports whether two reigns surely acknowledged in turn: each did so
// before the other's last time. One primary at a time never does that.
func overlap(reigns []Reign) bool {
	for i, a := range reigns {
		for _, b := range reigns[i+1:] {
			if a.First < b.Last && b.First < a.Last {
				return true
			}
		}
	}
	return false
}
