package arbiter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"mcctl/pkg/clock"
	"mcctl/pkg/config"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// KindEtcd: the record is a key in an etcd cluster.
const KindEtcd = "etcd"

// EtcdConfig says where the etcd is and whose record is kept there.
type EtcdConfig struct {
	Endpoints []string // each http://host:port or https://host:port
	Prefix    string   // of all keys
	Pair      string
	Me, Other pair.Server
	// Paths in PEM. CA makes it TLS; Certificate and Key are this server's, or empty.
	CA, Certificate, Key string
	// Username and the file with its password; empty where etcd needs none.
	Username, PasswordFile string
	Interval, Timeout      time.Duration
}

// EtcdOf is the etcd of a configuration.
func EtcdOf(c *config.Config) EtcdConfig {
	of, t := c.Pair.Arbiter.Etcd, c.Pair.Timings
	return EtcdConfig{
		Endpoints: of.Endpoints, Prefix: of.Prefix, Pair: c.Pair.Name, Me: c.Me(), Other: c.Other(),
		CA: of.CA, Certificate: of.Certificate, Key: of.Key,
		Username: of.Username, PasswordFile: of.PasswordFile,
		Interval: t.HeartbeatInterval.Duration, Timeout: t.HeartbeatTimeout.Duration,
	}
}

// etcd is a Keeper whose record is a key in etcd. There is no process of ours that
// judges: the asking server does, by one read of everything, and changes the record in
// a transaction that fails unless all it judged by is unchanged.
//
// A session is a lease of this server and what was told under it. It is to etcd what
// a connection is to a witness: an answer of a session that has ended is none.
type etcd struct {
	cfg    EtcdConfig
	keys   etcdKeys
	clock  clock.Clock
	begin  func(work func())
	client *etcdClient
	report func() wire.WitnessReport
	tell   func()
	kick   chan struct{}

	mu      sync.Mutex
	session int   // counts the ended ones
	lease   int64 // 0: no session
	ttl     time.Duration
	renewed time.Duration // by the clock, when the last refresh was asked for
	told    bool          // our key hangs on this lease
	view    etcdView
	asOf    time.Duration // by the clock, when the newest view was asked for; 0 is never
	known   record.Record // the newest that etcd ever told us
	problem string        // why it does not answer
	refused string        // why it takes no writes, though it answers
}

var errNoSession = errors.New("there is no session with etcd")

// NewEtcd makes a Keeper of kind etcd; Run connects it. report and changed are those of
// NewWitness.
func NewEtcd(cfg EtcdConfig, report func() wire.WitnessReport, changed func()) (Keeper, error) {
	return NewEtcdIn(EtcdWorld{}, cfg, report, changed)
}

// EtcdWorld is what a keeper of kind etcd stands on. What is nil is the machine's.
type EtcdWorld struct {
	Clock clock.Clock
	// Begin runs work beside the caller.
	Begin func(work func())
	// Web carries a question to an endpoint, and its answer back.
	Web http.RoundTripper
	// Renewed is told when renewed certificates were taken (nil), or once why they were not.
	Renewed func(error)
}

// NewEtcdIn is NewEtcd in that world.
func NewEtcdIn(w EtcdWorld, cfg EtcdConfig, report func() wire.WitnessReport, changed func()) (Keeper, error) {
	e, err := newEtcd(w, cfg)
	if err != nil {
		return nil, err
	}
	e.report, e.tell = report, changed
	return e, nil
}

func newEtcd(w EtcdWorld, cfg EtcdConfig) (*etcd, error) {
	w.Clock = clock.Or(w.Clock)
	if w.Begin == nil {
		w.Begin = func(work func()) { go work() }
	}
	client, err := newEtcdClient(w, cfg)
	if err != nil {
		return nil, err
	}
	return &etcd{
		cfg: cfg, keys: etcdKeys{cfg.Prefix + "/" + cfg.Pair + "/"}, clock: w.Clock, begin: w.Begin, client: client,
		kick: make(chan struct{}, 1), problem: "not connected yet",
	}, nil
}

func (e *etcd) Kind() string { return KindEtcd }

func (e *etcd) Kick() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

func (e *etcd) Problem() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := moved(e.view.record); e.problem == "" && err != nil {
		return err.Error()
	}
	return cmp.Or(e.problem, e.refused)
}

// reached: etcd answers, and counts us as alive. Called with mu held.
func (e *etcd) reached() bool {
	return e.told && e.problem == "" && e.clock.Now()-e.asOf <= e.cfg.Timeout
}

func (e *etcd) Seen() (record.Record, time.Duration, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.view.record, e.clock.Now() - e.asOf, e.reached() && e.view.record.Moved == ""
}

func (e *etcd) OtherHeard() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reached() && e.view.heard(e.cfg.Other)
}

func (e *etcd) OtherPostgresDown() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reached() && e.view.down(e.cfg.Other)
}

// current is the session that a question belongs to.
func (e *etcd) current() (session int, lease int64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.told {
		return 0, 0, fmt.Errorf("%w: %s", errNoSession, e.problem)
	}
	return e.session, e.lease, nil
}

func (e *etcd) Read(ctx context.Context) (record.Record, error) {
	session, _, err := e.current()
	if err != nil {
		return record.Record{}, unknown("read record", err)
	}
	asked := e.clock.Now()
	v, err := e.look(ctx)
	if err == nil {
		err = cmp.Or(e.learn(v, session, asked), moved(v.record))
	}
	if err != nil {
		return record.Record{}, unknown("read record", err)
	}
	return v.record, nil
}

// changeAttempts is how often a change is judged again because something that it was
// judged by changed before it was made.
const changeAttempts = 10

func (e *etcd) Change(ctx context.Context, c record.Change) (record.Record, error) {
	session, lease, err := e.current()
	if err != nil {
		return record.Record{}, unknown(string(c.Transition), err)
	}
	if c.By != e.cfg.Me {
		return record.Record{}, &Refused{Reason: fmt.Sprintf("%s cannot propose a change by %s", e.cfg.Me, c.By)}
	}
	for range changeAttempts {
		asked := e.clock.Now()
		v, err := e.look(ctx)
		if err != nil {
			return record.Record{}, unknown(string(c.Transition), err)
		}
		if e.wentBack(v) { // or a later look was quicker: this tells once it is looked at again
			continue
		}
		next, err := e.judge(v, c)
		if err != nil {
			return record.Record{}, err
		}
		compare := []etcdCompare{sameMod(e.keys.record(), v.recordMod)}
		if c.Transition == record.Failover { // it counts whether the primary is alive
			compare = append(compare, sameMod(e.keys.server(v.record.Primary), v.servers[v.record.Primary].mod))
		}
		answer, err := e.swap(ctx, next, lease, compare...)
		if err != nil {
			return record.Record{}, unknown(string(c.Transition), err)
		}
		if answer.Succeeded {
			v.record, v.recordMod, v.revision = next, answer.Header.Revision, answer.Header.Revision
			if err := e.learn(v, session, asked); err != nil {
				return record.Record{}, unknown(string(c.Transition), err)
			}
			e.Kick() // tell etcd what we know
			return next, nil
		}
		if v.servers[e.cfg.Me].lease != lease {
			break
		}
	}
	return record.Record{}, unknown(string(c.Transition), errNoSession)
}

// wentBack: etcd was emptied, or restored from a backup, since this session began. The
// next turn ends it.
func (e *etcd) wentBack(v etcdView) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return v.revision < e.view.revision
}

// judge is what a witness does: legal by the protocol, and by what is known of the
// primary.
func (e *etcd) judge(v etcdView, c record.Change) (record.Record, error) {
	if !v.record.Exists() {
		return record.Record{}, &Refused{Reason: fmt.Sprintf("etcd has no record of pair %s that can be relied on; it gets one when both servers are connected to it", e.cfg.Pair)}
	}
	next, err := v.record.Judge(c, record.Sight{PrimaryHeard: v.heard(v.record.Primary), PostgresDown: v.down(v.record.Primary)})
	switch {
	case errors.Is(err, record.ErrConflict):
		return next, fmt.Errorf("%s: %w", c.Transition, err)
	case err != nil:
		return next, &Refused{Reason: err.Error()}
	}
	return next, nil
}

// learn takes over a view, unless a later one came before it. What was asked in an
// earlier session is errLate: another store may have been told since what we knew.
func (e *etcd) learn(v etcdView, session int, asked time.Duration) error {
	e.mu.Lock()
	if session != e.session {
		e.mu.Unlock()
		return errLate
	}
	news := e.problem != "" || v.record != e.view.record || v.heard(e.cfg.Other) != e.view.heard(e.cfg.Other) || v.down(e.cfg.Other) != e.view.down(e.cfg.Other)
	if v.revision >= e.view.revision {
		e.view, e.asOf, e.problem = v, max(asked, e.asOf), ""
	}
	if v.record.Moved == "" && v.record.NewerThan(e.known) {
		e.known = v.record
	}
	e.mu.Unlock()
	if news {
		e.tell()
	}
	return nil
}
