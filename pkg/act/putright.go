package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/conffiles"
	"mcctl/pkg/decide"
	"mcctl/pkg/durable"
	"mcctl/pkg/majors"
	"mcctl/pkg/pgconf"
	"mcctl/pkg/settings"
)

// HasArchive tells whether PostgreSQL may get log from elsewhere than the other server, as
// far as its files say.
func (h *Hands) HasArchive() bool {
	t, err := conffiles.Read(h.Roots())
	if err != nil {
		return true // not known
	}
	o, set := t.Get("restore_command")
	return set && o.Value != ""
}

// PutRight makes the managed settings fit again. Before it releases commits, the own
// copy says alone as well.
func (h *Hands) PutRight(ctx context.Context) error {
	s := h.Board.Read()
	if s.Names(h.me()) && board.Mode(s) == decide.Alone {
		if err := h.save(s.Record); err != nil {
			return err
		}
	}
	if err := h.awaitCalm(ctx); err != nil {
		return err
	}
	w := h.Wanted(s)
	faults, _ := h.site().Faults(w)
	for _, f := range faults {
		if !f.Override { // those are told whenever they are met
			h.tell("putting right: %s", f)
		}
	}
	if err := h.applySettings(ctx, w); err != nil {
		return err
	}
	h.Board.Note(func(s *board.Sight) { s.SettingsStale = false })
	if _, running := h.Postgres.Postmaster(); !running || s.Names(h.me()) {
		return nil
	}
	return h.dropReserved(ctx)
}

// dropReserved drops on a standby the slot of a promotion that did not come about (reserve):
// it would pin log for ever. Such a promotion has left its settings too, for which this
// server is put right.
func (h *Hands) dropReserved(ctx context.Context) error {
	ctx, cancel := h.bounded(ctx)
	defer cancel()
	session, err := h.Postgres.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	return session.DropSlot(ctx, settings.Slot(h.other()))
}

// calm is how long the files must not have changed before they are put right.
const calm = 50 * time.Millisecond

// awaitCalm waits until nobody is writing the configuration. Whoever replaces a text in
// place leaves the file empty for a moment: putting that right would replace the file,
// and what is being written would be lost.
func (h *Hands) awaitCalm(ctx context.Context) error {
	for was := ""; ; {
		now := h.site().Stamp()
		if now == was {
			return nil
		}
		was = now
		if err := h.pause(ctx, calm); err != nil {
			return err
		}
	}
}

// files is the site on this machine.
type files struct{ *Hands }

func (f files) Stamp() string {
	t, err := conffiles.Read(f.Roots())
	if err != nil {
		return err.Error()
	}
	var all strings.Builder
	for _, path := range t.Paths() {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintln(&all, path, info.Size(), info.ModTime().UnixNano())
		}
	}
	return all.String()
}

// Wanted is what the managed settings must be under the record as it is known.
func (h *Hands) Wanted(s board.Sight) settings.Wanted {
	if s.Names(h.me()) {
		return h.primarySettings(board.Mode(s) != decide.Alone)
	}
	return h.standbySettings()
}

func (h *Hands) primarySettings(wait bool) settings.Wanted {
	return settings.Wanted{Other: h.other(), Wait: wait, Slots: h.managesSlots()}
}

func (h *Hands) standbySettings() settings.Wanted {
	w := h.primarySettings(true)
	w.Upstream, w.Slot = h.upstream().Conninfo(), settings.Slot(h.me())
	return w
}

// managesSlots tells whether synchronized_standby_slots is there and ours to manage.
func (h *Hands) managesSlots() bool {
	return majors.Of(h.Major).SyncSlots && h.Config.Policy().ManageSynchronizedStandbySlots
}

// Roots are the files where PostgreSQL begins to read its configuration.
func (h *Hands) Roots() pgconf.Roots {
	return conffiles.Roots(h.Config.Server.ConfigFile, h.Config.Server.DataDirectory, h.Major)
}

// writeSettings edits the files, touching no other byte, and has a running
// postmaster read them. The reload is asynchronous; who must know that it is in
// force proves it (proveSettings, proveNames).
func (h *Hands) writeSettings(ctx context.Context, w settings.Wanted) error {
	if err := h.editSettings(ctx, w); err != nil {
		return err
	}
	if pid, running := h.Postgres.Postmaster(); running {
		return h.Postgres.Reload(pid)
	}
	return nil
}

func (h *Hands) editSettings(ctx context.Context, w settings.Wanted) error {
	overrides, err := h.site().Edit(ctx, w)
	if err != nil {
		return err
	}
	for _, f := range overrides {
		h.tell("%s; commented out", f)
	}
	return nil
}

// writerPatience is how long an edit waits for somebody who is saving one of the files,
// which takes an editor some milliseconds. Clients may be waiting for the edit.
const writerPatience = time.Second

// Edit edits what is there when nobody is writing. Once its patience is at an end it
// goes on beside the writer, whose text is kept.
func (f files) Edit(ctx context.Context, w settings.Wanted) (overrides []settings.Fault, err error) {
	for began := f.now(); ; {
		t, err := conffiles.Read(f.Roots())
		if err != nil {
			return nil, err
		}
		overrides = slices.DeleteFunc(w.Faults(t), func(f settings.Fault) bool { return !f.Override })
		w.Write(t)
		if f.now()-began > writerPatience {
			return overrides, f.editBeside(t)
		}
		err = conffiles.Write(t)
		if !errors.Is(err, conffiles.ErrChanged) && !errors.Is(err, conffiles.ErrBusy) {
			return overrides, err
		}
		if err := f.pause(ctx, 2*time.Millisecond); err != nil {
			return nil, fmt.Errorf("edit configuration: %w", err)
		}
	}
}

func (f files) editBeside(t *pgconf.Tree) error {
	left, err := conffiles.Force(t)
	for _, name := range left {
		f.tell("somebody has had %s open for writing for more than %s: it was edited all the same, and what they write is in %s", strings.TrimSuffix(name, durable.Displaced), writerPatience, name)
	}
	return err
}

func (f files) Faults(w settings.Wanted) ([]settings.Fault, error) {
	t, err := conffiles.Read(f.Roots())
	if err != nil {
		return nil, err
	}
	return w.Faults(t), nil
}

// tell puts a line into the events.
func (h *Hands) tell(format string, args ...any) {
	if h.Tell != nil {
		h.Tell(fmt.Sprintf(format, args...))
	}
}
