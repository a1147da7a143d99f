package sim

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// web is the transport of net/http over the simulated network, as one process uses it
// to ask the members of etcd.
type web struct {
	proc  *process
	clock procClock
	// idle is the life of each member that there is an open connection to.
	idle [etcdMembers]int
}

func newWeb(p *process) *web { return &web{proc: p, clock: procClock{p.w, p}} }

// etcdEndpoint is the address of a member, which differs by its port.
func etcdEndpoint(member int) string { return "http://" + arbName + ":" + strconv.Itoa(member+1) }

func (h *web) RoundTrip(r *http.Request) (*http.Response, error) {
	h.proc.enter()
	w, ctx := h.proc.w, r.Context()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(r.URL.Host, ":")
	member, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	q := &question{member: member - 1, path: r.URL.Path, body: body}
	if err := h.connect(ctx, q); err != nil {
		return nil, err
	}
	if t := httptrace.ContextClientTrace(ctx); t != nil {
		t.GotConn(httptrace.GotConnInfo{})
	}
	w.ledger.sees(h.proc.host.name, q)
	a := &incoming{web: h, ctx: ctx, q: q, news: make(chan struct{}, 1)}
	a.ask()
	return a.response()
}

// connect takes an idle connection, or makes one.
func (h *web) connect(ctx context.Context, q *question) error {
	w, me := h.proc.w, h.proc.host.name
	m := &w.etcd.members[q.member]
	if q.life = h.idle[q.member]; q.life != 0 && q.life == m.life && m.up {
		return nil
	}
	for end := h.clock.Now() + w.plan.timings.HeartbeatTimeout.Duration/3; ; { // as the real transport
		h.clock.Wait(ctx, 2*w.delay(), nil)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !w.cut(me, arbName) && !w.cut(arbName, me) && !w.etcd.host.asleep {
			if !m.up {
				return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
			}
			q.life, h.idle[q.member] = m.life, m.life
			return nil
		}
		if h.clock.Now() >= end {
			return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ETIMEDOUT}
		}
		h.clock.Wait(ctx, retransmit, nil)
	}
}

// incoming is what comes back on a connection.
type incoming struct {
	web    *web
	ctx    context.Context
	q      *question
	status int
	text   []byte
	ended  bool
	left   bool // nobody reads it any more
	news   chan struct{}
}

// ask sends the question. The kernel goes on sending what it was given, also when who
// asked has given up or died.
func (a *incoming) ask() {
	w, me := a.web.proc.w, a.web.proc.host.name
	until := w.now + w.mostly(3*time.Second, time.Minute)
	back := func(arrive func()) {
		w.carry(arbName, me, func() bool { return !a.left && !a.web.proc.dead }, func() { w.thawed(a.web.proc, arrive) })
	}
	a.q.reply = func(status int, text []byte) {
		back(func() {
			a.status, a.text = status, append(a.text, text...)
			a.rouse()
		})
	}
	a.q.broken = func() {
		back(func() {
			a.ended = true
			a.rouse()
		})
	}
	w.carry(me, arbName, func() bool { return w.now < until }, func() { w.etcd.arrives(a.q) })
}

func (a *incoming) rouse() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// await waits for more. It is an error when nothing comes any more.
func (a *incoming) await() error {
	for len(a.text) == 0 {
		if a.ended {
			return syscall.ECONNRESET
		}
		if !a.web.clock.Wait(a.ctx, -1, a.news) {
			return context.Cause(a.ctx)
		}
	}
	return nil
}

// response is the answer: all of it, or the first line of a watch.
func (a *incoming) response() (*http.Response, error) {
	h, w := a.web, a.web.proc.w
	if err := a.await(); err != nil {
		a.left, h.idle[a.q.member] = true, 0
		return nil, err
	}
	if w.chance(0.02) { // the machine is busy: the answer is there, and nobody looks at it yet
		h.clock.Wait(a.ctx, w.mostly(5*time.Millisecond, 3*time.Second), nil)
	}
	r := &http.Response{StatusCode: a.status, Body: a}
	if a.q.path != "/v3/watch" {
		r.Body = io.NopCloser(bytes.NewReader(a.text))
	}
	return r, nil
}

func (a *incoming) Read(to []byte) (int, error) {
	if err := a.await(); err != nil {
		return 0, err
	}
	n := copy(to, a.text)
	a.text = a.text[n:]
	return n, nil
}

func (a *incoming) Close() error {
	a.left = true
	a.web.proc.w.etcd.unwatch(a.q)
	return nil
}
