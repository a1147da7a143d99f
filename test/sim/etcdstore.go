package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// etcdStore is what the members of an etcd agree on: keys with their revisions, and
// leases. A question is done at once and as a whole; it comes and goes as JSON.
type etcdStore struct {
	revision int64
	keys     map[string]etcdKey
	leases   map[int64]etcdLease
	put      func(key string) // is called after every put
}

type etcdKey struct {
	value      []byte
	mod, lease int64
}

type etcdLease struct{ ttl, ends time.Duration }

func newEtcdStore() *etcdStore {
	return &etcdStore{revision: 1, keys: map[string]etcdKey{}, leases: map[int64]etcdLease{}}
}

// backup is a copy, as etcdctl snapshot makes it.
func (s *etcdStore) backup() *etcdStore {
	return &etcdStore{revision: s.revision, keys: maps.Clone(s.keys), leases: maps.Clone(s.leases)}
}

// The messages, as far as they are used. 64-bit numbers are strings, and what is zero
// is left out.
type (
	etcdHeader struct {
		Revision int64 `json:"revision,string,omitempty"`
	}
	etcdRange struct {
		Key []byte `json:"key"`
		End []byte `json:"range_end"`
	}
	etcdKV struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
		Mod   int64  `json:"mod_revision,string,omitempty"`
		Lease int64  `json:"lease,string,omitempty"`
	}
	etcdRangeAnswer struct {
		Header etcdHeader `json:"header"`
		KVs    []etcdKV   `json:"kvs,omitempty"`
	}
	etcdCompare struct {
		Key    []byte `json:"key"`
		Target string `json:"target"`
		Result string `json:"result"`
		Mod    int64  `json:"mod_revision,string"`
		Lease  int64  `json:"lease,string"`
	}
	etcdTxn struct {
		Compare []etcdCompare `json:"compare"`
		Success []struct {
			Put etcdKV `json:"request_put"`
		} `json:"success"`
	}
	etcdTxnAnswer struct {
		Header    etcdHeader `json:"header"`
		Succeeded bool       `json:"succeeded,omitempty"`
	}
	etcdLeaseSaid struct {
		Header *etcdHeader `json:"header,omitempty"`
		ID     int64       `json:"ID,string,omitempty"`
		TTL    int64       `json:"TTL,string,omitempty"`
	}
	etcdKeptAlive struct {
		Result etcdLeaseSaid `json:"result"`
	}
	etcdError struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
)

var (
	etcdNoLease = etcdError{5, "etcdserver: requested lease not found"}
	etcdNoWrite = etcdError{14, "etcdserver: request timed out"}
)

// do answers a question, at that time of the leader's clock. fresh is the number that a
// new lease gets.
func (s *etcdStore) do(path string, body []byte, now time.Duration, fresh int64) (status int, text []byte) {
	var answer any
	switch path {
	case "/v3/kv/range":
		answer = s.ranged(asked[etcdRange](body))
	case "/v3/kv/txn":
		answer = s.txn(asked[etcdTxn](body))
	case "/v3/lease/grant":
		answer = s.grant(asked[etcdLeaseSaid](body), now, fresh)
	case "/v3/lease/keepalive":
		answer = s.keepAlive(asked[etcdLeaseSaid](body).ID, now)
	case "/v3/lease/revoke":
		answer = s.revoke(asked[etcdLeaseSaid](body).ID)
	default:
		panic("sim: etcd is asked " + path)
	}
	return spoken(answer)
}

func asked[Q any](body []byte) (q Q) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		panic(fmt.Sprintf("sim: etcd is asked %s: %v", body, err))
	}
	return q
}

func spoken(answer any) (status int, text []byte) {
	status = http.StatusOK
	if _, bad := answer.(etcdError); bad {
		status = http.StatusServiceUnavailable
	}
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	return status, text
}

func (s *etcdStore) header() etcdHeader { return etcdHeader{s.revision} }

func (s *etcdStore) ranged(q etcdRange) etcdRangeAnswer {
	a := etcdRangeAnswer{Header: s.header()}
	for _, name := range slices.Sorted(maps.Keys(s.keys)) {
		if name >= string(q.Key) && name < string(q.End) {
			k := s.keys[name]
			a.KVs = append(a.KVs, etcdKV{[]byte(name), k.value, k.mod, k.lease})
		}
	}
	return a
}

func (s *etcdStore) txn(q etcdTxn) any {
	for _, c := range q.Compare {
		k := s.keys[string(c.Key)] // what a key that is not there compares as is zero
		if c.Result != "EQUAL" || c.Target != "MOD" && c.Target != "LEASE" {
			panic("sim: etcd is asked to compare " + c.Target + " " + c.Result)
		}
		if c.Target == "MOD" && k.mod != c.Mod || c.Target == "LEASE" && k.lease != c.Lease {
			return etcdTxnAnswer{Header: s.header()}
		}
	}
	for _, op := range q.Success {
		if _, known := s.leases[op.Put.Lease]; op.Put.Lease != 0 && !known {
			return etcdNoLease
		}
	}
	s.revision++
	for _, op := range q.Success {
		s.keys[string(op.Put.Key)] = etcdKey{op.Put.Value, s.revision, op.Put.Lease}
	}
	for _, op := range q.Success {
		if s.put != nil {
			s.put(string(op.Put.Key))
		}
	}
	return etcdTxnAnswer{s.header(), true}
}

// etcdElection is the election timeout of etcd's defaults.
const etcdElection = time.Second

// grant makes a lease, no shorter than one and a half election timeouts, rounded up.
func (s *etcdStore) grant(q etcdLeaseSaid, now time.Duration, id int64) etcdLeaseSaid {
	ttl := max(q.TTL, int64((3*etcdElection/2+time.Second-1)/time.Second))
	d := time.Duration(ttl) * time.Second
	s.leases[id] = etcdLease{d, now + d}
	h := s.header()
	return etcdLeaseSaid{&h, id, ttl}
}

// keepAlive renews a lease. One that has run out is as good as revoked.
func (s *etcdStore) keepAlive(id int64, now time.Duration) etcdKeptAlive {
	l, known := s.leases[id]
	if known && l.ends <= now {
		s.revoke(id)
		known = false
	}
	a := etcdKeptAlive{etcdLeaseSaid{ID: id}}
	if known {
		s.leases[id] = etcdLease{l.ttl, now + l.ttl}
		a.Result.TTL = int64(l.ttl / time.Second)
	}
	h := s.header()
	a.Result.Header = &h
	return a
}

// revoke ends a lease and deletes what hangs on it, in one revision.
func (s *etcdStore) revoke(id int64) any {
	if _, known := s.leases[id]; !known {
		return etcdNoLease
	}
	delete(s.leases, id)
	s.drop(func(_ string, k etcdKey) bool { return k.lease == id })
	h := s.header()
	return etcdLeaseSaid{Header: &h}
}

func (s *etcdStore) drop(which func(name string, k etcdKey) bool) {
	before := len(s.keys)
	maps.DeleteFunc(s.keys, which)
	if len(s.keys) != before {
		s.revision++
	}
}

// expire ends the leases that have run out.
func (s *etcdStore) expire(now time.Duration) {
	for _, id := range slices.Sorted(maps.Keys(s.leases)) {
		if s.leases[id].ends <= now {
			s.revoke(id)
		}
	}
}

// extend is what a new leader does to all leases: it does not know when they were
// renewed last.
func (s *etcdStore) extend(now time.Duration) {
	for id, l := range s.leases {
		s.leases[id] = etcdLease{l.ttl, now + l.ttl + etcdElection}
	}
}
