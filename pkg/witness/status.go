package witness

import (
	"maps"
	"os"
	"slices"

	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// pageSize is how many pairs one status answer holds, well below a frame's limit.
const pageSize = 500

// status tells of the pairs behind after.
func (w *Witness) status(after string) wire.WitnessStatus {
	w.mu.RLock()
	names := slices.Sorted(maps.Keys(w.pairs))
	w.mu.RUnlock()
	from, found := slices.BinarySearch(names, after)
	if found {
		from++
	}
	names = names[from:]
	s := wire.WitnessStatus{Pairs: []wire.WitnessPairStatus{}, PID: os.Getpid(), Version: w.cfg.Version}
	if len(names) > pageSize {
		names, s.More = names[:pageSize], true
	}
	for _, name := range names {
		s.Pairs = append(s.Pairs, w.pairStatus(w.find(name)))
	}
	return s
}

func (w *Witness) pairStatus(k *keep) wire.WitnessPairStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := wire.WitnessPairStatus{Pair: k.pair, Record: k.record, Servers: []wire.WitnessServerStatus{}}
	now := w.cfg.Clock.Now()
	switch {
	case k.broken != nil:
		s.Error = k.broken.Error()
	case k.doubt != nil:
		s.Error = k.doubt.Error()
	default:
		s.Error = w.tries.trouble(now)
	}
	for _, seat := range k.seats {
		s.Servers = append(s.Servers, wire.WitnessServerStatus{
			Name:     pair.Server(seat.name),
			Online:   seat.online(now, w.cfg.HeartbeatTimeout),
			HeardAgo: (now - seat.heard).Seconds(),
			Postgres: seat.report.Postgres,
		})
	}
	return s
}
