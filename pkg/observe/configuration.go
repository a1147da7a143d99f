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
	if err == nil && now == c.seen && wire.Now()-c.checked < rarely && c.stale == 0 {
		return
	}
	c.seen, c.checked = now, wire.Now()
	trouble, wrong := c.judge(ctx, s, t, w, judged, err)
	if c.Busy() { // it began meanwhile
		c.seen = looked{}
		return
	}
	if !wrong {
		c.stale = 0
	} else if c.stale == 0 {
		c.stale = wire.Now()
	}
	stale := c.stale > 0 && wire.Now()-c.stale >= staleAfter
	c.tellNews(lines(s.ConfigTrouble), trouble)
	if text := strings.Join(trouble, "\n"); stale != s.SettingsStale || text != s.ConfigTrouble {
		c.Board.Note(func(s *board.Sight) { s.ConfigTrouble, s.SettingsStale = text, stale })
	}
}

func lines(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return c == '\n' })
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

// judge tells what is in the way, and whether a reload would bring other values of
// managed settings into force.
func (c *Configuration) judge(ctx context.Context, s board.Sight, t *pgconf.Tree, w settings.Wanted, judged bool, err error) (trouble []string, stale bool) {
	if err != nil {
		return []string{err.Error()}, false
	}
	trouble = closedHomes(t, w)
	if s.LookAt == 0 || s.PID == 0 { // down, or nobody can ask
		for _, p := range t.Problems() {
			trouble = append(trouble, "PostgreSQL will not start with its configuration files: "+p.String())
		}
		return trouble, false
	}
	asked, err := c.ask(ctx, w, judged)
	if err != nil {
		return lines(s.ConfigTrouble), s.SettingsStale // the next look may know
	}
	return append(trouble, asked.trouble...), asked.stale && judged
}

// closedHomes names the managed lines that stand in files that mcctl may not write.
func closedHomes(t *pgconf.Tree, w settings.Wanted) (trouble []string) {
	for _, name := range w.Names() {
		for _, o := range t.All(name) {
			if !t.Writable(o.File) {
				trouble = append(trouble, fmt.Sprintf("%s: mcctl must be able to change %s, but %s; or move the line to a file that mcctl may write", o.Place(), name, conffiles.Refusal(o.File)))
			}
		}
	}
	return trouble
}

type answer struct {
	trouble []string
	stale   bool
}

// ask lets the server say what it goes by and what it would not read.
func (c *Configuration) ask(ctx context.Context, w settings.Wanted, judged bool) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, staleAfter)
	defer cancel()
	session, err := c.Instance.Connect(ctx)
	if err != nil {
		return a, err
	}
	defer session.Close()
	refused, faults, err := session.FileFaults(ctx)
	if err != nil {
		return a, err
	}
	inForce, err := session.InForce(ctx, w.Names())
	if err != nil {
		return a, err
	}
	for _, f := range faults {
		text := "PostgreSQL ignores " + f.String()
		switch {
		case f.Restart:
			text = f.String()
		case refused:
			text = "PostgreSQL refuses to reload any of its configuration files until this is mended: " + f.String()
		}
		a.trouble = append(a.trouble, text)
	}
	values := w.Values()
	for _, f := range inForce {
		wants, managed := values[f.Name]
		switch {
		case managed && f.Fixed():
			a.trouble = append(a.trouble, fmt.Sprintf("%s was set on %s of PostgreSQL, which wins over every file: mcctl stop, then mcctl start", f.Name, f.Place()))
		case managed && f.Value != wants && !refused: // else a reload cannot help
			a.stale = true
		}
	}
	return a, nil
}
