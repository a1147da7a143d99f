package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/observe"
	"mcctl/pkg/settings"
	"mcctl/pkg/wire"
)

// configurationEvery is how often the configuration is looked at when the kernel
// tells of no change.
const configurationEvery = time.Second

// rewatch is after how many looks the list of what the kernel watches is made anew,
// even though it told of nothing.
const rewatch = 10

// watchConfiguration looks whether PostgreSQL goes by its configuration files, at once
// when the kernel tells that one was changed and once a second anyway: there are
// file systems that tell nothing.
func (a *Agent) watchConfiguration(ctx context.Context) error {
	c := observe.Configuration{
		Board: a.board, Instance: a.postgres, Files: a.files, Tell: a.tell, Busy: a.acting,
		Wanted: func(s board.Sight) (settings.Wanted, bool) {
			return a.hands.Wanted(s), s.Record.Exists()
		},
	}
	watch, err := newFileWatch(func(fsnotify.Event) bool { return true })
	if err != nil {
		a.log.Warn("changes of the configuration files are noticed by polling only", "error", err)
		watch = &fileWatch{} // tells nothing
	} else {
		defer watch.close()
	}
	for turn := 0; ; turn++ {
		c.Check(ctx)
		if err == nil && turn%rewatch == 0 {
			a.watchFiles(watch)
		}
		select {
		case <-watch.changed:
			watch.settle(ctx)
			turn = -1 // what was replaced is watched anew
			a.files.Forget()
			a.local.Kick() // which compares the managed lines
		case <-time.After(wire.ToTick(configurationEvery)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watchFiles has the kernel tell of changes. Directories are watched, since editors
// replace files; but not the data directory, where something always happens: there
// the files themselves are, anew after each replacement.
func (a *Agent) watchFiles(w *fileWatch) {
	watched := map[string]bool{}
	for _, path := range w.watched() {
		watched[path] = true
	}
	data, err := filepath.EvalSymlinks(a.config.Server.DataDirectory)
	if err != nil {
		data = a.config.Server.DataDirectory
	}
	for _, path := range a.files.Places() {
		info, err := os.Stat(path)
		included := err == nil && info.IsDir() // by include_dir
		if dir := filepath.Dir(path); !included && dir != a.config.Server.DataDirectory && dir != data {
			path = dir
		}
		if watched[path] {
			continue
		}
		watched[path] = true
		_ = w.add(path) // it may not be there; the poll sees it come
	}
}

// acting tells whether an action is under way, sooner than the board, which the loop
// updates at its next turn only.
func (a *Agent) acting() bool { return a.runner.doing() != "" }

// tell puts a line into the events.
func (a *Agent) tell(text string) {
	a.journal.add(Event{Action: "configuration", Text: text})
}

// releasedPatience is how long a detach may take to come into force: a reload takes
// milliseconds, finding out what is in its way a second.
const releasedPatience = 3 * time.Second

// released tells whether commits no longer wait for the standby, now that the record
// says alone. They do while a broken line keeps PostgreSQL from reading its files.
func (a *Agent) released(ctx context.Context) error {
	ctx, cancel := a.clock.Timeout(ctx, releasedPatience, errors.New("PostgreSQL has not read its configuration"))
	defer cancel()
	err := a.await(ctx, waitsForNobody)
	if err == nil {
		return nil
	}
	if trouble := a.board.Read().ConfigTrouble; trouble != "" {
		err = errors.New(trouble)
	}
	return fmt.Errorf("detach %s: the record says alone, but commits still wait for it: %w", a.config.Other(), err)
}

// waitsForNobody: no commit waits for the standby, or none can be made.
func waitsForNobody(s board.Sight) bool {
	return s.PID == 0 || s.Look.InRecovery || s.Look.SyncNames == ""
}

// stuck tells of a detach that PostgreSQL does not go by, or "": the record says alone, and
// commits would wait for ever for a standby that has gone.
func (a *Agent) stuck(s board.Sight) string {
	if board.Mode(s) != decide.Alone || !s.Names(a.config.Me()) || waitsForNobody(s) || s.ConfigInTheWay == "" {
		return ""
	}
	return fmt.Sprintf("commits on %s wait for %s although the record says alone: %s", a.config.Me(), a.config.Other(), firstLine(s.ConfigInTheWay))
}

// toldMax bounds what the other server is told of the configuration: it goes with every report.
const toldMax = 1000

// brief is what the other server is told of a text.
func brief(text string) string {
	if len(text) <= toldMax {
		return text
	}
	return strings.ToValidUTF8(text[:toldMax], "") + "... (all of it: mcctl status there)"
}

// firstLine is the first of them, and how many more there are.
func firstLine(text string) string {
	all := board.Lines(text)
	switch len(all) {
	case 0:
		return ""
	case 1:
		return all[0]
	}
	return fmt.Sprintf("%s (and %d more: mcctl status)", all[0], len(all)-1)
}

// configurationWarnings tells of both servers' files: they often have the same names.
func configurationWarnings(servers []wire.ServerStatus) (found []string) {
	for _, s := range servers {
		for _, line := range board.Lines(s.ConfigTrouble) {
			found = append(found, fmt.Sprintf("%s: %s", s.Server, line))
		}
	}
	return found
}
