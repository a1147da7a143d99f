package wire

import "slices"

// maxEach is how many connections one member may have. It needs one for its heartbeats,
// and its commands need one each.
const maxEach = 8

// join counts in among its identity's connections. Where they become too many the oldest
// goes: it is likely to be a leftover of a fault of the network, while who comes now is
// there. The one with the heartbeats has its own successor (adopt). Who may use the unix
// socket needs no limit.
func (s *server) join(in *incoming) {
	if in.from.Name == LocalName {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := append(s.all[in.from], in)
	if len(all) > maxEach {
		oldest := slices.IndexFunc(all, func(one *incoming) bool { return one != s.beating[in.from] })
		all[oldest].socket.end()
		all = slices.Delete(all, oldest, oldest+1)
	}
	s.all[in.from] = all
}

// part takes in out of the count.
func (s *server) part(in *incoming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(s.all[in.from], func(one *incoming) bool { return one == in })
	if s.all[in.from] = left; len(left) == 0 {
		delete(s.all, in.from)
	}
}
