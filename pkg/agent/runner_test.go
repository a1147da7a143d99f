package agent

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"mcctl/pkg/act"
	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

var errPlanned = errors.New("planned")

func rule(do decide.Action) decide.Rule { return decide.Rule{Do: do} }

// driven is a runner whose actions begin and end as the test says.
type driven struct {
	*runner
	board *board.Board
	began chan context.Context
	end   chan error // an action also ends with its context
	done  chan error
	looks int
}

func newDriven(t *testing.T) *driven {
	t.Helper()
	d := &driven{board: board.NewBoard(), began: make(chan context.Context, 1), end: make(chan error), done: make(chan error, 1)}
	d.board.Set(func(s *board.Sight) { s.Known = true }) // no postmaster: nothing to settle
	do := func(ctx context.Context, _ decide.Action) error {
		d.began <- ctx
		select {
		case err := <-d.end:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d.runner = newRunner(do, d.board, func() { d.looks++ }, func(_ decide.Action, err error, _ time.Duration) { d.done <- err })
	return d
}

// begin considers the action, which must begin at once.
func (d *driven) begins(t *testing.T, do decide.Action) context.Context {
	t.Helper()
	d.consider(t.Context(), rule(do), d.mark())
	if got := d.doing(); got != do {
		t.Fatalf("%q is under way, want %q", got, do)
	}
	return received(t, d.began)
}

func (d *driven) ends(t *testing.T, how error) {
	t.Helper()
	select {
	case d.end <- how:
	case <-time.After(limit):
		t.Fatal("no action takes its end")
	}
	if err := received(t, d.done); !errors.Is(err, how) {
		t.Fatalf("ended with %v, want %v", err, how)
	}
}

// The record says paired a moment before the attach that changed it has ended.
func TestAnAttachThatIsDoneIsLetEnd(t *testing.T) {
	d := newDriven(t)
	ctx := d.begins(t, decide.Attach)
	d.board.Set(func(s *board.Sight) { s.Record.Mode = pair.Paired })
	d.consider(t.Context(), rule(decide.Wait), d.mark())
	if ctx.Err() != nil {
		t.Error("it was given up")
	}
	d.ends(t, nil)
	ctx = d.begins(t, decide.Attach)
	d.consider(t.Context(), rule(decide.Detach), d.mark())
	if ctx.Err() == nil {
		t.Error("it goes on although the standby has gone")
	}
}

func TestOneActionAtATime(t *testing.T) {
	d := newDriven(t)
	ctx := d.begins(t, decide.Detach)
	for _, do := range []decide.Action{decide.Detach, decide.Promote, decide.Attach, decide.Wait} {
		d.consider(t.Context(), rule(do), d.mark())
		if got := d.doing(); got != decide.Detach || ctx.Err() != nil {
			t.Errorf("considering %s: %q is under way, %v", do, got, ctx.Err())
		}
	}
	d.ends(t, nil)
	if got := d.doing(); got != "" {
		t.Errorf("%q is under way after the end", got)
	}
	d.consider(t.Context(), rule(decide.Wait), d.mark())
	if got := d.doing(); got != "" {
		t.Errorf("waiting is not an action, yet %q is under way", got)
	}
	d.begins(t, decide.Promote)
	d.ends(t, nil)
	d.runner.end()
}

// A switch that has failed is not made again because it was wanted a moment before.
func TestNothingIsBegunByAnOlderLook(t *testing.T) {
	d := newDriven(t)
	seen := d.mark()
	d.begins(t, decide.Switch)
	d.ends(t, nil)
	d.consider(t.Context(), rule(decide.Switch), seen)
	if got := d.doing(); got != "" {
		t.Errorf("%q is under way, by what was seen before the last one ended", got)
	}
	d.begins(t, decide.Switch)
	d.ends(t, nil)
}

// What replaces the data would leave nothing to be opened by force.
func TestDataThatIsSparedIsNotReplaced(t *testing.T) {
	for _, do := range []decide.Action{decide.Rejoin, decide.Rebuild} {
		d := newDriven(t)
		end, doing := d.spareData()
		if d.consider(t.Context(), rule(do), d.mark()); doing != "" || d.doing() != "" {
			t.Errorf("spared from %q, and %q is under way", doing, d.doing())
		}
		d.begins(t, decide.StartStandby)
		d.ends(t, nil)
		again, _ := d.spareData() // two operators
		end()
		if d.consider(t.Context(), rule(do), d.mark()); d.doing() != "" {
			t.Errorf("%q is under way when only one of two has let go", d.doing())
		}
		before := d.mark()
		again()
		if d.consider(t.Context(), rule(do), before); d.doing() != "" {
			t.Errorf("%q is under way by an older look", d.doing())
		}
		d.begins(t, do)
		if _, doing := d.spareData(); doing != do {
			t.Errorf("%s is under way, and %q is told", do, doing)
		}
		d.board.Set(func(s *board.Sight) { s.Starting = true }) // the data is as it will be
		end, doing = d.spareData()
		if end(); doing != "" {
			t.Errorf("only the start is left, and %q is told", doing)
		}
		d.ends(t, nil)
	}
}

func TestWhatYieldsIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		doing, rule decide.Action
		givenUp     bool
	}{
		{decide.Attach, decide.Attach, false},
		{decide.Attach, decide.Wait, true},
		{decide.Attach, decide.Detach, true},
		{decide.Attach, decide.Stop, true},
		{decide.OpenGate, decide.OpenGate, false},
		{decide.OpenGate, decide.Detach, true},
		{decide.Detach, decide.Attach, false},
		{decide.Promote, decide.Wait, false},
		{decide.Rejoin, decide.StartStandby, false},
		{decide.Rejoin, decide.Rebuild, false},
		{decide.Rejoin, decide.Stop, true},
		{decide.Switch, decide.HandOver, false},
		{decide.StartGated, decide.HandOver, true},
		{decide.StartGated, decide.Wait, false},
		{decide.StartStandby, decide.Rebuild, true},
		{decide.StartStandby, decide.Rejoin, true},
		{decide.StartStandby, decide.Promote, true}, // by force: what it waits for will not come
		{decide.StartStandby, decide.Wait, false},
		{decide.StartOpen, decide.Restart, false},
		{decide.StartGated, decide.Restart, false},
		{decide.StartStandby, decide.Restart, false},
		{decide.StartOpen, decide.Retire, true},
		{decide.StartGated, decide.Retire, true},
		{decide.TakeOver, decide.Promote, true},
		{decide.TakeOver, decide.Wait, false},
		{decide.HandOver, decide.Promote, false},
	} {
		d := newDriven(t)
		ctx := d.begins(t, c.doing)
		d.consider(t.Context(), rule(c.rule), d.mark())
		if givenUp := ctx.Err() != nil; givenUp != c.givenUp {
			t.Errorf("%s under way, rule says %s: given up %v, want %v", c.doing, c.rule, givenUp, c.givenUp)
		}
		if !c.givenUp {
			d.ends(t, nil)
			continue
		}
		if err := received(t, d.done); !errors.Is(err, context.Canceled) {
			t.Errorf("%s given up for %s: %v", c.doing, c.rule, err)
		}
	}
}

// What brings a server back is left off in its start like any start, and never while it rewinds
// or copies.
func TestTheStartOfAServerThatComesBackIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		doing, rule decide.Action
		givenUp     bool
	}{
		{decide.Rejoin, decide.Restart, true},
		{decide.Rebuild, decide.Restart, true},
		{decide.Rejoin, decide.Rebuild, true},
		{decide.Rejoin, decide.Wait, false},
		{decide.Rejoin, decide.Rejoin, false},
		{decide.Rebuild, decide.Rebuild, false},
	} {
		for _, starting := range []bool{true, false} {
			d := newDriven(t)
			ctx := d.begins(t, c.doing)
			d.board.Set(func(s *board.Sight) { s.PID, s.Hung, s.Serves, s.Starting = 7, true, true, starting })
			d.consider(t.Context(), rule(c.rule), d.mark())
			if givenUp := ctx.Err() != nil; givenUp != (c.givenUp && starting) {
				t.Errorf("%s under way, starting %v, rule says %s: given up %v", c.doing, starting, c.rule, givenUp)
			}
			d.board.Set(func(s *board.Sight) { s.PID = 0 }) // nothing to settle
			if ctx.Err() == nil {
				d.ends(t, nil)
			} else {
				received(t, d.done)
			}
		}
	}
}

// Its start waits for log that nobody has, and the rule says what it said before: to come back.
// It is told why, since what an operator asked for is left off also to go on later.
func TestAWayBackWhoseStartIsInVainIsLeftOffForGood(t *testing.T) {
	for _, doing := range []decide.Action{decide.Rejoin, decide.Rebuild} {
		for _, c := range []struct{ starting, stranded bool }{{true, true}, {true, false}, {false, true}} {
			d := newDriven(t)
			ctx := d.begins(t, doing)
			d.board.Set(func(s *board.Sight) { s.Starting, s.Stranded = c.starting, c.stranded })
			d.consider(t.Context(), rule(doing), d.mark())
			if leftOff := errors.Is(context.Cause(ctx), act.ErrStranded); leftOff != (c.starting && c.stranded) {
				t.Errorf("%s, %+v: it ends with %v", doing, c, context.Cause(ctx))
			}
			if ctx.Err() == nil {
				d.ends(t, nil)
			} else {
				received(t, d.done)
			}
		}
	}
}

// A start is given up for a postmaster that answers nobody, but not while it has yet to come
// so far that it answers: it may only be removing many temporary files.
func TestAStartWhosePostgreSQLFreezesIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		doing   decide.Action
		givenUp bool
	}{
		{decide.StartOpen, true},
		{decide.StartGated, true},
		{decide.StartStandby, true},
		{decide.Rejoin, false},
		{decide.Rebuild, false},
		{decide.Promote, false},
	} {
		d := newDriven(t)
		ctx := d.begins(t, c.doing)
		d.board.Set(func(s *board.Sight) { s.PID, s.Hung, s.Serves = 7, true, true })
		d.consider(t.Context(), rule(decide.Restart), d.mark())
		if givenUp := ctx.Err() != nil; givenUp != c.givenUp {
			t.Errorf("%s under way: given up %v, want %v", c.doing, givenUp, c.givenUp)
		}
		if !c.givenUp {
			d.board.Set(func(s *board.Sight) { s.PID = 0 }) // nothing to settle
			d.ends(t, nil)
			continue
		}
		received(t, d.done)
		d.begins(t, decide.Restart)
		d.board.Set(func(s *board.Sight) { s.PID = 0 })
		d.ends(t, nil)
	}
}

// A gate that waits for the standby is begun anew when the record has become alone: by
// that rule it waits for nothing.
func TestAGateThatNeedNotWaitAnyMoreIsBegunAnew(t *testing.T) {
	d := newDriven(t)
	waiting, alone := decide.Rule{ID: 258, Do: decide.OpenGate}, decide.Rule{ID: 230, Do: decide.OpenGate}
	d.consider(t.Context(), waiting, d.mark())
	ctx := received(t, d.began)
	d.consider(t.Context(), waiting, d.mark())
	if ctx.Err() != nil {
		t.Error("given up by the rule that it began by")
	}
	d.consider(t.Context(), alone, d.mark())
	if err := received(t, d.done); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

func TestTheSupervisorsEndWaitsForTheActionUnderWay(t *testing.T) {
	d := newDriven(t)
	ctx, cancel := context.WithCancel(t.Context())
	d.consider(ctx, rule(decide.Rejoin), d.mark())
	received(t, d.began)
	cancel()
	d.runner.end()
	if err := received(t, d.done); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestRetriesComeWithGrowingPauses(t *testing.T) {
	var tries []time.Duration
	b := board.NewBoard()
	done := make(chan error, 1)
	r := newRunner(func(context.Context, decide.Action) error {
		tries = append(tries, wire.Now())
		return errPlanned
	}, b, func() { t.Error("a failed action is not looked after") }, func(_ decide.Action, err error, _ time.Duration) { done <- err })
	for range 4 {
		eventually(t, "it is tried", func() bool {
			r.consider(t.Context(), rule(decide.Attach), r.mark())
			return r.doing() != "" || len(done) > 0
		})
		received(t, done)
	}
	for i, least := range []time.Duration{firstRetry, 2 * firstRetry, 4 * firstRetry} {
		if pause := tries[i+1] - tries[i]; pause < least {
			t.Errorf("try %d came %s after the one before, sooner than %s", i+2, pause, least)
		}
	}
}

func TestPausesAreBoundedByKind(t *testing.T) {
	for action, want := range map[decide.Action]time.Duration{
		decide.TakeOver: urgentRetry, decide.HandOver: urgentRetry, decide.Detach: urgentRetry,
		decide.Promote: urgentRetry, decide.OpenGate: urgentRetry,
		decide.Rejoin: patientRetry, decide.StartStandby: patientRetry, decide.Attach: patientRetry,
	} {
		r := newDriven(t).runner
		for range 12 {
			r.finish(action, errPlanned)
		}
		if r.backoff != want {
			t.Errorf("%s pauses %s at most, want %s", action, r.backoff, want)
		}
		r.finish(action, nil)
		r.finish(action, errPlanned)
		if r.backoff != firstRetry {
			t.Errorf("%s pauses %s after it has succeeded once, want %s", action, r.backoff, firstRetry)
		}
	}
}

// A copy that fails for hours of the primary's disks is not begun again after seconds,
// unless somebody has put something right.
func TestACopyInVainIsNotRepeatedSoon(t *testing.T) {
	d := newDriven(t)
	inVain := fmt.Errorf("%w: %w", act.ErrInVain, errPlanned)
	for _, want := range []time.Duration{patientRetry, 2 * patientRetry, 4 * patientRetry} {
		d.finish(decide.Rejoin, inVain)
		if d.vain.backoff != want {
			t.Errorf("pauses %s, want %s", d.vain.backoff, want)
		}
		d.finish(decide.StartStandby, nil) // with the old data, which can be read meanwhile
		d.consider(t.Context(), rule(decide.Rejoin), d.mark())
		if got := d.doing(); got != "" {
			t.Fatalf("%s is tried again at once, since the old data was started", got)
		}
	}
	for range 12 {
		d.finish(decide.Rejoin, inVain)
	}
	if next, why := d.failure(decide.Rejoin); !errors.Is(why, errPlanned) || next < costlyRetry-time.Minute || next > costlyRetry {
		t.Errorf("tried again in %s after %v, want %s", next, why, costlyRetry)
	}
	d.consider(t.Context(), rule(decide.Rejoin), d.mark())
	if got := d.doing(); got != "" {
		t.Errorf("%s is tried again too early", got)
	}
	d.forgive()
	d.begins(t, decide.Rejoin)
	d.ends(t, inVain)
	if next, _ := d.failure(decide.Rejoin); next > patientRetry {
		t.Errorf("tried again in %s after something was put right", next)
	}
	d.back() // it streams
	d.begins(t, decide.Rejoin)
	d.ends(t, nil)
	d.finish(decide.Rebuild, inVain)
	d.consider(t.Context(), rule(decide.Rejoin), d.mark())
	if got := d.doing(); got != "" {
		t.Errorf("%s copies at once what an operator has copied in vain", got)
	}
	d.begins(t, decide.Rebuild) // an operator is not held back
	d.ends(t, nil)
	d.begins(t, decide.Rejoin)
	d.ends(t, nil)
}

func TestAFailureHoldsBackNothingElse(t *testing.T) {
	d := newDriven(t)
	d.begins(t, decide.Attach)
	d.ends(t, errPlanned)
	d.retryAt += time.Hour
	d.consider(t.Context(), rule(decide.Attach), d.mark())
	if got := d.doing(); got != "" {
		t.Errorf("%s is tried again too early", got)
	}
	d.begins(t, decide.Detach)
	d.ends(t, nil)
}

func TestARetryThatIsDueTurnsTheLoop(t *testing.T) {
	d := newDriven(t)
	d.finish(decide.Attach, errPlanned)
	received(t, d.board.Woken())
	if wire.Now() < d.retryAt {
		t.Error("woken before the retry is due")
	}
}

func TestSettleWaitsForANewerLook(t *testing.T) {
	d := newDriven(t)
	since := wire.Now()
	d.board.Set(func(s *board.Sight) { s.PID, s.LookAt = 7, since })
	d.look = func() {
		d.looks++
		if d.doing() == "" {
			t.Error("the action counts as ended before its outcome is seen")
		}
		if d.looks == 3 {
			d.board.Set(func(s *board.Sight) { s.LookAt = wire.Now() })
		}
	}
	d.begins(t, decide.Detach)
	d.ends(t, nil)
	if d.looks < 3 || d.board.Read().LookAt <= since {
		t.Errorf("settled after %d looks", d.looks)
	}
}

func TestSettleIsBounded(t *testing.T) {
	d := newDriven(t)
	d.settle()
	if d.looks != 0 {
		t.Error("where no postmaster runs there is nothing to look at")
	}
	d.board.Set(func(s *board.Sight) { s.PID, s.LookAt = 7, wire.Now() })
	began := wire.Now()
	d.settle()
	if took := wire.Now() - began; took < settling || d.looks < 2 {
		t.Errorf("gave up after %s and %d looks", took, d.looks)
	}
}
