package sim

import (
	"slices"
	"time"
)

// host is a machine. Its clock counts from its own boot, at a rate of its own.
type host struct {
	w      *World
	name   string
	offset time.Duration
	rate   float64
	off    bool // no power
	asleep bool // suspended: nothing on it runs
	disk   *disk
}

func (h *host) local(now time.Duration) time.Duration {
	return h.offset + time.Duration(float64(now)*h.rate)
}

// suspend stops everything on the host for a while. counts tells whether its clock
// goes on meanwhile, as CLOCK_BOOTTIME does in a suspend, but not where a whole
// virtual machine was stopped.
func (h *host) suspend(d time.Duration, counts bool) {
	if h.asleep || h.off {
		return
	}
	h.asleep = true
	h.w.say(h.name, "suspended for %s", d)
	h.w.plans(d, func() {
		h.asleep = false
		if !counts {
			h.offset -= time.Duration(float64(d) * h.rate)
		}
		h.w.say(h.name, "goes on")
	})
}

// process is one life of a supervisor or witness. Whatever it does to the world it
// does through enter, where it may be killed: between any two of its steps.
type process struct {
	w       *World
	host    *host
	name    string
	dead    bool
	stopped bool // SIGSTOP
	coros   []*coro
	// stirred: something happened that one of them may have waited for. While nothing
	// does, all of them wait until due at least, and nobody needs to look at them.
	stirred bool
	due     time.Duration
	killIn  int // steps until a kill that was planned; 0: none
	killed  func()
	onDeath func()
	// conns are its connections, as the one who called or was called.
	conns []*conn
}

func (w *World) newProcess(h *host, name string) *process {
	p := &process{w: w, host: h, name: name}
	w.procs = append(w.procs, p)
	return p
}

// rests: none of its coroutines can go on.
func (p *process) rests() bool { return p.frozen() || !p.stirred && p.w.now < p.due }

// rest notes that all of them wait.
func (p *process) rest() {
	p.stirred, p.due = false, never
	for _, c := range p.coros {
		if c.due >= 0 {
			p.due = min(p.due, c.due)
		}
	}
}

// forget drops a coroutine that has ended.
func (p *process) forget(c *coro) {
	p.coros = slices.DeleteFunc(p.coros, func(o *coro) bool { return o == c })
}

func (p *process) frozen() bool { return p.stopped || p.host.asleep }

// enter is passed before every step that reaches outside.
func (p *process) enter() {
	if p.dead {
		panic(killed{})
	}
	if p.killIn > 0 {
		if p.killIn--; p.killIn == 0 {
			p.killedIn(p.doing())
			if p.killed != nil {
				p.killed()
			}
			panic(killed{})
		}
	}
}

func (p *process) killedIn(what string) {
	p.w.say(p.name, "killed in the middle of %s", what)
	p.die()
}

func (p *process) doing() string {
	if p.w.running != nil {
		return p.w.running.name
	}
	return "an event"
}

// die is SIGKILL: nothing that it had in mind happens any more.
func (p *process) die() {
	if p.dead {
		return
	}
	p.dead = true
	p.w.procs = slices.DeleteFunc(p.w.procs, func(o *process) bool { return o == p })
	for _, c := range p.coros {
		if c != p.w.running && !c.ended {
			c.ended = true
			c.stop()
		}
	}
	p.coros = nil
	for _, c := range p.conns {
		c.processDied(p)
	}
	if p.onDeath != nil {
		p.onDeath()
	}
}

// guard runs code of the process that does not wait. It tells whether the process
// lived through it.
func (p *process) guard(do func()) (lived bool) {
	if p.dead {
		return false
	}
	defer func() {
		if r := recover(); r != nil {
			if _, dead := r.(killed); !dead {
				panic(r)
			}
			lived = false
		}
	}()
	p.stirred = true
	do()
	return true
}
