package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/fsnotify/fsnotify"

	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/shell"
	"mcctl/pkg/wire"
)

// limits are the board's, as the configuration in force has them.
type limits struct{ config *config.Config }

// Classify is that of board.Limits.
func (l limits) Classify(s board.Sight, now time.Duration) decide.Facts {
	return l.now().Classify(s, now)
}

// Next is that of board.Limits.
func (l limits) Next(s board.Sight, now, idle time.Duration) time.Duration {
	return l.now().Next(s, now, idle)
}

func (l limits) now() board.Limits {
	c, t := l.config, l.config.Timings()
	return board.Limits{
		Me: c.Me(), KeeperMayBeLost: c.Pair.Arbiter.Apart(),
		HeartbeatTimeout: t.HeartbeatTimeout.Duration, IsolationTimeout: t.IsolationTimeout.Duration,
		CommitStallMax: t.CommitStallMax.Duration, AttachMaxLag: uint64(c.Policy().AttachMaxLag),
		AttachSettleMax: t.AttachSettleMax.Duration,
		DiskLow:         c.Policy().DiskLow, DiskCritical: c.Policy().DiskCritical,
		FencingDelay: c.Pair.Arbiter.FencingDelay.Duration,
	}
}

// reloader reads the management directory again and says what came of it.
type reloader struct {
	agent *Agent
	said  string // the last thing told, which is not told again
}

// watchOwnFiles reloads pair.toml and server.toml when they change, and on SIGHUP:
// there are file systems that tell nothing of changes.
func (a *Agent) watchOwnFiles(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	files := a.ownFiles() // of the watch alone
	watch, err := newFileWatch(func(e fsnotify.Event) bool {
		before := files
		files = a.ownFiles()
		return slices.Contains(files, e.Name) || !slices.Equal(files, before)
	})
	if err != nil {
		a.log.Warn("changes of the management directory are noticed after SIGHUP only", "error", err)
		watch = &fileWatch{} // tells nothing
	} else {
		defer watch.close()
	}
	r := &reloader{agent: a}
	read := r.reload // what was changed before the watch began
	for {
		if err == nil { // again and again, since a link may come to lead elsewhere; first, lest a change be missed
			a.watchOwnDirectories(watch)
		}
		read()
		read = func() { a.systemd.reloading(r.reload) }
		select {
		case <-watch.changed:
			watch.settle(ctx)
		case <-hangup:
			a.tell("SIGHUP: reading the configuration again")
			r.said = "SIGHUP"
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ownFiles are the files with the names of what they link to.
func (a *Agent) ownFiles() (paths []string) {
	for _, name := range []string{config.PairFile, config.ServerFile} {
		path := a.config.Path(name)
		paths = append(paths, path)
		if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
			paths = append(paths, target)
		}
	}
	return paths
}

// watchOwnDirectories has the kernel tell of changes in the directories: editors
// replace files, and a watched file would be the old one. A link may have come to lead
// elsewhere before its directory was watched, so that is looked up until it stays.
func (a *Agent) watchOwnDirectories(w *fileWatch) {
	var before []string
	for files := a.ownFiles(); !slices.Equal(files, before); files = a.ownFiles() {
		for _, path := range files {
			if dir := filepath.Dir(path); !slices.Contains(w.watched(), dir) {
				if err := w.add(dir); err != nil {
					a.log.Warn("changes of a directory are noticed after SIGHUP only", "directory", dir, "error", err)
				}
			}
		}
		before = files
	}
}

// reload brings a sound configuration into force and refuses any other as a whole.
func (r *reloader) reload() {
	if r.agent.turned.Load() {
		return // it begins anew with what is there now
	}
	next, err := config.Load(r.agent.config.Dir)
	r.agent.configRefused.Store(err != nil)
	if err != nil {
		r.tell(fmt.Sprintf("the configuration is refused, the one in force stays:\n%v", err))
		return
	}
	changes := r.agent.config.Adopt(next)
	text := ""
	for _, c := range changes {
		text += "\n" + describe(c)
	}
	switch {
	case text != "":
		r.tell("the configuration was read again:" + text + r.hint(changes))
	case r.said != "": // after a refusal, or by SIGHUP
		r.tell("the configuration was read again: it is the one in force")
	}
	r.agent.takeUp()
}

func (r *reloader) hint(changes []config.Change) string {
	if !slices.ContainsFunc(changes, func(c config.Change) bool { return c.Restart }) {
		return ""
	}
	dir := shell.Word(r.agent.config.Dir)
	return fmt.Sprintf("\nfor the rest restart the supervisor, PostgreSQL goes on meanwhile: mcctl stop --mc-only -M %s, then mcctl start -M %s", dir, dir)
}

func (r *reloader) tell(text string) {
	if text == r.said {
		return
	}
	r.said = text
	r.agent.tell(text)
}

func describe(c config.Change) string {
	old, now := c.Old, c.New
	if old == "" {
		old = "nothing"
	}
	if now == "" {
		now = "nothing"
	}
	text := fmt.Sprintf("%s: %s: %s -> %s", c.File, c.Key, old, now)
	if c.Restart {
		return text + " (waits for a restart of the supervisor)"
	}
	return text + " (in force)"
}

// takeUp has everybody who goes by the configuration look again.
func (a *Agent) takeUp() {
	a.mu.Lock()
	off := a.wishes.FailoverOff
	a.mu.Unlock()
	a.board.Note(func(s *board.Sight) { s.FailoverOff = off || !a.config.Policy().Failover })
	a.local.Kick()
	a.runner.forgive()
}

// reloading tells systemd of a reload around it (sd_notify(3), Type=notify-reload).
// Before the start is complete a reload is nothing to tell: READY=1 would end it.
func (n *notifier) reloading(reload func()) {
	told := n.reloadBegins()
	reload()
	if told {
		n.reloadEnds()
	}
}

// reloadBegins takes the place of what is unsaid: of many reloads that a silent systemd
// did not hear of, the last is enough, and its end says READY=1 as well.
func (n *notifier) reloadBegins() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ready {
		return false
	}
	n.unsaid = []string{daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec()}
	n.sayUnsaid()
	return true
}

func (n *notifier) reloadEnds() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unsaid = append(n.unsaid, daemon.SdNotifyReady)
	n.sayUnsaid()
}

// pairFile gives the text of pair.toml as it is on the disk.
func (a *Agent) pairFile(context.Context, json.RawMessage) (any, error) {
	text, err := os.ReadFile(a.config.Path(config.PairFile))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", config.PairFile, err)
	}
	return wire.PairFileAnswer{Text: string(text)}, nil
}
