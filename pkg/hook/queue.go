package hook

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
)

// queueMax is how many calls of a kind may wait. Whoever is so far behind would
// act on what was true long ago.
const queueMax = 64

// Runner runs commands beside everything else, of each kind one at a time, in the
// order of their calls. Someone must Serve each kind that Has a command.
type Runner struct {
	commands map[Kind]Command
	queues   map[Kind]*queue
	log      *slog.Logger
	ended    func(Call, Outcome)
}

type queue struct {
	jobs    chan job
	dropped atomic.Int64
}

// job is a call that waits for its turn. done is nil when nobody waits for it.
type job struct {
	ctx  context.Context
	call Call
	done chan Outcome
}

// NewRunner takes the configured commands. ended is told how each call ended, by
// the goroutine that serves its kind.
func NewRunner(commands map[Kind]Command, log *slog.Logger, ended func(Call, Outcome)) *Runner {
	r := &Runner{commands: commands, queues: map[Kind]*queue{}, log: log, ended: ended}
	for kind := range commands {
		r.queues[kind] = &queue{jobs: make(chan job, queueMax)}
	}
	return r
}

// Has tells whether a command is configured.
func (r *Runner) Has(kind Kind) bool { _, has := r.commands[kind]; return has }

// Post asks for a run that nobody waits for. It never blocks: a call that finds the
// queue full is dropped, which is told in the log and to the next call that runs.
func (r *Runner) Post(call Call) {
	q := r.queues[call.Command]
	if q == nil {
		return
	}
	select {
	case q.jobs <- job{ctx: context.Background(), call: call}:
	default:
		if n := q.dropped.Add(1); n == 1 {
			r.log.Warn("calls of a command are dropped: too many wait for it", "command", call.Command, "waiting", queueMax)
		}
	}
}

// Do runs the command in its turn and waits for its end. Without a command it is
// done already. Once ctx has ended it waits no longer: a call whose turn had not
// come is not run, one that runs comes to its end unheard.
func (r *Runner) Do(ctx context.Context, call Call) Outcome {
	q := r.queues[call.Command]
	if q == nil {
		return Outcome{}
	}
	j := job{ctx: ctx, call: call, done: make(chan Outcome, 1)}
	select {
	case q.jobs <- j:
	default:
		return Outcome{Exit: -1, Err: errors.New("not run: too many calls wait for it")}
	}
	select {
	case out := <-j.done:
		return out
	case <-ctx.Done():
		return Outcome{Exit: -1, Err: errors.New("not waited for: whoever asked has gone")}
	}
}

// Serve runs the calls of one kind until ctx ends, and returns nil.
func (r *Runner) Serve(ctx context.Context, kind Kind) error {
	q := r.queues[kind]
	for {
		select {
		case j := <-q.jobs:
			if j.ctx.Err() == nil && ctx.Err() == nil {
				r.serve(ctx, q, j)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *Runner) serve(ctx context.Context, q *queue, j job) {
	j.call.Dropped = q.dropped.Swap(0)
	kind := j.call.Command
	out := Run(ctx, r.commands[kind], j.call, func(line string) { r.log.Info(line, "command", kind) })
	if j.done != nil {
		j.done <- out
	}
	r.ended(j.call, out)
}
