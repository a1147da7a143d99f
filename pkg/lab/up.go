package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"

	"mcctl/pkg/durable"
)

// Up makes the lab in opt.Dir, or finds the one that is there, starts whatever
// of it does not run, and returns once the pair is paired. Killed at any point,
// another Up or Down puts it right: the data directories are thrown away and
// made again if they were not complete, and kept for ever after.
func Up(ctx context.Context, opt Options) (*Lab, error) {
	l, unlock, err := prepare(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("set up lab: %w", err)
	}
	defer unlock()
	if !l.state.Built {
		if err := l.build(ctx); err != nil {
			return nil, fmt.Errorf("set up lab in %s: %w", l.Dir, err)
		}
	}
	if err := l.start(ctx); err != nil {
		return nil, fmt.Errorf("start lab in %s: %w", l.Dir, err)
	}
	return l, nil
}

// prepare settles everything that is not to change any more, takes the lock and
// writes lab.json.
func prepare(ctx context.Context, opt Options) (*Lab, func(), error) {
	if opt.Out == nil {
		opt.Out = io.Discard
	}
	if opt.Dir == "" {
		return nil, nil, errors.New("name a directory for it")
	}
	run, err := findAccount(opt.User)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(opt.Dir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("make directory: %w", err)
	}
	dir, err := realDir(opt.Dir)
	if err != nil {
		return nil, nil, fmt.Errorf("find directory: %w", err)
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, nil, err
	}
	l := &Lab{Dir: dir, run: run, out: opt.Out, template: opt.Template, release: func() {}}
	err = l.settle(ctx, opt)
	end := func() { l.release(); unlock() }
	if err != nil {
		end()
		return nil, nil, err
	}
	return l, end, nil
}

// settle reads lab.json or writes the first one.
func (l *Lab) settle(ctx context.Context, opt Options) error {
	dir, run := l.Dir, l.run
	err := durable.ReadJSON(l.path("lab.json"), &l.state)
	switch {
	case err == nil:
		return l.reopen(ctx, opt)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if none, err := empty(dir); err != nil || !none {
		return errors.Join(fmt.Errorf("use %s: it is not empty and holds no lab; choose another directory", dir), err)
	}
	if err := run.mkdir(dir, 0o755); err != nil {
		return err
	}
	if !run.can(ctx, "-x", dir) {
		return fmt.Errorf("use %s: user %s cannot enter it; choose a directory it can enter, below /tmp or %s", dir, run.Username, run.HomeDir)
	}
	if err := l.choose(ctx, opt); err != nil {
		return err
	}
	return l.save()
}

// choose fills in what the options leave open.
func (l *Lab) choose(ctx context.Context, opt Options) (err error) {
	l.state = state{
		Arbiter: opt.Arbiter, Port: opt.Port, BinDir: opt.BinDir, User: l.run.Username,
		Settings: opt.Settings, Profile: opt.Profile, Settling: opt.Settling, Spare: opt.Spare, Mcctl: opt.Mcctl,
	}
	switch l.state.Arbiter {
	case "":
		l.state.Arbiter = "witness"
	case "witness", "command", "none":
	case "etcd":
		if _, err := exec.LookPath("etcd"); err != nil {
			return fmt.Errorf("find etcd: %w; install it (Debian's package is etcd-server), or choose --arbiter witness", err)
		}
	default:
		return fmt.Errorf("arbiter %q: a lab has witness, etcd, command or none", opt.Arbiter)
	}
	if l.state.Profile == "" {
		l.state.Profile = "default"
	}
	if l.state.BinDir == "" {
		if l.state.BinDir, err = findBin(); err != nil {
			return err
		}
	}
	if l.state.Port == 0 {
		err = l.choosePorts()
	} else {
		err = checkPorts(l.state.Port)
	}
	if err != nil {
		return err
	}
	return l.reachMcctl(ctx)
}

// reachMcctl makes sure that the lab's user can run the mcctl program. One that
// lies where only root can go, as in a checkout below /root, is copied.
func (l *Lab) reachMcctl(ctx context.Context) error {
	if l.state.Mcctl == "" {
		l.state.Mcctl = "mcctl"
	}
	path, err := exec.LookPath(l.state.Mcctl)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return fmt.Errorf("find the mcctl program: %w; build it with: make build", err)
	}
	l.state.Mcctl = path
	if l.run.can(ctx, "-x", path) {
		return nil
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("copy the mcctl program: %w", err)
	}
	l.state.Mcctl = l.path("bin", "mcctl")
	if err := l.run.mkdir(l.path("bin"), 0o755); err != nil {
		return err
	}
	if err := durable.WriteFile(l.state.Mcctl, program, 0o755); err != nil {
		return fmt.Errorf("copy the mcctl program: %w", err)
	}
	return l.run.own(l.state.Mcctl)
}

// reopen goes on with the lab that is there, perhaps with a newer mcctl: what is
// started from now on is that.
func (l *Lab) reopen(ctx context.Context, opt Options) error {
	if err := l.agree(opt); err != nil || opt.Mcctl == "" {
		return err
	}
	l.state.Mcctl = opt.Mcctl
	if err := l.reachMcctl(ctx); err != nil {
		return err
	}
	return l.save()
}

// agree refuses options that the lab was not made with; what is left out agrees.
func (l *Lab) agree(opt Options) error {
	differ := func(what, want, have string) error {
		if want == "" || want == have {
			return nil
		}
		return fmt.Errorf("the lab in %s was made with %s %s, not %s; keep that, or remove it first: mcctl lab down --wipe", l.Dir, what, have, want)
	}
	port := ""
	if opt.Port != 0 {
		port = fmt.Sprint(opt.Port)
	}
	var settings []error
	for _, name := range slices.Sorted(maps.Keys(opt.Settings)) {
		settings = append(settings, differ("--pg", name+"="+opt.Settings[name], name+"="+l.state.Settings[name]))
	}
	return errors.Join(append(settings,
		differ("arbiter", opt.Arbiter, l.state.Arbiter),
		differ("port", port, fmt.Sprint(l.state.Port)),
		differ("user", l.run.Username, l.state.User),
		differ("profile", opt.Profile, l.state.Profile),
		differ("PostgreSQL from", opt.BinDir, l.state.BinDir),
	)...)
}

// lock keeps two commands from working on one lab at the same time. The kernel
// drops it when its holder dies.
func lock(dir string) (func(), error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		d.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: another mcctl lab command is at work there; wait for it", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { d.Close() }, nil
}
