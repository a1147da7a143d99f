package act

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/durable"
	"mcctl/pkg/majors"
	"mcctl/pkg/pgconf"
	"mcctl/pkg/settings"
)

// PutRight makes the managed settings fit again. Before it releases commits, the own
// copy says alone as well.
func (h *Hands) PutRight(context.Context) error {
	s := h.Board.Read()
	if s.Names(h.me()) && board.Mode(s) == decide.Alone {
		if err := h.save(s.Record); err != nil {
			return err
		}
	}
	return h.writeSettings(h.Wanted(s))
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
	return majors.Of(h.Major).SyncSlots && h.Config.Pair.Policy.ManageSynchronizedStandbySlots
}

// writeSettings edits the files, touching no other byte, and has a running
// postmaster read them. The reload is asynchronous; who must know that it is in
// force proves it (proveNames).
func (h *Hands) writeSettings(w settings.Wanted) error {
	confPath, autoPath := h.Config.Server.ConfigFile, filepath.Join(h.Config.Server.DataDirectory, "postgresql.auto.conf")
	conf, err := os.ReadFile(confPath)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	auto, err := os.ReadFile(autoPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read configuration: %w", err)
	}
	f := settings.Files{Conf: pgconf.Parse(conf), Auto: pgconf.Parse(auto)}
	w.Write(f)
	if err := writeChanged(confPath, conf, f.Conf.Bytes()); err != nil {
		return err
	}
	if err := writeChanged(autoPath, auto, f.Auto.Bytes()); err != nil {
		return err
	}
	if pid, running := h.Postgres.Postmaster(); running {
		return h.Postgres.Reload(pid)
	}
	return nil
}

func writeChanged(path string, old, next []byte) error {
	if bytes.Equal(old, next) {
		return nil
	}
	return durable.WriteFile(path, next, 0o600)
}
