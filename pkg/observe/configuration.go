package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/conffiles"
	"mcctl/pkg/pgconf"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
	"mcctl/pkg/wire"
)

// Configuration watches whether PostgreSQL goes by its configuration files and
// whether it could read them again. The files alone do not tell: a reload may not
// have been asked for, and one bad line makes PostgreSQL ignore all of it.
type Configuration struct {
	Board    *board.Board
	Instance *postgres.Instance
	Files    *Files
	// Wanted is what the managed settings must be; false: not to be judged now.
	Wanted func(board.Sight) (settings.Wanted, bool)
	// Busy: an action is under way. In the middle of its steps nothing is a mistake, and
	// clients may be waiting.
	Busy func() bool
	// Tell is called with what has come to be wrong and what was mended.
	Tell func(text string)

	seen    looked
	checked time.Duration
	stale   time.Duration // since when something else is in force than the files say
}

// looked is what a check depends on; when it is the same, a check is due seldom only.
type looked struct {
	version, pid int
	up           bool
	names        string
	wanted       settings.Wanted
	judged       bool
	// closed is looked at every time: whether a file may be written is not up to it alone.
	closed string
}

const (
	// rarely is how often the server is asked although nothing was seen to change.
	rarely = 15 * time.Second
	// staleAfter is how long a reload may take before it counts as not done.
	staleAfter = time.Second
)

// Check looks once, asking the server only if something has changed.
func (c *Configuration) Check(ctx context.Context) {
	if c.Busy() {
		return
	}
	s := c.Board.Read()
	w, judged := c.Wanted(s)
	t, version, err := c.Files.Tree()
	now := looked{version: version, pid: s.PID, up: s.LookAt != 0, names: s.Look.SyncNames, wanted: w, judged: judged}
	if err == nil { // in the other role all of them count
		now.closed = strings.Join(conffiles.Closed(t, settings.Managed(w.Slots)), "\n")
	}
	if err == nil && now == c.seen && wire.Now()-c.checked < rarely && c.stale == 0 {
		return
	}
	c.seen, c.checked = now, wire.Now()
	found := c.judge(ctx, s, t, now, err)
	if c.Busy() { // it began meanwhile
		c.seen = looked{}
		return
	}
	if !found.stale {
		c.stale = 0
	} else if c.stale == 0 {
		c.stale = wire.Now()
	}
	stale := c.stale > 0 && wire.Now()-c.stale >= staleAfter
	c.tellNews(board.Lines(s.ConfigTrouble), found.trouble)
	text, inTheWay := strings.Join(found.trouble, "\n"), strings.Join(found.inTheWay, "\n")
	if stale != s.SettingsStale || text != s.ConfigTrouble || inTheWay != s.ConfigInTheWay {
		c.Board.Note(func(s *board.Sight) { s.ConfigTrouble, s.ConfigInTheWay, s.SettingsStale = text, inTheWay, stale })
	}
}

// finding is what a look has found.
type finding struct {
	trouble  []string
	inTheWay []string // what of it is (board.Sight.ConfigInTheWay)
	stale    bool     // a reload would bring other values of managed settings into force
}

func (f *finding) add(text string, inTheWay bool) {
	f.trouble = append(f.trouble, text)
	if inTheWay {
		f.inTheWay = append(f.inTheWay, text)
	}
}

func (c *Configuration) tellNews(before, after []string) {
	for _, text := range after {
		if !slices.Contains(before, text) {
			c.Tell(text)
		}
	}
	for _, text := range before {
		if !slices.Contains(after, text) {
			c.Tell("mended: " + text)
		}
	}
}

// judge tells what is wrong. What PostgreSQL would not start with, and what mcctl could not
// change, is in the way of a change of roles; what waits for a restart is not, since a switch
// is how a primary is restarted.
func (c *Configuration) judge(ctx context.Context, s board.Sight, t *pgconf.Tree, now looked, err error) (found finding) {
	if err != nil {
		found.add(err.Error(), true)
		return found
	}
	for _, text := range board.Lines(now.closed) {
		found.add(text, true)
	}
	if s.LookAt == 0 || s.PID == 0 { // down, or nobody can ask
		for _, p := range t.Problems() {
			found.add("PostgreSQL will not start with its configuration files: "+p.String(), true)
		}
		return found
	}
	if c.ask(ctx, now.wanted, &found) != nil {
		return finding{board.Lines(s.ConfigTrouble), board.Lines(s.ConfigInTheWay), s.SettingsStale} // the next look may know
	}
	found.stale = found.stale && now.judged
	return found
}

// ask lets the server say what it goes by and what it would not read.
func (c *Configuration) ask(ctx context.Context, w settings.Wanted, found *finding) error {
	ctx, cancel := context.WithTimeout(ctx, staleAfter)
	defer cancel()
	session, err := c.Instance.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	refused, faults, err := session.FileFaults(ctx)
	if err != nil {
		return err
	}
	inForce, err := session.InForce(ctx, w.Names())
	if err != nil {
		return err
	}
	for _, f := range faults {
		text := "PostgreSQL ignores " + f.String()
		switch {
		case f.Restart:
			text = f.String()
		case refused:
			text = "PostgreSQL refuses to reload any of its configuration files until this is mended: " + f.String()
		}
		found.add(text, !f.Restart)
	}
	standby, values := w.Upstream != "", w.Values()
	for _, f := range inForce {
		wants, managed := values[f.Name]
		switch {
		case managed && f.Fixed(): // a primary is started anew when it becomes the standby, a standby is not
			found.add(fmt.Sprintf("%s was set on %s of PostgreSQL, which wins over every file: mcctl stop, then mcctl start", f.Name, f.Place()), standby)
		case managed && f.Value != wants && !refused: // else a reload cannot help
			found.stale = true
		}
	}
	return nil
}
