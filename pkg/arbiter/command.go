package arbiter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// Command is the Keeper of a pair in which the site's arbitration and fencing
// commands decide. The server that the record names primary holds it, as its own
// durable copy. What a compare-and-swap on a third host would give is leave here:
// the primary lends it to the standby by telling it that they are paired, and goes
// alone only when that was given back, by the standby's word or by its death; the
// standby takes over only with it and after fencing (docs/protocol.md).
type Command struct {
	*local
	ask func(context.Context, record.Record) error

	state sync.Mutex // never held while a disk or the other server is waited for: the loop needs it
	// pending is a record on its way to the disk, which may be there already: what it
	// forbids is neither told, given nor taken.
	pending record.Record
	// As the primary. unmet: the term in which it was started with a copy that says
	// paired, and has not met the standby since; 0 is none. lent: a standby may hold a
	// telling. telling: one is on its way, and may wait for its turn until another process
	// of the standby is connected. answered is the record of the last one that was answered
	// over the present connection.
	unmet         pair.Term
	lent, telling bool
	answered      record.Record
	// As the standby. told is the paired record that the primary has told in this run,
	// waived the one from which it will not take over.
	told, waived record.Record
	fenced       bool
	// meetings counts what was told and taken back, voids what makes the answer to an older
	// telling worth nothing: the connection has ended, or the standby was asked for its word,
	// which it may have given after that answer. toldAt is voids at the newest telling.
	meetings, voids, toldAt int
}

// Leave is what Command allows now.
type Leave uint8

const (
	// LeaveGiven: the primary may go alone, the standby take over.
	LeaveGiven Leave = iota
	// LeaveNeeded: after fencing the other server.
	LeaveNeeded
	// LeaveDenied: nor may it fence.
	LeaveDenied
)

// NewCommand makes the Keeper of kind "command". own and peer are as in NewLocal; ask
// asks the other server for its word that it will not take over from a record.
func NewCommand(b Beside, own *Copy, me pair.Server, peer func() (record.Record, bool), ask func(context.Context, record.Record) error) *Command {
	r := own.Get()
	c := &Command{local: newLocal(b, own, me, peer), ask: ask}
	if r.Primary == me && r.Mode == pair.Paired {
		c.unmet, c.lent = r.Term, true
	}
	return c
}

// Kind is KindCommand.
func (c *Command) Kind() string { return KindCommand }

// Seen is what this server knows, and whether it may rely on that.
func (c *Command) Seen() (record.Record, time.Duration, bool) {
	c.state.Lock()
	defer c.state.Unlock()
	r, err := c.known()
	return r, 0, err == nil
}

// Problem is why this server may not rely on what it knows.
func (c *Command) Problem() string {
	c.state.Lock()
	defer c.state.Unlock()
	if _, err := c.known(); err != nil {
		return err.Error()
	}
	return ""
}

// Read is what this server knows, if it may rely on that and no change of it is being saved.
func (c *Command) Read(context.Context) (record.Record, error) {
	c.state.Lock()
	defer c.state.Unlock()
	if c.pending.Exists() {
		return record.Record{}, unknown("read record", errChanging)
	}
	r, err := c.known()
	if err != nil {
		return record.Record{}, unknown("read record", err)
	}
	return r, nil
}

func (c *Command) known() (record.Record, error) {
	r, heard, forgot := c.newest()
	if !r.NewerThan(c.told) && c.told.Exists() { // of the same revision it is the primary's pledge (T2, step 6)
		r = c.told
	}
	switch {
	case forgot:
		return r, errForgot
	case r.Exists() && c.unmetIn(r):
		return r, fmt.Errorf("this server was started as a paired primary and has not met the other one since, which may have taken over")
	case r.Exists() && r.Primary != c.me && !heard && c.told != r:
		return r, fmt.Errorf("the primary %s is not heard, and has not told this server since its start that they are paired", r.Primary)
	}
	return r, nil
}

var errForgot = errors.New("this server has lost its copy of the record, and the other one has not given its word yet that it does not take over")

// unmetIn tells whether the standby may have taken over from this server's record. A
// reign that it was given in this run, by a standby that had taken over and handed
// back, is of a later term.
func (c *Command) unmetIn(r record.Record) bool {
	return r.Primary == c.me && r.Mode == pair.Paired && r.Term == c.unmet
}

// Leave is what the table may decide upon.
func (c *Command) Leave() Leave {
	c.state.Lock()
	defer c.state.Unlock()
	r, err := c.known()
	switch {
	case c.unmetIn(r), errors.Is(err, errForgot):
		return LeaveDenied
	case r.Primary == c.me && !c.lent:
		return LeaveGiven
	case r.Primary == c.me:
		return LeaveNeeded
	case c.told != r:
		return LeaveDenied
	case c.fenced:
		return LeaveGiven
	}
	return LeaveNeeded
}

// Change writes a change on this server's disk, if it has leave.
func (c *Command) Change(ctx context.Context, ch record.Change) (record.Record, error) {
	if err := c.takeTurn(ctx, ch.Transition); err != nil {
		return record.Record{}, err
	}
	next, err := c.begin(ctx, ch)
	if err != nil {
		c.turn <- struct{}{}
		return record.Record{}, err
	}
	return c.write(ctx, ch.Transition, next, func(err error) { c.end(ch, next, err) })
}

// begin judges a change and makes it pending.
func (c *Command) begin(ctx context.Context, ch record.Change) (next record.Record, err error) {
	c.state.Lock()
	defer c.state.Unlock()
	switch ch.Transition {
	case record.Failover:
		next, err = c.mayTakeOver(ch)
	case record.Detach:
		if err = c.mayGoAlone(ctx); err == nil {
			next, err = c.judge(ch)
		}
	case record.Force:
		next, err = c.judge(ch)
	default:
		if _, err := c.known(); err != nil {
			return record.Record{}, &Refused{Reason: err.Error()}
		}
		next, err = c.judge(ch)
	}
	if err == nil {
		c.pending = next
	}
	return next, err
}

// end notes how the disk has answered.
func (c *Command) end(ch record.Change, next record.Record, err error) {
	c.state.Lock()
	defer c.state.Unlock()
	c.pending = record.Record{}
	if err != nil {
		return
	}
	c.unmet, c.fenced = 0, false
	if !c.told.NewerThan(next) {
		c.told = record.Record{}
	}
	if ch.Transition == record.Failover {
		c.lent = false
	}
}

// mayGoAlone asks for the standby's word if nothing else gives leave. The lock is
// given up meanwhile: a telling that leaves in between makes the word void.
func (c *Command) mayGoAlone(ctx context.Context) error {
	r, err := c.known()
	if err != nil {
		return &Refused{Reason: err.Error()}
	}
	if !c.lent {
		return nil
	}
	if err := c.getWord(ctx, r); err != nil {
		return &Refused{Reason: fmt.Sprintf("the standby has not given its word and was not fenced: %v", err)}
	}
	return nil
}

// getWord has the standby promise that it will not take over from this record.
func (c *Command) getWord(ctx context.Context, r record.Record) error {
	meetings := c.meetings
	err := c.askApart(ctx, r)
	c.void() // it may have given its word: if that is not used, it must be told again
	if err == nil && (c.telling || c.meetings != meetings) {
		err = fmt.Errorf("it was told again meanwhile")
	}
	if err == nil {
		c.lent = false
	}
	return err
}

// Regain goes on where this server has lost its record. The standby may have been told
// what it knows of it, and be about to take over: only with its word from that is what is
// found saved, and counts.
func (c *Command) Regain(ctx context.Context) error {
	if theirs, heard := c.peer(); !heard || !c.forgot(theirs) {
		return nil
	}
	if err := c.takeTurn(ctx, record.Detach); err != nil {
		return err
	}
	next, err := c.find(ctx)
	if err != nil || !next.Exists() {
		c.turn <- struct{}{}
		return err
	}
	_, err = c.write(ctx, record.Detach, next, func(err error) { c.end(record.Change{Transition: record.Detach}, next, err) })
	return err
}

// find makes what is found pending, or nothing when there is none to be found any more.
func (c *Command) find(ctx context.Context) (next record.Record, err error) {
	c.state.Lock()
	defer c.state.Unlock()
	theirs, heard := c.peer()
	if !heard || !c.forgot(theirs) {
		return next, nil
	}
	if err := c.getWord(ctx, theirs); err != nil {
		return next, fmt.Errorf("find the record again: %w", err)
	}
	c.pending = found(theirs)
	return c.pending, nil
}

// askApart gives up the lock for as long as the standby is asked.
func (c *Command) askApart(ctx context.Context, r record.Record) error {
	c.state.Unlock()
	defer c.state.Lock()
	return c.ask(ctx, r)
}

func (c *Command) mayTakeOver(ch record.Change) (record.Record, error) {
	r, _ := c.known()
	if c.told != r || !c.fenced {
		return record.Record{}, &Refused{Reason: "the primary was not fenced, or has not told this server that they are paired"}
	}
	next, err := r.Apply(ch)
	if err != nil {
		return record.Record{}, classifyLegal(err)
	}
	return next, nil
}

// Meetings is to be asked before the other server is fenced, and handed to Fenced.
func (c *Command) Meetings() int {
	c.state.Lock()
	defer c.state.Unlock()
	return c.meetings
}

// Fenced notes that every process of the other server had ended when the fencing
// command returned. It counts only if the two have not met since it was called.
func (c *Command) Fenced(meetings int) bool {
	c.state.Lock()
	defer c.state.Unlock()
	if c.meetings != meetings {
		return false
	}
	if r, _ := c.known(); r.Primary == c.me {
		if c.telling {
			return false
		}
		c.lent = c.unmetIn(r)
	} else {
		c.fenced = c.told == r
	}
	return true
}

// Telling begins to tell the standby that the record is paired, when that is due:
// from now on it may hold it. The caller must be connected, and calls Answered or
// Unanswered when the question has ended.
func (c *Command) Telling() (r record.Record, due bool) {
	c.state.Lock()
	defer c.state.Unlock()
	r = c.own.Get()
	if r.Primary != c.me || r.Mode != pair.Paired || c.answered == r || c.pending.Exists() {
		return r, false
	}
	if now, _ := c.known(); now != r {
		return r, false // a newer one is about to be saved
	}
	c.lent, c.telling, c.toldAt = true, true, c.voids
	c.meetings++
	return r, true
}

// Unanswered notes that a telling got no answer. The standby may hold it all the same,
// but nobody comes to hold it any more.
func (c *Command) Unanswered() {
	c.state.Lock()
	defer c.state.Unlock()
	c.telling = false
}

// Answered notes the standby's answer: it knew of nothing newer. One over a connection
// that has ended is none: whoever is there now may not have been told; nor is one from
// before the end of a question for the standby's word. If the standby
// has given its word from this very record and was not taken at it, the record is
// written once more, so that it can be told of a revision which that word does not cover.
func (c *Command) Answered(ctx context.Context, r record.Record, waived bool) error {
	if !c.hearsAnswer(r, waived) {
		return nil
	}
	_, err := c.Change(ctx, record.Change{Transition: record.Attach, By: c.me, To: c.me, From: r.Revision})
	return err
}

// hearsAnswer tells whether the record must be written once more.
func (c *Command) hearsAnswer(r record.Record, waived bool) (again bool) {
	c.state.Lock()
	defer c.state.Unlock()
	c.telling = false
	if c.own.Get() != r || c.toldAt != c.voids {
		return false
	}
	c.unmet = 0
	if !waived {
		c.answered = r
	}
	return waived
}

// Settled: the standby knows that they are paired, as far as this server can tell.
func (c *Command) Settled() bool {
	c.state.Lock()
	defer c.state.Unlock()
	r, _ := c.known()
	return r.Mode != pair.Paired || c.answered == r || c.told == r
}

// Lost notes that the connection has ended: whoever is there next was told nothing.
func (c *Command) Lost() {
	c.state.Lock()
	defer c.state.Unlock()
	c.void()
}

// void: an answer to what was told so far counts no more, heard already or not.
func (c *Command) void() {
	c.answered = record.Record{}
	c.voids++
}

// Told serves the primary's telling. waived: this server has given its word from
// that record, and takes no telling of it any more.
func (c *Command) Told(r record.Record) (waived bool, err error) {
	c.state.Lock()
	defer c.state.Unlock()
	if err := c.older(r); err != nil {
		return false, err
	}
	c.fenced = false
	c.meetings++
	if !r.NewerThan(c.waived) {
		return true, nil
	}
	c.told = r
	return false, nil
}

// Waive gives this server's word that it will not take over from a record.
func (c *Command) Waive(r record.Record) error {
	c.state.Lock()
	defer c.state.Unlock()
	if err := c.older(r); err != nil {
		return err
	}
	c.told, c.waived, c.fenced = record.Record{}, r, false
	c.meetings++
	return nil
}

// older refuses what does not come from the primary of the newest record known here.
func (c *Command) older(r record.Record) error {
	now, _ := c.known()
	if c.pending.NewerThan(now) {
		now = c.pending
	}
	if r.Primary == c.me || now.NewerThan(r) {
		return fmt.Errorf("%s is out of date here: %s", r, now)
	}
	return nil
}
