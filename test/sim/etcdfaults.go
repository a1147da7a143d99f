package sim

import (
	"time"

	"mcctl/pkg/record"
)

// etcdFaults are those of an etcd that keeps the record. They are drawn for it only.
func etcdFaults() []fault {
	return []fault{
		{"kill etcd member", func(w *World, _ *node) {
			w.etcdMembersDown(w.rnd.IntN(etcdMembers))
		}},
		{"etcd without quorum", func(w *World, _ *node) {
			i := w.rnd.IntN(etcdMembers)
			w.etcdMembersDown(i, (i+1)%etcdMembers)
		}},
		{"kill etcd", func(w *World, _ *node) { w.etcdMembersDown(0, 1, 2) }},
		{"freeze etcd member", func(w *World, _ *node) {
			i := w.rnd.IntN(etcdMembers)
			if m := &w.etcd.members[i]; m.up && !m.frozen {
				w.say("fault", "freeze member %d of etcd", i+1)
				m.frozen = true
				w.etcd.missing()
				w.plans(w.between(200*time.Millisecond, 20*time.Second), func() { w.etcd.thaw(i) })
			}
		}},
		{"freeze etcd", func(w *World, _ *node) {
			w.say("fault", "freeze etcd")
			w.etcd.frozen = true
			w.plans(w.between(200*time.Millisecond, 20*time.Second), func() { w.etcd.frozen = false })
		}},
		{"etcd emptied", func(w *World, _ *node) { w.etcdEmptied() }},
		{"etcd restored", func(w *World, _ *node) { w.etcdRestored() }},
	}
}

func (w *World) etcdMembersDown(which ...int) {
	for _, i := range which {
		w.say("fault", "kill member %d of etcd", i+1)
		w.etcd.killMember(i)
		w.plans(w.mostly(3*time.Second, time.Minute), func() { w.etcd.startMember(i) })
	}
}

func (e *etcd) thaw(i int) {
	e.members[i].frozen = false
	e.mayElect()
}

// etcdLoses has all members die and come back with another store.
func (w *World) etcdLoses(s *etcdStore) {
	w.say("fault", "etcd is replaced by one at revision %d", s.revision)
	w.etcd.kill()
	w.etcd.replace(s)
	w.plans(w.mostly(2*time.Second, time.Minute), w.etcd.start)
}

// etcdEmptied: the disks of all members are lost.
func (w *World) etcdEmptied() {
	w.ledger.records = record.Record{} // what nobody acts upon may be forgotten
	w.etcd.lost = false
	w.etcdLoses(newEtcdStore())
}

// etcdRestored puts a backup in the place of the store. The page says: never under a
// running pair, but delete the pair's keys. That is done here, unless both servers know
// the record that the store had: then neither goes by an older one (docs/protocol.md).
func (w *World) etcdRestored() {
	e := w.etcd
	if len(e.backups) == 0 {
		return
	}
	s := e.backups[w.rnd.IntN(len(e.backups))].backup()
	if w.bothKnow(e.record()) {
		e.lost = string(s.keys[etcdRecord].value) != string(e.store.keys[etcdRecord].value)
	} else {
		w.ledger.records, e.lost = record.Record{}, false
		s.drop(func(string, etcdKey) bool { return true })
	}
	w.etcdLoses(s)
}

// bothKnow: the copies of both servers are that record.
func (w *World) bothKnow(r record.Record) bool {
	for _, n := range w.nodes {
		if n.host.disk.record(n.config.Path("record.json")) != r {
			return false
		}
	}
	return r.Exists()
}
