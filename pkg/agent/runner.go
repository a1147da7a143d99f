package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"mcctl/pkg/act"
	"mcctl/pkg/board"
	"mcctl/pkg/clock"
	"mcctl/pkg/decide"
)

// How soon an action that failed is tried again, doubling up to the limit of its
// kind: a question to the keeper is cheap and clients are waiting; a rewind is not.
const (
	firstRetry   = 20 * time.Millisecond
	urgentRetry  = 100 * time.Millisecond
	patientRetry = 3 * time.Second
	costlyRetry  = 5 * time.Minute // after what cost much, see act.ErrInVain
	// settling bounds the look that follows an action, so that the next decision
	// does not go by what was true before it.
	settling = 300 * time.Millisecond
)

// runner runs at most one action at a time.
type runner struct {
	do    func(context.Context, decide.Action) error
	board *board.Board
	look  func()
	done  func(decide.Action, error, time.Duration)

	mu     sync.Mutex    // held while the board is asked; so not to be taken while it is changed
	action decide.Action // "" when idle
	rule   int           // by which it began
	cancel context.CancelCauseFunc
	did    decide.Action // the newest, unless it failed
	moment int           // see mark
	spares int           // see spareData
	held                 // the action that failed last, until another one succeeds
	// vain is the way back that has cost much and came to nothing (act.ErrInVain), also when
	// an operator has asked for it. What else succeeds meanwhile makes the next no cheaper.
	vain held
	wg   sync.WaitGroup
	// clock is this machine's, and begins runs work beside the caller, unless set.
	clock  clock.Clock
	begins func(work func())
}

// held is an action that failed and is held back for a while.
type held struct {
	failed  decide.Action // "" is none
	why     error
	retryAt time.Duration
	backoff time.Duration
}

// again holds the action back once more, for twice as long as before.
func (f *held) again(action decide.Action, why error, now time.Duration) {
	if f.failed != action {
		f.backoff = 0
	}
	first, limit := pauses(action, why)
	f.backoff = min(max(2*f.backoff, first), limit)
	f.failed, f.why, f.retryAt = action, why, now+f.backoff
}

func (f *held) holds(action decide.Action, now time.Duration) bool {
	return action == f.failed && now < f.retryAt
}

func newRunner(do func(context.Context, decide.Action) error, b *board.Board, look func(), done func(decide.Action, error, time.Duration)) *runner {
	r := &runner{do: do, board: b, look: look, done: done, clock: clock.Machine}
	r.begins = r.wg.Go
	return r
}

// consider starts the rule's action unless one is under way or it failed a moment
// ago. An action that yields is given up when another rule decides, also a gate that
// waits for the standby when the record says alone now: it opens by itself then. So is a way
// back whose start waits for log that nobody has: it is gone anew, by a copy; one that an
// operator asked for ends. Nothing is begun by a look older than the end of the last
// action, such as a switch that has failed since: mark was taken before it. The next turn is due then.
func (r *runner) consider(ctx context.Context, rule decide.Rule, mark int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.action == rule.Do:
		switch {
		case r.action == decide.OpenGate && r.rule != rule.ID:
			r.cancel(nil)
		case starts(r.at()) && r.board.Read().Stranded:
			r.cancel(act.ErrStranded)
		}
	case r.spares > 0 && replacesData(rule.Do):
	case r.action == decide.Attach && rule.Do == decide.Wait && board.Mode(r.board.Read()) == decide.Paired:
		// It has done what it was begun for, and only its end is missing.
	case r.action != "":
		if yields(r.at(), rule.Do) || rule.Do == decide.Restart && starts(r.at()) && r.board.Read().Serves {
			r.cancel(nil)
		}
	case rule.Do == decide.Wait, r.moment != mark:
	case r.holds(rule.Do, r.clock.Now()), r.vain.holds(rule.Do, r.clock.Now()):
	default:
		r.begin(ctx, rule)
	}
}

func replacesData(action decide.Action) bool {
	return action == decide.Rejoin || action == decide.Rebuild
}

// spareData holds back, until end, what would replace this server's data: somebody is about
// to have it opened by force. It tells what does so already, or "".
func (r *runner) spareData() (end func(), doing decide.Action) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if replacesData(r.at()) {
		return func() {}, r.action
	}
	r.spares++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.spares--
		r.moment++
		r.board.Wake()
	}, ""
}

// at is what the action under way is about: one that brings this server back is in the end
// the start of a standby. That may hang or wait in vain like any other, and is left
// off for the same; what was rewound or copied for it stays, and is started again.
func (r *runner) at() decide.Action {
	if replacesData(r.action) && r.board.Read().Starting {
		return decide.StartStandby
	}
	return r.action
}

// yields: an attach or a gate that waits for the standby must not go on when the
// standby has gone. A take-over whose permission has come another way (the primary
// handed over) only stands in the way of the promotion: what it asked for names a
// record that is gone. A start behind the gate waits as long as PostgreSQL recovers, on
// a disk that may hang: where no arbiter lets the standby take over, only this server can
// hand over; and no start of a primary goes on where the record has come to name the other
// server. A standby that is started may wait for log which nobody has, and its data is
// to be made anew, for an operator or by itself, or opened by force. Everything else has its own deadline or must be finished, but for a switch
// that has not begun to close, which is recalled (Agent.recallVainSwitch). A start whose
// PostgreSQL freezes yields to its restart as well, but not as long as that only has not come
// so far that it answers (board.Sight.Serves): killed there, it would begin all over again.
func yields(doing, to decide.Action) bool {
	switch {
	case to == decide.Stop, doing == decide.Attach, doing == decide.OpenGate:
		return true
	}
	primary := starts(doing) && doing != decide.StartStandby
	return primary && to == decide.Retire || doing == decide.TakeOver && to == decide.Promote || doing == decide.StartGated && to == decide.HandOver ||
		doing == decide.StartStandby && (to == decide.Rebuild || to == decide.Rejoin || to == decide.Promote)
}

func starts(doing decide.Action) bool {
	return doing == decide.StartOpen || doing == decide.StartGated || doing == decide.StartStandby
}

func (r *runner) begin(ctx context.Context, rule decide.Rule) {
	ctx, cancel := context.WithCancelCause(ctx)
	action := rule.Do
	r.action, r.rule, r.cancel = action, rule.ID, cancel
	r.begins(func() {
		defer cancel(nil)
		began := r.clock.Now()
		err := r.do(ctx, action)
		took := r.clock.Now() - began
		if err == nil && action != decide.TakeOver { // which changes nothing that a look would see
			r.settle()
		}
		r.finish(action, err)
		r.done(action, err, took)
		r.board.Wake()
	})
}

// settle waits for a look that is newer than the action.
func (r *runner) settle() {
	since := r.clock.Now()
	for r.clock.Now()-since < settling {
		if s := r.board.Read(); s.LookAt > since || (s.Known && s.PID == 0) {
			return
		}
		r.look()
		r.clock.Wait(context.Background(), time.Millisecond, nil)
	}
}

func (r *runner) finish(action decide.Action, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.action, r.cancel, r.did = "", nil, ""
	r.moment++
	if err == nil {
		r.did = action
	}
	comesBack := replacesData(action)
	f := &r.held
	switch {
	case err == nil && comesBack:
		r.held, r.vain = held{}, held{}
		return
	case err == nil:
		r.held = held{}
		return
	case comesBack && errors.Is(err, act.ErrInVain):
		f, action = &r.vain, decide.Rejoin // nobody holds back an operator
	}
	f.again(action, err, r.clock.Now())
	r.clock.After(f.backoff, r.board.Wake)
}

func pauses(action decide.Action, err error) (first, limit time.Duration) {
	switch action {
	case decide.TakeOver, decide.HandOver, decide.Detach, decide.Promote, decide.OpenGate:
		return firstRetry, urgentRetry
	}
	if errors.Is(err, act.ErrInVain) {
		return patientRetry, costlyRetry
	}
	return firstRetry, patientRetry
}

// forgive has what failed tried again at once: what it failed by may have been put right.
func (r *runner) forgive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range []*held{&r.held, &r.vain} {
		f.retryAt, f.backoff = 0, 0
	}
	r.board.Wake()
}

// back notes that this server has come back, by whatever way: the next one is not dear.
func (r *runner) back() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.vain = held{}
}

// doing is the action under way, or "".
func (r *runner) doing() decide.Action {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.action
}

// mark is taken before a look, for consider: it stays until an action ends, or data is no
// longer spared.
func (r *runner) mark() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.moment
}

// rests tells whether nothing is under way, and what came last was this action, done.
func (r *runner) rests(after decide.Action) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.action == "" && r.did == after
}

// failure is why the action failed at its last try, and how long it is until the next;
// nil when another one, or none, failed.
func (r *runner) failure(of decide.Action) (next time.Duration, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range []held{r.vain, r.held} {
		if f.failed == of {
			return max(0, f.retryAt-r.clock.Now()), f.why
		}
	}
	return 0, nil
}

// end waits for the action under way, whose context has ended.
func (r *runner) end() { r.wg.Wait() }
