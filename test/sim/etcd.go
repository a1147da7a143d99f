package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"mcctl/pkg/record"
)

const (
	etcdMembers = 3
	etcdPrefix  = "/mcctl"
	etcdBase    = etcdPrefix + "/" + pairName + "/"
	etcdRecord  = etcdBase + "record"
	// etcdGivesUp is how long a member lets a question wait for a leader.
	etcdGivesUp = 7 * time.Second
	// etcdBackups is how many backups are kept.
	etcdBackups = 3
)

// etcd is a cluster on the arbiter's host: three processes and the one store that they
// agree on. What was acknowledged is lost only when the store is replaced.
type etcd struct {
	w       *World
	host    *host
	store   *etcdStore
	backups []*etcdStore
	// stores counts the replacements of the store: what a member had in its log goes
	// with it.
	stores  int
	lost    bool // restored from a backup, and the record was not written since
	members [etcdMembers]etcdMember
	leader  int // -1: none
	frozen  bool
	fresh   *rand.Rand // numbers of leases: no two are ever the same
	begun   bool
	watches []*question
}

type etcdMember struct {
	up, frozen bool
	life       int
}

func newEtcd(w *World, h *host) *etcd {
	e := &etcd{w: w, host: h, leader: -1, fresh: rand.New(rand.NewPCG(w.Seed, 0x65746364))}
	e.replace(newEtcdStore())
	return e
}

func (e *etcd) replace(s *etcdStore) {
	s.put = func(key string) {
		if key == etcdRecord {
			e.lost, e.w.recordStale = false, true
			e.w.ledger.recordChanged()
		}
	}
	e.store, e.w.recordStale = s, true
	e.stores++
}

// start starts the members that do not run.
func (e *etcd) start() {
	for i := range e.members {
		e.startMember(i)
	}
	if !e.begun {
		e.begun = true
		e.tick()
		e.saveBackup()
	}
}

func (e *etcd) startMember(i int) {
	if m := &e.members[i]; !m.up {
		m.up, m.frozen = true, false
		m.life++
		e.w.say("etcd", "member %d started", i+1)
		e.mayElect()
	}
}

func (e *etcd) killMember(i int) {
	if m := &e.members[i]; m.up {
		m.up, m.frozen = false, false
		e.endWatches(i)
		e.missing()
	}
}

func (e *etcd) kill() {
	for i := range e.members {
		e.killMember(i)
	}
}

// healthy is how many members take part.
func (e *etcd) healthy() (n int) {
	for _, m := range e.members {
		if m.up && !m.frozen {
			n++
		}
	}
	return n
}

func (e *etcd) quorum() bool { return e.healthy() > etcdMembers/2 }

// stuck: nothing of it runs.
func (e *etcd) stuck() bool { return e.frozen || e.host.asleep }

// sound: what it is asked it does.
func (e *etcd) sound() bool { return e.leader >= 0 && !e.stuck() }

// missing is called when a member takes no part any more.
func (e *etcd) missing() {
	if e.leader >= 0 && (!e.quorum() || !e.members[e.leader].up || e.members[e.leader].frozen) {
		e.leader = -1
		e.mayElect()
	}
}

// mayElect lets the members elect a leader in a while, if enough of them are there.
func (e *etcd) mayElect() {
	e.w.after(e.w.between(etcdElection/2, 2*etcdElection), func() {
		if e.leader < 0 && e.quorum() && !e.stuck() {
			e.elect()
		} else if e.leader < 0 && e.quorum() {
			e.mayElect()
		}
	})
}

func (e *etcd) elect() {
	for e.leader < 0 {
		if i := e.w.rnd.IntN(etcdMembers); e.members[i].up && !e.members[i].frozen {
			e.leader = i
		}
	}
	e.store.extend(e.now())
	e.w.say("etcd", "member %d leads", e.leader+1)
}

// now is the time by the leader's clock.
func (e *etcd) now() time.Duration { return e.host.local(e.w.now) }

// tick ends leases, as a leader does twice a second.
func (e *etcd) tick() {
	if e.sound() {
		before := e.store.revision
		e.store.expire(e.now())
		if e.store.revision != before {
			e.w.say("etcd", "a lease has run out")
			e.tellWatches()
		}
	}
	e.w.after(500*time.Millisecond, e.tick)
}

// saveBackup is the site's job that saves the store now and then.
func (e *etcd) saveBackup() {
	if e.sound() && !e.lost {
		e.backups = append(e.backups, e.store.backup())
		e.backups = e.backups[max(0, len(e.backups)-etcdBackups):]
	}
	e.w.after(e.w.between(2*time.Second, time.Minute), e.saveBackup)
}

// record is the record in the store; zero when there is none, or when the store was
// restored and this one is out of date.
func (e *etcd) record() (r record.Record) {
	if k, there := e.store.keys[etcdRecord]; there && !e.lost {
		if err := json.Unmarshal(k.value, &r); err != nil {
			panic(fmt.Sprintf("sim: etcd holds a record that cannot be read: %v", err))
		}
	}
	return r
}

// heal ends what a fault has done to it, but for members that are to be started.
func (e *etcd) heal() {
	e.frozen = false
	for i := range e.members {
		if e.members[i].frozen {
			e.thaw(i)
		}
	}
}
