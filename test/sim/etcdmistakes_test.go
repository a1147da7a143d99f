package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/agent"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// byEtcd has an etcd keep the record, with all its faults.
func byEtcd(w *World) {
	w.plan.alone, w.plan.commands, w.plan.etcd = false, false, true
	w.plan.kinds = append(w.plan.kinds, etcdFaults()...)
	for _, n := range w.nodes {
		n.config = w.configure(string(n.me))
	}
}

// onEtcd plants a mistake between the keeper and the etcd that it asks.
func onEtcd(wrap func(n *node, under http.RoundTripper) http.RoundTripper) bugs {
	return bugs{tune: byEtcd, inWorld: func(n *node, w *agent.World) { w.Web = wrap(n, w.Web) }}
}

// lossy loses many a question that changes the record.
type lossy struct {
	n     *node
	under http.RoundTripper
}

func (l lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/txn") && l.n.w.chance(0.3) {
		body := bodyOf(r.Body)
		if _, at := recordIn(asked[etcdTxn](body)); at >= 0 {
			procClock{l.n.w, l.n.server.process}.Wait(r.Context(), -1, nil)
			return nil, context.Cause(r.Context())
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return l.under.RoundTrip(r)
}

// forgetful has etcd lose its disks whenever the record has changed, and servers vanish
// in between.
func forgetful(w *World) {
	byEtcd(w)
	w.plan.follows, w.plan.kinds = 0.9, nil
	for _, f := range append(allFaults(), etcdFaults()...) {
		if f.name == "etcd emptied" || f.name == "power" || f.name == "kill both" || f.name == "break stream" {
			w.plan.kinds = append(w.plan.kinds, f)
		}
	}
}

func overEtcd(m mistake) bugs {
	return onEtcd(func(_ *node, under http.RoundTripper) http.RoundTripper { m.under = under; return m })
}

// slow has a question that changes the record wait a while before it is sent, and sent
// also when whoever asked has given up by then.
type slow struct {
	n     *node
	under http.RoundTripper
}

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/txn") {
		body := bodyOf(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if _, at := recordIn(asked[etcdTxn](body)); at >= 0 {
			w := s.n.w
			procClock{w, s.n.server.process}.Wait(context.Background(), w.between(0, 8*time.Second), nil)
		}
	}
	return s.under.RoundTrip(r)
}

// mistake changes what the keeper asks, or what it is answered.
type mistake struct {
	under  http.RoundTripper
	txn    func(*etcdTxn)
	ranged func(*etcdRangeAnswer)
	silent func(etcdTxn) any // what no answer is taken for
}

func (m mistake) RoundTrip(r *http.Request) (*http.Response, error) {
	var q etcdTxn
	if is := strings.HasSuffix(r.URL.Path, "/txn"); is && (m.txn != nil || m.silent != nil) {
		q = asked[etcdTxn](bodyOf(r.Body))
		if m.txn != nil {
			m.txn(&q)
		}
		_, text := spoken(q)
		r.Body = io.NopCloser(bytes.NewReader(text))
	}
	a, err := m.under.RoundTrip(r)
	if err != nil && m.silent != nil && len(q.Success) > 0 {
		if said := m.silent(q); said != nil {
			return answered(said), nil
		}
	}
	if err == nil && m.ranged != nil && strings.HasSuffix(r.URL.Path, "/range") && a.StatusCode == http.StatusOK {
		var v etcdRangeAnswer
		if err := json.Unmarshal(bodyOf(a.Body), &v); err != nil {
			panic(err)
		}
		m.ranged(&v)
		a = answered(v)
	}
	return a, err
}

func bodyOf(r io.ReadCloser) []byte {
	text, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	return text
}

func answered(what any) *http.Response {
	status, text := spoken(what)
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(text))}
}

// recordIn is the record that a transaction writes.
func recordIn(q etcdTxn) (r record.Record, at int) {
	for i, op := range q.Success {
		if string(op.Put.Key) == etcdRecord && json.Unmarshal(op.Put.Value, &r) == nil {
			return r, i
		}
	}
	return r, -1
}

// foundPaired finds a lost record as it was.
func foundPaired(q *etcdTxn) {
	r, at := recordIn(*q)
	if at < 0 || r.Mode != pair.Alone || r.Revision < 1<<20 {
		return
	}
	for _, c := range q.Compare {
		if string(c.Key) == etcdRecord && c.Mod == 0 {
			r.Mode = pair.Paired
			q.Success[at].Put.Value, _ = json.Marshal(r)
		}
	}
}

// comparesNothing changes a record whatever has become of what it was judged by.
func comparesNothing(q *etcdTxn) {
	if _, at := recordIn(*q); at >= 0 {
		q.Compare = nil
	}
}

// sure takes a change that was not answered for one that was made.
func sure(q etcdTxn) any {
	if _, at := recordIn(q); at < 0 {
		return nil
	}
	return etcdTxnAnswer{etcdHeader{1 << 40}, true}
}

// newestKnown is the newest record that a server says that it knows.
func newestKnown(v *etcdRangeAnswer) (known record.Record) {
	for _, kv := range v.KVs {
		var said wire.WitnessReport
		if json.Unmarshal(kv.Value, &said) == nil && said.Known.NewerThan(known) {
			known = said.Known
		}
	}
	return known
}

// takenForNew judges by a record that is older than what a server knows.
func takenForNew(v *etcdRangeAnswer) {
	known := newestKnown(v)
	for i, kv := range v.KVs {
		var r record.Record
		if string(kv.Key) == etcdRecord && json.Unmarshal(kv.Value, &r) == nil && known.NewerThan(r) {
			r.Term, r.Revision = known.Term, known.Revision
			v.KVs[i].Value, _ = json.Marshal(r)
		}
	}
}

// immortal counts a server as heard although its lease has run out.
func immortal(n *node, under http.RoundTripper) http.RoundTripper {
	theirs := etcdBase + "servers/" + string(n.w.other(n).me)
	var last *etcdKV
	return mistake{under: under, ranged: func(v *etcdRangeAnswer) {
		for _, kv := range v.KVs {
			if string(kv.Key) == theirs {
				last = &kv
				return
			}
		}
		if last != nil {
			v.KVs = append(v.KVs, *last)
		}
	}}
}

// tardy makes the world hard: the answer to a take-over is not looked at for a while, in
// which etcd loses its disks.
type tardy struct {
	n     *node
	under http.RoundTripper
}

func (t tardy) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/txn") {
		return t.under.RoundTrip(r)
	}
	w, body := t.n.w, bodyOf(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	was, known := w.record()
	next, _ := recordIn(asked[etcdTxn](body))
	a, err := t.under.RoundTrip(r)
	now, _ := w.record()
	if err == nil && known && now == next && was.Primary != t.n.me && next.Primary == t.n.me && !w.healed {
		p := t.n.server.process
		p.enter()
		w.etcdEmptied()
		w.after(2*time.Second, w.etcd.start)
		procClock{w, p}.Wait(context.Background(), 20*time.Second, nil)
	}
	return a, err
}

// undying goes on with its session in another store, as if it were the same.
type undying struct {
	n     *node
	under http.RoundTripper
	lease int64
	said  etcdKV // under the lease
	store int    // in which that was
}

func (u *undying) RoundTrip(r *http.Request) (*http.Response, error) {
	e := u.n.w.etcd
	if u.store != e.stores && u.lease != 0 && e.sound() {
		u.store = e.stores
		e.store.leases[u.lease] = etcdLease{2 * time.Second, e.now() + 2*time.Second}
		e.store.revision++
		e.store.keys[string(u.said.Key)] = etcdKey{u.said.Value, e.store.revision, u.lease}
	}
	var q etcdTxn
	if strings.HasSuffix(r.URL.Path, "/txn") {
		body := bodyOf(r.Body)
		r.Body, q = io.NopCloser(bytes.NewReader(body)), asked[etcdTxn](body)
	}
	a, err := u.under.RoundTrip(r)
	if err != nil || a.StatusCode != http.StatusOK {
		return a, err
	}
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/range"):
		v := asked[etcdRangeAnswer](bodyOf(a.Body))
		v.Header.Revision += int64(u.store) << 32 // it never goes back
		return answered(v), nil
	case strings.HasSuffix(path, "/grant"):
		body := bodyOf(a.Body)
		u.lease, u.store = asked[etcdLeaseSaid](body).ID, e.stores
		a.Body = io.NopCloser(bytes.NewReader(body))
	case len(q.Success) == 1:
		u.said = q.Success[0].Put
	}
	return a, err
}

// longCut has the primary's links cut for longer than its lease lasts, and little else.
func longCut(w *World) {
	byEtcd(w)
	w.plan.kinds = nil
	for _, f := range allFaults() {
		if f.name == "isolate" || f.name == "freeze supervisor" || f.name == "suspend" {
			w.plan.kinds = append(w.plan.kinds, f)
		}
	}
}

// TestTheHardWorldsOfEtcdAreLivedThrough: what is found in them is the mistake.
func TestTheHardWorldsOfEtcdAreLivedThrough(t *testing.T) {
	for name, b := range map[string]bugs{
		"lossy":     onEtcd(func(n *node, under http.RoundTripper) http.RoundTripper { return lossy{n, under} }),
		"tardy":     {tune: longCut, inWorld: func(n *node, w *agent.World) { w.Web = tardy{n, w.Web} }},
		"slow":      {tune: longCut, inWorld: func(n *node, w *agent.World) { w.Web = slow{n, w.Web} }},
		"forgetful": {tune: forgetful},
	} {
		t.Run(name, func(t *testing.T) {
			each(1, 15, func(seed uint64) bool {
				w := newWorld(seed, b)
				b.tune(w)
				if o := run(w, 15*time.Minute); o.Err != nil {
					t.Error(o.Report())
				}
				return true
			})
		})
	}
}
