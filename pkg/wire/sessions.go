package wire

import (
	"crypto/tls"
	"sync"
)

// sessionCache is how many peers' sessions a client remembers; it has two.
const sessionCache = 8

// sessions are those of a client. With renewed credentials none of the earlier ones is
// resumed: the other side would go on by what it was shown then.
type sessions struct {
	now func() *credentials

	mu    sync.Mutex
	of    *credentials
	cache tls.ClientSessionCache
}

// Get is asked before each handshake, Put when a ticket comes, at any time later: that one
// must not wait for a disk.
func (s *sessions) Get(key string) (*tls.ClientSessionState, bool) {
	return s.with(s.now()).Get(key)
}

func (s *sessions) Put(key string, state *tls.ClientSessionState) { s.with(nil).Put(key, state) }

// with is the cache of these credentials, of the newest for nil.
func (s *sessions) with(c *credentials) tls.ClientSessionCache {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cache == nil || c != nil && c != s.of {
		s.of, s.cache = c, tls.NewLRUClientSessionCache(sessionCache)
	}
	return s.cache
}
