package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// rebuildView shows one rebuild: a bar on a terminal, lines in a pipe, one JSON
// object a line with -o json. It shows only what the supervisor said.
type rebuildView struct {
	control control
	env     *Env
	o       *rebuildOptions
	bar     bool

	last   wire.RebuildJob
	steps  int
	shown  time.Time // when a line of progress was printed last
	silent bool      // the supervisor does not answer now
	drawn  bool      // there is a bar on the present line
}

func newRebuildView(env *Env, o *rebuildOptions) *rebuildView {
	return &rebuildView{control: control{o.Mcdir}, env: env, o: o, bar: env.Terminal && o.Output == formText}
}

// Pace of asking and, in a pipe, of lines of progress.
const (
	rebuildAskEvery  = 250 * time.Millisecond
	rebuildTellEvery = 10 * time.Second
	// goneFor is how long a supervisor may be away before the view gives up: whoever
	// watches it starts it again much sooner.
	goneFor = 30 * time.Second
)

func (v *rebuildView) ask(ctx context.Context, kind string, request, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	return v.control.call(ctx, kind, request, answer)
}

func (v *rebuildView) job(ctx context.Context, id string) (job wire.RebuildJob, err error) {
	return job, v.control.ask(ctx, wire.KindRebuildJob, wire.JobRequest{ID: id}, &job)
}

// say prints a line for people.
func (v *rebuildView) say(format string, args ...any) {
	if v.o.Output == formJSON {
		return
	}
	v.endBar()
	_, _ = fmt.Fprintf(v.env.Stdout, format+"\n", args...)
}

// event prints a line for programs.
func (v *rebuildView) event(kind string, about any) error {
	if v.o.Output != formJSON {
		return nil
	}
	line := rebuildEvent{Event: kind}
	switch about := about.(type) {
	case wire.RebuildAnswer:
		line.Plan, line.Job = about.Plan, about.Job
	case wire.RebuildJob:
		line.Job = &about
	case wire.JobStep:
		line.ID, line.JobStep = v.last.ID, &about
	case rebuildProgress:
		line.ID, line.rebuildProgress = v.last.ID, &about
	}
	enc := json.NewEncoder(v.env.Stdout)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(line); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// rebuildEvent is a line of -o json. Plan comes with "plan" and "running", Job with
// "running", "begun", "status", "detached" and "end", a phase with "phase", and how
// far the copy is with "progress".
type rebuildEvent struct {
	Event string            `json:"event"`
	Plan  *wire.RebuildPlan `json:"plan,omitempty"`
	Job   *wire.RebuildJob  `json:"job,omitempty"`
	ID    string            `json:"id,omitempty"`
	*wire.JobStep
	*rebuildProgress
}

type rebuildProgress struct {
	Done           int64 `json:"done_bytes"`
	Total          int64 `json:"total_bytes"`
	BytesPerSecond int64 `json:"bytes_per_second"`
	Seconds        int64 `json:"seconds_left"`
}

func (v *rebuildView) show(kind string, answer wire.RebuildAnswer) error {
	if answer.Job != nil {
		v.say("%s", rebuildLine(*answer.Job))
	} else {
		for _, line := range planLines(*answer.Plan) {
			v.say("%s", line)
		}
	}
	return v.event(kind, answer)
}

// follow shows the job until its end. Ctrl-C ends the following only.
func (v *rebuildView) follow(ctx context.Context, job wire.RebuildJob) error {
	alive := context.WithoutCancel(ctx)
	heard := time.Now()
	for {
		v.tell(job)
		if job.Final {
			return v.finish(job)
		}
		if err := sleep(ctx, rebuildAskEvery); err != nil {
			v.say("the rebuild goes on without this command")
			_ = v.event("detached", job)
			return failed(exitGoingOn, fmt.Errorf("rebuild: %s goes on, in phase %s", job.ID, job.Phase), "follow it: mcctl rebuild -M %s; give it up: mcctl rebuild --cancel -M %[1]s", v.o.Mcdir)
		}
		now, err := v.job(alive, job.ID)
		switch {
		case err == nil:
			job, heard, v.silent = now, time.Now(), false
		case answered(err) && !errors.Is(err, errNotRunning):
			return fmt.Errorf("rebuild: %w", err)
		case time.Since(heard) > goneFor:
			return failed(exitFailed, fmt.Errorf("rebuild: the supervisor is away: %w", err), "%s goes on when it is started again: mcctl start -M %s", job.ID, v.o.Mcdir)
		default:
			if !v.silent {
				v.say("the supervisor does not answer (%v); asking again", err)
			}
			v.silent = true
		}
	}
}

// tell prints what is new in the job.
func (v *rebuildView) tell(job wire.RebuildJob) {
	moved := job.Done != v.last.Done && job.Phase == wire.RebuildCopying
	noted := job.Note != v.last.Note && job.Note != ""
	v.last = job
	for _, step := range job.Steps[min(v.steps, len(job.Steps)):] {
		v.say("%8.1f s  %s", step.AtMS/1000, step.Phase)
		_ = v.event("phase", step)
	}
	if noted {
		v.say("            %s", job.Note)
	}
	v.steps = len(job.Steps)
	switch {
	case v.bar && job.Phase == wire.RebuildCopying && !job.Final:
		_, _ = fmt.Fprintf(itself(v.env.Stdout), "\r\x1b[K%s", progressBar(job, 24))
		v.drawn = true
	case moved && v.o.Output == formJSON:
		_ = v.event("progress", rebuildProgress{job.Done, job.Total, job.BytesPerSecond, job.Seconds})
	case moved && !v.bar && (time.Since(v.shown) > rebuildTellEvery || job.Done >= job.Total):
		v.shown = time.Now()
		v.say("            %s", progressText(job))
	}
}

func (v *rebuildView) endBar() {
	if v.drawn {
		_, _ = fmt.Fprintln(v.env.Stdout)
	}
	v.drawn = false
}

func (v *rebuildView) finish(job wire.RebuildJob) error {
	if err := v.event("end", job); err != nil {
		return err
	}
	switch job.Phase {
	case wire.RebuildDone:
		took := 0.0
		if n := len(job.Steps); n > 0 {
			took = job.Steps[n-1].AtMS / 1000
		}
		v.say("%s streams from %s, after %.1f s (%s)", job.Plan.Server, job.Plan.From, took, job.Plan.Way)
		return nil
	case wire.RebuildGivenUp:
		return failed(exitFailed, fmt.Errorf("rebuild: %s was given up", job.ID), "begin again: mcctl rebuild -M %s", v.o.Mcdir)
	}
	return failed(exitFailed, fmt.Errorf("rebuild: %s", dash(job.Error)), "see mcctl explain -M %s and %s", v.o.Mcdir, logOf(v.o.Mcdir))
}

// rebuildLine is a job in one line.
func rebuildLine(job wire.RebuildJob) string {
	line := fmt.Sprintf("%s: %s (%s%s)", job.ID, job.Phase, job.Plan.Way, yes(job.Automatic, ", begun by the supervisor itself", ""))
	if job.Phase == wire.RebuildCopying {
		line += ", " + progressText(job)
	}
	if job.Error != "" {
		line += ": " + job.Error
	}
	return line
}

// progressText is how far a copy is: bytes, rate, and the time that is left.
func progressText(job wire.RebuildJob) string {
	text := fmt.Sprintf("%s of %s", pair.Size(uint64(job.Done)), pair.Size(uint64(job.Total)))
	if job.BytesPerSecond > 0 {
		text += fmt.Sprintf("  %s/s", pair.Size(uint64(job.BytesPerSecond)))
		if job.Done < job.Total {
			text += fmt.Sprintf("  %s left", (time.Duration(job.Seconds) * time.Second).String())
		}
	}
	return text
}

// progressBar is the same with a bar of the given width.
func progressBar(job wire.RebuildJob, width int) string {
	part := 0.0
	if job.Total > 0 {
		part = min(float64(job.Done)/float64(job.Total), 1)
	}
	full := int(part * float64(width))
	return fmt.Sprintf("[%s%s] %3.0f%%  %s", strings.Repeat("#", full), strings.Repeat(".", width-full), part*100, progressText(job))
}

// planLines says what a rebuild would do.
func planLines(p wire.RebuildPlan) []string {
	lines := []string{}
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch p.Way {
	case "":
	case wire.WayStraight:
		return []string{fmt.Sprintf("%s needs no rebuild: %s; it follows %s as it is", p.Server, p.Why, p.From)}
	case wire.WayRewind:
		add("%s will be rewound to the history of %s, in place", p.Server, p.From)
	default:
		add("%s will be copied anew from %s, by %s, %s", p.Server, p.From, yes(p.Way == wire.WayCommand, "policy.rebuild_command", "pg_basebackup"),
			yes(p.InPlace, "IN PLACE: the old data is emptied first, and until the copy is whole this server has none", "beside the old data, which is kept until the new one streams"))
	}
	if p.Why != "" {
		add("why: %s", p.Why)
	}
	if p.Extra > 0 {
		add("log here that %s lacks: %s, which will be given up", p.From, pair.Size(uint64(p.Extra)))
	}
	if p.Lacks > 0 {
		add("log there that is not here: %s", pair.Size(uint64(p.Lacks)))
	}
	if p.Bytes > 0 {
		add("to copy: %s; %s", pair.Size(uint64(p.Bytes)), estimate(p))
	}
	for _, r := range p.Rooms {
		add("room on the file system of %s: needs %s, free %s", r.Path, pair.Size(uint64(r.Needs)), pair.Size(uint64(max(r.Free, 0))))
	}
	if p.Paired {
		add("the pair is paired: %s goes alone first, and %s cannot take over until it is back", p.From, p.Server)
	}
	for _, w := range p.Warnings {
		add("warning: %s", w)
	}
	return lines
}

func estimate(p wire.RebuildPlan) string {
	if p.BytesPerSecond == 0 {
		return "how long is not known: nothing was copied here before"
	}
	return fmt.Sprintf("about %s at the rate of the last copy, %s/s", (time.Duration(p.Seconds) * time.Second).String(), pair.Size(uint64(p.BytesPerSecond)))
}
