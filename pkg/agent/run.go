package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"mcctl/pkg/conffiles"
	"mcctl/pkg/config"
	"mcctl/pkg/durable"
	"mcctl/pkg/observe"
	"mcctl/pkg/postgres"
	"mcctl/pkg/shell"
	"mcctl/pkg/wire"
)

// arbiterPatience is how long a start waits for the arbiter before it fails.
const arbiterPatience = 20 * time.Second

// ArbiterNotReached is how a supervisor begins to say why it did not start: mc_ctl has
// a number for it.
const ArbiterNotReached = "start supervisor: the arbiter at "

// lingering is how long the supervisor stays after the operator's stop is
// complete, so that the answer still gets out.
const lingering = 50 * time.Millisecond

func (a *Agent) run(ctx context.Context) error {
	if err := a.prepare(ctx); err != nil {
		return err
	}
	admin, control, err := a.listen()
	if err != nil {
		return err
	}
	g := a.group
	g.start(ctx)
	a.hands.ShowLost()
	a.hands.DropLeftOver()
	a.background("save own files", func(context.Context) error { a.hands.SaveOwn(); return nil })
	works := a.Works()
	keeper, rest := works[0], works[1:]
	g.run(keeper.Name, keeper.Do)
	if err := a.awaitArbiter(ctx); err != nil {
		g.stop(err)
		return a.part()
	}
	g.run("serve servers", func(ctx context.Context) error { return wire.Serve(ctx, admin, a) })
	g.run("serve operators", func(ctx context.Context) error { return wire.Serve(ctx, control, a) })
	g.run("configuration", a.watchConfiguration)
	g.run("disk", a.watchDisk)
	g.run("waits", a.local.WatchWaits)
	g.run("stops", a.watchStops)
	a.runCommands()
	g.run("reload", a.watchOwnFiles)
	g.run("move", a.finishMove)
	for _, w := range rest {
		g.run(w.Name, w.Do)
	}
	a.log.Info("supervisor started", "server", a.config.Me(), "version", a.opt.Version, "record", a.board.Read().Record.String())
	return a.part()
}

// prepare ends what a crash has cut off, before anything looks at the data.
func (a *Agent) prepare(ctx context.Context) error {
	if err := a.recover(); err != nil {
		return err
	}
	major, err := a.version(ctx)
	if err != nil {
		return err
	}
	a.hands.Major = major
	a.files = observe.NewFiles(conffiles.NewWatched(a.hands.Roots()))
	return a.sameCluster()
}

// recover leaves to the table what needs a copy, or a file system that may be mounted yet.
func (a *Agent) recover() error {
	if err := a.hands.Recover(); err != nil && !errors.Is(err, postgres.ErrUnfinished) && !errors.Is(err, postgres.ErrUnmounted) {
		return err
	}
	return nil
}

func (a *Agent) listen() (admin, control net.Listener, err error) {
	me := a.config.Me()
	own := a.config.Endpoint(me).Admin
	if admin, err = wire.ListenTLS(own, a.tls.Server); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, nil, fmt.Errorf("take this supervisor's own address %s: another process listens there; stop that, or choose another servers.%s.admin in pair.toml, on both servers", own, me)
		}
		return nil, nil, fmt.Errorf("take this supervisor's own address, servers.%s.admin in pair.toml: %w", me, err)
	}
	if control, err = wire.ListenUnix(a.config.Path("run", "control.sock"), 0o600); err != nil {
		_ = admin.Close()
		return nil, nil, err
	}
	return admin, control, nil
}

func (a *Agent) awaitArbiter(ctx context.Context) error {
	if !a.opt.WaitForArbiter || !a.config.Pair.Arbiter.Apart() {
		return nil
	}
	limit := time.After(arbiterPatience)
	for {
		// One whose record was closed by a move is there. Which arbiter came after it the
		// other supervisor tells, and it can only tell one that runs.
		if r, _, reached := a.keeper.Seen(); reached || r.Moved != "" {
			return nil
		}
		select {
		case <-a.board.Woken():
		case <-limit:
			return fmt.Errorf("%s%s is not reached: %s; or start this server without it, with --async-connect-arbiter", ArbiterNotReached, a.config.Pair.Arbiter.Where(), cmp.Or(a.keeper.Problem(), "it does not answer"))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watchStops stops as often as that is asked for.
func (a *Agent) watchStops(ctx context.Context) error {
	for {
		select {
		case <-a.opt.Stops:
			a.background("stop", a.stopInOrder)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// startPatience is what systemd is asked to wait for the next sign of a supervisor that
// is not ready, where no watchdog says.
const startPatience = 10 * time.Second

// notifier tells systemd of readiness and of life. The variable is taken out of
// the environment, so that no child can speak in our name.
type notifier struct {
	socket   string
	watchdog bool
	every    time.Duration // a third of what is waited for a sign
	// environment is what was taken out of it.
	environment map[string]string

	mu     sync.Mutex    // the loop and reloads speak; nobody waits with it for anything
	conn   *net.UnixConn // kept: without a free descriptor there would be no sign of life
	ready  bool
	unsaid []string // what is said once, and did not get through yet
	last   time.Duration
}

func newNotifier() *notifier {
	taken := map[string]string{}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if value, there := os.LookupEnv(name); there {
			taken[name] = value
		}
	}
	watchdog, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		watchdog = 0
	}
	n := &notifier{
		socket: os.Getenv("NOTIFY_SOCKET"), environment: taken,
		watchdog: watchdog > 0, every: cmp.Or(watchdog, startPatience) / 3,
	}
	n.last = -n.every // the first sign is due, however short the machine has run
	_ = os.Unsetenv("NOTIFY_SOCKET")
	return n
}

// giveBack lets a supervisor that begins anew find what this one took.
func (n *notifier) giveBack() {
	for name, value := range n.environment {
		_ = os.Setenv(name, value)
	}
}

func (n *notifier) turn(ready bool) {
	if n.socket == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if ready && !n.ready {
		n.ready = true
		n.unsaid = append(n.unsaid, daemon.SdNotifyReady)
	}
	n.sayUnsaid()
	if now := wire.Now(); now-n.last >= n.every && n.signOfLife() {
		n.last = now
	}
}

// sayUnsaid says it in order: the end of a reload counts after its beginning only.
func (n *notifier) sayUnsaid() {
	for len(n.unsaid) > 0 && n.say(n.unsaid[0]) {
		n.unsaid = n.unsaid[1:]
	}
}

// signOfLife puts off what systemd does to a supervisor that hangs. A start has no limit
// of time, but one that gives no sign is given up: until a service is ready, its watchdog
// is asleep (sd_notify(3), systemd.service(5), TimeoutStartSec=; systemd 252).
func (n *notifier) signOfLife() (said bool) {
	said = n.ready || n.say(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (3*n.every).Microseconds()))
	return said && (!n.watchdog || n.say(daemon.SdNotifyWatchdog))
}

// say tells whether it got through. What does not is for a later turn.
func (n *notifier) say(state string) bool {
	for range 2 { // systemd may listen anew, at a socket of the same name
		if n.conn == nil {
			conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
			if err != nil {
				return false
			}
			n.conn = conn
		}
		err := send(n.conn, state)
		if err == nil || errors.Is(err, unix.EAGAIN) {
			return err == nil
		}
		_ = n.conn.Close()
		n.conn = nil
	}
	return false
}

// send does not wait for room, as Write would: a systemd that is frozen, or hangs on a
// failed disk, reads nothing, and the loop must go on without it.
func send(conn *net.UnixConn, state string) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Send(int(fd), []byte(state), unix.MSG_DONTWAIT)
		return true
	})
	return errors.Join(err, sent)
}

// lock makes sure that one supervisor runs on a management directory. The kernel
// takes the lock away from a process that dies. The pid is for whoever looks for the
// supervisor: where it cannot be written there is one all the same, since on a full disk it
// may be needed. Its file stays, or there might be no room for it the next time.
func lock(c *config.Config) (unlock func(), err error) {
	for _, dir := range []string{"run", "log"} {
		if err := os.MkdirAll(c.Path(dir), 0o700); err != nil {
			return nil, fmt.Errorf("prepare management directory: %w", err)
		}
	}
	f, err := os.OpenFile(c.Path("run", "supervisor.lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock management directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock management directory: another supervisor runs on %s; see mcctl status -M %s", c.Dir, shell.Word(c.Dir))
	}
	if pid, err := os.OpenFile(c.Path("run", "supervisor.pid"), os.O_CREATE|os.O_WRONLY|syscall.O_CLOEXEC, 0o600); err == nil {
		_ = durable.WritePID(pid)
		_ = pid.Close()
	}
	return func() { _ = f.Close() }, nil
}

// lockData makes sure that no other supervisor, nor mcctl init, works on the data directory.
func lockData(c *config.Config) (unlock func(), err error) {
	in := &postgres.Instance{Data: c.Server.DataDirectory}
	unlock, err = in.Claim(postgres.Holder{Dir: c.Dir})
	var other *postgres.ClaimedError
	if errors.As(err, &other) {
		err = fmt.Errorf("lock data directory: %w: check data_directory in server.toml, each server has its own", err)
	}
	return unlock, err
}
