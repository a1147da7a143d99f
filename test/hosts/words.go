package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// word is a command of the language.
type word struct {
	name, usage string
	least, most int // words that follow; most -1: any number
	do          func(p *play, ctx context.Context, rest []string) error
}

// words are all commands. docs/testing.md has the same list; a test compares.
func words() []word {
	return []word{
		{"step", "step TEXT", 1, -1, (*play).step},
		{"pause", "pause 2s", 1, 1, (*play).pause},
		{"power off", "power off HOST…", 1, 3, eachHost((*host).cutPower)},
		{"shut down", "shut down HOST…", 1, 3, (*play).shutDown},
		{"boot", "boot HOST…", 1, 3, eachHost((*host).boot)},
		{"reboot", "reboot HOST", 1, 1, (*play).reboot},
		{"freeze", "freeze HOST…", 1, 3, eachHost(func(h *host) error { return h.freeze(true) })},
		{"thaw", "thaw HOST…", 1, 3, eachHost(func(h *host) error { return h.freeze(false) })},
		{"cut", "cut HOST | a-b | a>b [replication|admin|witness]", 1, 2, (*play).cut},
		{"join", "join HOST | a-b | a>b [replication|admin|witness] | join all", 1, 2, (*play).join},
		{"slow", "slow 2mbit | slow off", 1, 1, (*play).slow},
		{"lossy", "lossy 20% | lossy off", 1, 1, (*play).lossy},
		{"kill", "kill HOST PART", 2, 2, signalWith(syscall.SIGKILL)},
		{"stop process", "stop process HOST PART", 2, 2, signalWith(syscall.SIGSTOP)},
		{"continue process", "continue process HOST PART", 2, 2, signalWith(syscall.SIGCONT)},
		{"disk", "disk HOST [log|space] full|leave 5%|free|hang|thaw|slow|read-only|error|lost", 2, 4, (*play).disk},
		{"crash", "crash HOST", 1, 1, (*play).crash},
		{"processes", "processes HOST exhausted|free", 2, 2, (*play).processes},
		{"descriptors", "descriptors HOST exhausted|free", 2, 2, (*play).descriptors},
		{"clock", "clock HOST +5h", 2, 2, (*play).clock},
		{"memory", "memory HOST exhausted", 2, 2, (*play).memory},
		{"start", "start HOST", 1, 1, (*play).start},
		{"stop", "stop HOST", 1, 1, (*play).stop},
		{"restart", "restart HOST", 1, 1, (*play).restart},
		{"switch", "switch", 0, 0, (*play).switchOver},
		{"run", "run HOST COMMAND…", 2, -1, runAs("postgres")},
		{"as root", "as root HOST COMMAND…", 2, -1, runAs("root")},
		{"remember", "remember HOST PART", 2, 2, (*play).remember},
		{"wait until", "wait until paired | alone | primary HOST | closed HOST | lost HOST | other HOST PART | writes | event HOST TEXT [within 30s] [bound 5s]", 1, -1, (*play).wait},
		{"ends alone", "ends alone", 0, 0, (*play).endsAlone},
		{"expect gap", "expect gap bound 2s | expect gap < 8s [bound 2s]", 2, 4, (*play).expectGap},
		{"expect no gap", "expect no gap", 0, 0, (*play).expectNoGap},
		{"expect no row lost", "expect no row lost", 0, 0, (*play).expectNoRowLost},
		{"expect same", "expect same HOST PART", 2, 2, (*play).expectSame},
		{"expect reads", "expect reads", 0, 0, (*play).expectReads},
		{"expect changes", "expect changes < 4", 2, 2, (*play).expectChanges},
		{"expect event", "expect event HOST TEXT [or TEXT]", 2, -1, (*play).expectEvent},
		{"expect no event", "expect no event HOST TEXT [or TEXT]", 2, -1, (*play).expectNoEvent},
		{"expect status", "expect status HOST paired|alone|primary|standby|down|lost", 2, 2, (*play).expectStatus},
	}
}

// endsAlone tells that the pair is not whole at the end.
func (p *play) endsAlone(ctx context.Context, _ []string) error {
	p.alone = true
	return p.w.someone(ctx, is("alone"))
}

func (p *play) host(name string) (*host, error) {
	h := p.w.hosts[name]
	if h == nil {
		return nil, fmt.Errorf("host %q: want a, b or w", name)
	}
	return h, nil
}

// eachHost does the same to every host named.
func eachHost(do func(*host) error) func(*play, context.Context, []string) error {
	return func(p *play, _ context.Context, names []string) error {
		for _, name := range names {
			h, err := p.host(name)
			if err != nil {
				return err
			}
			if err := do(h); err != nil {
				return err
			}
		}
		return nil
	}
}

func (p *play) shutDown(ctx context.Context, names []string) error {
	return eachHost(func(h *host) error { return h.shutDown(ctx) })(p, ctx, names)
}

// reboot asks the host's systemd; it returns when another PID 1 runs.
func (p *play) reboot(ctx context.Context, rest []string) error {
	h, err := p.host(rest[0])
	if err != nil {
		return err
	}
	before := h.leader()
	if _, err := h.run(ctx, "root", "systemctl", "reboot"); err != nil {
		return err
	}
	return p.w.until(ctx, "rebooted", patience, func(context.Context) error {
		if now := h.leader(); now == 0 || now == before {
			return fmt.Errorf("its systemd-nspawn runs: %t; process 1 is %d, was %d", h.isUp(), now, before)
		}
		return h.awaitLeader()
	})
}

func (p *play) cut(_ context.Context, rest []string) error {
	if isHost(rest[0]) && len(rest) == 1 {
		return p.w.hosts[rest[0]].pullCable()
	}
	return p.w.net.change(true, rest[0], strings.Join(rest[1:], " "))
}

func (p *play) join(_ context.Context, rest []string) error {
	switch {
	case rest[0] == "all":
		for _, name := range hostNames() {
			if err := p.w.hosts[name].plugCable(); err != nil {
				return err
			}
		}
		return p.w.net.heal()
	case isHost(rest[0]) && len(rest) == 1:
		return p.w.hosts[rest[0]].plugCable()
	}
	return p.w.net.change(false, rest[0], strings.Join(rest[1:], " "))
}

func (p *play) slow(_ context.Context, rest []string) error {
	return p.w.net.slow(strings.TrimPrefix(rest[0], "off"))
}

func (p *play) lossy(_ context.Context, rest []string) error {
	percent, err := strconv.Atoi(strings.TrimSuffix(strings.Replace(rest[0], "off", "0", 1), "%"))
	if err != nil {
		return err
	}
	p.w.net.loss = percent
	return p.w.net.apply()
}

// signalWith sends a signal to a part of a host: supervisor, arbiter, postmaster,
// postgres (all of its processes), backend, walsender, walreceiver, checkpointer …
func signalWith(sig syscall.Signal) func(*play, context.Context, []string) error {
	return func(p *play, _ context.Context, rest []string) error {
		h, err := p.host(rest[0])
		if err != nil {
			return err
		}
		if rest[1] == "postgres" {
			all := h.postgres()
			if len(all) == 0 {
				return fmt.Errorf("host %s runs no PostgreSQL", h.name)
			}
			for _, pid := range all {
				_ = syscall.Kill(pid, sig) // one may end meanwhile
			}
			return nil
		}
		pid, err := h.process(rest[1])
		if err != nil {
			return err
		}
		return syscall.Kill(pid, sig)
	}
}

// memory lets a session of PostgreSQL take more memory than the host has left.
func (p *play) memory(ctx context.Context, rest []string) error {
	h, err := p.host(rest[0])
	if err != nil {
		return err
	}
	if err := h.limitMemory(150 << 20); err != nil {
		return err
	}
	// The session is meant to be killed; one that waits for something else never is.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err = h.run(ctx, "postgres", "psql", "-X", "-c", "set work_mem = '2GB'; select count(*) from (select array_agg(md5(i::text)) from generate_series(1, 20000000) i) x", "postgres")
	if err == nil {
		err = errors.New("the session came to its end: nothing was killed for want of memory")
	} else {
		err = nil
	}
	return errors.Join(err, h.limitMemory(0))
}

func (p *play) unit(ctx context.Context, verb, name string) error {
	h, err := p.host(name)
	if err != nil {
		return err
	}
	_, err = h.run(ctx, "root", "systemctl", verb, h.unit())
	return err
}

// start also ends what crash has begun.
func (p *play) start(ctx context.Context, rest []string) error {
	h, err := p.host(rest[0])
	if err != nil {
		return err
	}
	return errors.Join(h.restarts(ctx, true), p.unit(ctx, "start", rest[0]))
}

func (p *play) stop(ctx context.Context, rest []string) error { return p.unit(ctx, "stop", rest[0]) }

func (p *play) restart(ctx context.Context, rest []string) error {
	return p.unit(ctx, "restart", rest[0])
}

func (p *play) switchOver(ctx context.Context, _ []string) error {
	var err error
	for _, name := range []string{"a", "b"} {
		if err = p.w.primary(ctx, name); err == nil {
			h := p.w.hosts[name]
			_, err = h.run(ctx, "postgres", "mcctl", "switch", "-M", h.mcdir())
			return err
		}
	}
	return err
}

// runAs runs a command as a user; MCDIR in it is the management directory.
func runAs(user string) func(*play, context.Context, []string) error {
	return func(p *play, ctx context.Context, rest []string) error {
		h, err := p.host(rest[0])
		if err != nil {
			return err
		}
		out, err := h.run(ctx, user, "bash", "-ec", strings.ReplaceAll(strings.Join(rest[1:], " "), "MCDIR", h.mcdir()))
		p.note("%s", strings.TrimSpace(out))
		return err
	}
}

func (p *play) remember(_ context.Context, rest []string) error {
	pid, err := p.pid(rest)
	p.known[strings.Join(rest, " ")] = pid
	return err
}

func (p *play) pid(rest []string) (int, error) {
	h, err := p.host(rest[0])
	if err != nil {
		return 0, err
	}
	return h.process(rest[1])
}

func (p *play) expectSame(_ context.Context, rest []string) error {
	pid, err := p.pid(rest)
	if before := p.known[strings.Join(rest, " ")]; err == nil && pid != before {
		return fmt.Errorf("%s is another process: %d, was %d", strings.Join(rest, " "), pid, before)
	}
	return err
}

// isOther tells of an error while the process that was remembered is there, or none.
func (p *play) isOther(rest []string) error {
	pid, err := p.pid(rest)
	switch before := p.known[strings.Join(rest, " ")]; {
	case err != nil:
	case before == 0:
		return fmt.Errorf("%s was not remembered", strings.Join(rest, " "))
	case pid == before:
		return fmt.Errorf("%s is still process %d", strings.Join(rest, " "), pid)
	}
	return err
}

// is tells whether a server's own status says the word.
func is(what string) func(wire.Status) bool {
	return func(st wire.Status) bool {
		for _, s := range st.Servers {
			if s.Server != st.Local {
				continue
			}
			switch what {
			case "primary", "standby":
				return string(s.Role) == what && (s.Postgres == wire.ReportOpen || s.Postgres == wire.ReportStandby)
			case "down":
				return s.Postgres == wire.ReportDown
			}
		}
		switch what {
		case "paired":
			return st.Healthy
		case "alone":
			return st.Record.Mode == pair.Alone && st.Record != record.Record{}
		case "lost":
			return !st.Arbiter.Reached
		}
		return false
	}
}

func (p *play) expectStatus(ctx context.Context, rest []string) error {
	st, err := p.w.status(ctx, rest[0])
	if err == nil && !is(rest[1])(st) {
		err = fmt.Errorf("%s is not %s: %s, %s; %+v", rest[0], rest[1], st.Record, st.Summary, st.Servers)
	}
	return err
}

// wait waits; with a bound, the time since the step began is one of those measured.
func (p *play) wait(ctx context.Context, rest []string) error {
	b, rest, err := readBound(rest)
	if err == nil && b.owed > 0 && len(p.steps) == 0 {
		err = errors.New("a bound counts from a step")
	}
	if err != nil {
		return err
	}
	left := patience
	switch {
	case b.owed > 0:
		left = b.limit() - time.Since(p.since)
	case b.own > 0:
		left = b.own
	}
	what := strings.Join(rest, " ")
	began := time.Now()
	err = p.waitFor(ctx, what, rest, left)
	p.note("after %.2f s", time.Since(began).Seconds())
	if b.owed > 0 {
		took := time.Since(p.since)
		p.rows = append(p.rows, row{p.file.name, p.steps[len(p.steps)-1], what, b, took})
		if err != nil {
			err = fmt.Errorf("%s after %q, want %s within %s: %w", seconds(took), p.steps[len(p.steps)-1], what, b.limit(), err)
		}
	}
	return err
}

func (p *play) waitFor(ctx context.Context, what string, rest []string, limit time.Duration) error {
	switch {
	case what == "paired":
		return p.w.until(ctx, what, limit, p.w.paired)
	case what == "alone":
		return p.w.until(ctx, what, limit, func(ctx context.Context) error { return p.w.someone(ctx, is(what)) })
	case what == "writes":
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return p.clients.WaitCalm(ctx, 300*time.Millisecond)
	case len(rest) == 2 && rest[0] == "primary":
		return p.w.until(ctx, what, limit, func(ctx context.Context) error { return p.w.primary(ctx, rest[1]) })
	case len(rest) == 2 && rest[0] == "lost":
		return p.w.until(ctx, what, limit, func(ctx context.Context) error { return p.expectStatus(ctx, []string{rest[1], "lost"}) })
	case len(rest) == 2 && rest[0] == "closed":
		return p.w.until(ctx, what, limit, func(ctx context.Context) error { return p.expectStatus(ctx, []string{rest[1], "down"}) })
	case len(rest) == 3 && rest[0] == "other":
		return p.w.until(ctx, what, limit, func(context.Context) error { return p.isOther(rest[1:]) })
	case len(rest) > 2 && rest[0] == "event":
		return p.w.until(ctx, what, limit, func(ctx context.Context) error { return p.expectEvent(ctx, rest[1:]) })
	}
	return fmt.Errorf("wait until %s: want paired, alone, writes, primary HOST, closed HOST, lost HOST, other HOST PART or event HOST TEXT", what)
}
