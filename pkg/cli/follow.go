package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"mcctl/pkg/record"
	"mcctl/pkg/shell"
	"mcctl/pkg/wire"
)

// Phases of a job that mean something to a follower (wire.Job).
const (
	phasePromoting = "promoting"
	phaseDone      = "done"
	phaseGivenUp   = "given-up"
)

const (
	followEvery = 20 * time.Millisecond
	// askAgainEvery is for a supervisor that does not answer: it is being started again.
	askAgainEvery = 200 * time.Millisecond
	// cancelPatience bounds how long Ctrl-C waits to tell what became of the switch.
	cancelPatience = 15 * time.Second
	// unchangedFor is how long a record that a new supervisor has confirmed must
	// stay as it was before the switch counts as not made: a change that the old
	// supervisor sent off just before it died has arrived by then, if ever.
	unchangedFor = time.Second
)

// follower tells of one switch until its end. It believes three sources, in this
// order: the job; when nobody knows the job any more (its supervisor died), the
// record; and when that cannot be had, nothing: then it says that it does not know.
type follower struct {
	control control
	env     *Env
	o       *switchOptions
	out     io.Writer
	before  wire.Status
	asked   time.Time

	job       wire.Job // as last seen; without an ID when the answer to the request was lost
	shown     int      // steps already printed
	lost      string   // who does not answer now
	unheard   bool     // a takeover by force goes on whose answer was not waited for
	unchanged time.Time
}

func newFollower(env *Env, o *switchOptions, before wire.Status) *follower {
	return &follower{control: control{o.Mcdir}, env: env, o: o, out: o.progress(env), before: before, asked: time.Now()}
}

// begin asks for the switch. When the answer is lost the switch may have begun:
// that is for follow to find out. A takeover by force, which may still be fencing then, is
// not over because nothing has come of it yet.
func (f *follower) begin(ctx context.Context) error {
	patience := answerTimeout
	if f.o.Force { // the fencing command takes its time first
		patience = max(patience, f.o.Timeout)
	}
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := f.control.call(asking, wire.KindSwitch, wire.SwitchRequest{Force: f.o.Force, NoFencing: f.o.NoFence}, &f.job)
	if err != nil && (answered(err) || errors.Is(err, errNotRunning)) {
		return err
	}
	f.unheard = err != nil && f.o.Force && isOver(asking)
	switch was := string(f.before.Record.Primary); {
	case err != nil:
	case f.job.To == was:
		_, _ = fmt.Fprintf(f.out, "%s: %s goes on by force\n", f.job.ID, was)
	default:
		_, _ = fmt.Fprintf(f.out, "%s: switching from %s to %s\n", f.job.ID, was, f.job.To)
	}
	for _, warning := range f.job.Warnings {
		_, _ = fmt.Fprintf(f.out, "warning: %s\n", warning)
	}
	return nil
}

// begun ends a command that shall not wait.
func (f *follower) begun(ctx context.Context) error {
	switch {
	case f.unheard:
		return f.goesOn(ctx)
	case f.job.ID == "":
		return failed(exitGoingOn, errors.New("switch: asked for, but the answer was lost"), "see mcctl switch --status -M %s", f.o.Mcdir)
	}
	if f.o.Output == formJSON {
		return writeJSON(f.env.Stdout, f.job)
	}
	_, _ = fmt.Fprintf(f.out, "follow it: mcctl switch --status %s -M %s\n", f.job.ID, shell.Word(f.o.Mcdir))
	return nil
}

// follow prints phases as they are entered, until the end or the timeout. The
// first Ctrl-C asks for the switch to be given up and stays to tell the result.
func (f *follower) follow(ctx context.Context) error {
	alive := context.WithoutCancel(ctx)
	work, stop := context.WithTimeoutCause(alive, f.o.Timeout, errTimeout)
	defer stop()
	err := f.untilEnd(work, ctx.Done())
	if errors.Is(err, context.Canceled) {
		last, stop := context.WithTimeoutCause(alive, cancelPatience, errTimeout)
		defer stop()
		f.giveUp(last)
		err = f.untilEnd(last, nil)
	}
	if errors.Is(err, errTimeout) {
		return f.goesOn(ctx)
	}
	return f.finish(err)
}

// untilEnd looks again and again. It returns context.Canceled when interrupted and
// errTimeout when work ends; any other error is the switch's.
func (f *follower) untilEnd(work context.Context, interrupted <-chan struct{}) error {
	for {
		ended, err := f.look(work)
		if ended || err != nil {
			return err
		}
		pause := followEvery
		if f.lost != "" {
			pause = askAgainEvery
		}
		select {
		case <-time.After(pause):
		case <-interrupted:
			return context.Canceled
		case <-work.Done():
			return errTimeout
		}
	}
}

// look asks once.
func (f *follower) look(ctx context.Context) (ended bool, err error) {
	if f.job.Final { // a forced takeover is committed at once, but not yet open
		return f.byRecord(ctx)
	}
	var job wire.Job
	err = f.call(ctx, wire.KindJob, wire.JobRequest{ID: f.job.ID, Local: f.o.Force}, &job) // force is for this server
	switch {
	case err == nil && f.job.ID == "" && f.isOlder(job):
		return f.byRecord(ctx) // ours never began, or is forgotten
	case err == nil:
		f.found()
		f.job = job
		f.shown = showSteps(f.out, job, f.shown)
		return job.Final, jobError(job, f.before.Record)
	case answered(err):
		return f.byRecord(ctx) // there is a supervisor that does not know the job
	case f.isOverThere(ctx, err):
		f.lost = "" // it is not asked any more
		return f.byRecord(ctx)
	}
	f.lose(ctx, err)
	return false, nil
}

// isOverThere: this supervisor answers, and the one that knows the job does not, whose reign
// has ended meanwhile.
func (f *follower) isOverThere(ctx context.Context, err error) bool {
	var passed *wire.RemoteError
	var st wire.Status
	return errors.As(err, &passed) && f.call(ctx, wire.KindStatus, nil, &st) == nil && st.Record.Term > f.before.Record.Term
}

// isOlder: the job was there before ours, on this server, or began in an earlier reign, on
// the other one.
func (f *follower) isOlder(job wire.Job) bool {
	return job.Term <= uint64(f.before.Record.Term) || f.before.Job != nil && job.ID == f.before.Job.ID
}

// call gives a frozen supervisor less time than usual: there is a next time.
func (f *follower) call(ctx context.Context, kind string, request, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return f.control.call(ctx, kind, request, answer)
}

// byRecord tells the outcome of a switch that no supervisor knows any more.
func (f *follower) byRecord(ctx context.Context) (ended bool, err error) {
	var st wire.Status
	if err := f.call(ctx, wire.KindStatus, nil, &st); err != nil {
		f.lose(ctx, err)
		return false, nil
	}
	f.found()
	now, was := st.Record, f.before.Record
	switch {
	case now.Term > was.Term && now.Primary == was.Primary && !(f.o.Force && now.Primary == st.Local), f.job.Term != 0 && uint64(now.Term) > f.job.Term:
		return true, fmt.Errorf("the record went another way: %s", now)
	case now.Term > was.Term:
		f.job.To, f.job.Term = string(now.Primary), uint64(now.Term)
		f.job.Committed, f.job.Final, f.job.Phase = true, false, phasePromoting
		if isOpen(st, now) {
			f.job.Final, f.job.Phase = true, phaseDone
		}
		return f.job.Final, nil
	case f.unheard, !st.Arbiter.Reached || st.Summary == wire.SummaryUnknown || st.Summary == wire.SummarySwitching:
		f.unchanged = time.Time{}
		return false, nil
	}
	if f.unchanged.IsZero() {
		f.unchanged = time.Now()
	}
	if time.Since(f.unchanged) < unchangedFor {
		return false, nil
	}
	return true, fmt.Errorf("it did not take place: its supervisor ended before the point of no return, and %s is still primary", now.Primary)
}

// isOpen: the primary of the record takes writes.
func isOpen(st wire.Status, r record.Record) bool {
	for _, s := range st.Servers {
		if s.Server == r.Primary {
			return s.Postgres == wire.ReportOpen
		}
	}
	return false
}

// lose notes that there was no answer. One that our own timeout cut off says
// nothing about the supervisor.
func (f *follower) lose(ctx context.Context, err error) {
	if isOver(ctx) {
		return
	}
	who := "the supervisor"
	var passed *wire.RemoteError
	if errors.As(err, &passed) { // this one has answered that the other one does not
		_, there := sides(f.before)
		who += " of " + string(there.Server)
	}
	if f.lost != who {
		_, _ = fmt.Fprintf(f.out, "%s does not answer (%v); asking again\n", who, err)
	}
	f.lost, f.unchanged = who, time.Time{}
}

func (f *follower) found() {
	if f.lost != "" {
		_, _ = fmt.Fprintf(f.out, "%s answers again\n", f.lost)
	}
	f.lost = ""
}

// giveUp passes Ctrl-C on, once. Who is fenced for a takeover is fenced: that goes on.
func (f *follower) giveUp(ctx context.Context) {
	if f.o.Force {
		_, _ = fmt.Fprintln(f.out, "interrupted, but a takeover by force cannot be given up")
		return
	}
	err := f.control.ask(ctx, wire.KindCancel, wire.JobRequest{ID: f.job.ID}, nil)
	if err != nil {
		_, _ = fmt.Fprintf(f.out, "interrupted, but the switch cannot be given up: %v\n", err)
		return
	}
	_, _ = fmt.Fprintln(f.out, "interrupted; giving the switch up")
}

// goesOn is the truth at a timeout or after Ctrl-C: the command ends, the switch does not.
func (f *follower) goesOn(ctx context.Context) error {
	if f.o.Output == formJSON {
		if err := writeJSON(f.env.Stdout, f.job); err != nil {
			return err
		}
	}
	err := fmt.Errorf("switch: %s; %s", yes(isInterrupted(ctx), "interrupted", "the command's time is over"), f.stands())
	if f.unheard && f.job.ID == "" { // there is nothing yet that --status or --cancel would find
		return failed(exitGoingOn, err, "follow it: mcctl status --watch -M %s", f.o.Mcdir)
	}
	hint := "follow it: mcctl switch --status%s -M %s"
	if !f.o.Force {
		hint += "; give it up: mcctl switch --cancel%[1]s -M %[2]s"
	}
	return failed(exitGoingOn, err, hint, withBlank(f.job.ID), f.o.Mcdir)
}

// stands is what is known of a switch that has not ended.
func (f *follower) stands() string {
	switch {
	case f.lost != "":
		return fmt.Sprintf("the switch goes on, or not: %s does not answer", f.lost)
	case f.job.Phase != "":
		return "the switch goes on, in phase " + f.job.Phase
	case f.unheard:
		return fmt.Sprintf("whether %s takes over is not known yet%s", f.before.Local, yes(f.o.NoFence, "", ": the fencing command may still be running"))
	}
	return "whether the switch goes on is not known"
}

func withBlank(id string) string {
	if id == "" {
		return ""
	}
	return " " + id
}

// finish prints how it ended.
func (f *follower) finish(err error) error {
	if f.o.Output == formJSON {
		if err := writeJSON(f.env.Stdout, f.job); err != nil {
			return err
		}
	}
	if err != nil {
		return failed(exitFailed, fmt.Errorf("switch: %w", err), "see mcctl status -M %s and mcctl explain -M %[1]s", f.o.Mcdir)
	}
	took := float64(time.Since(f.asked).Milliseconds())
	if n := len(f.job.Steps); n > 0 && f.job.Steps[n-1].Phase == phaseDone {
		took = f.job.Steps[n-1].AtMS // not known when the record told of the end
	}
	_, _ = fmt.Fprintf(f.out, "%s is primary in term %d, after %.0f ms\n", f.job.To, f.job.Term, took)
	return nil
}

// jobError is why a job that has ended did not do what it was for.
func jobError(job wire.Job, was record.Record) error {
	switch {
	case !job.Final || job.Phase == phaseDone:
		return nil
	case job.Phase == phaseGivenUp:
		return fmt.Errorf("given up before the point of no return; %s stays primary", was.Primary)
	}
	return fmt.Errorf("%s: %s", job.Phase, dash(job.Error))
}

// showSteps prints the steps from the given one on and returns how many there are.
func showSteps(w io.Writer, job wire.Job, from int) int {
	for _, step := range job.Steps[min(from, len(job.Steps)):] {
		_, _ = fmt.Fprintf(w, "%8.0f ms  %s\n", step.AtMS, step.Phase)
	}
	return len(job.Steps)
}
