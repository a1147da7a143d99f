package act

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mcctl/pkg/board"
	"mcctl/pkg/conffiles"
	"mcctl/pkg/decide"
	"mcctl/pkg/durable"
	"mcctl/pkg/settings"
)

// A gated PostgreSQL is started with hba_file naming a link in the management
// directory. The link leads to the gate's own text first and to the site's file
// when the gate opens; a reload then lets clients in.
func (h *Hands) gateLink() string { return h.Config.Path("run", "pg_hba.conf") }
func (h *Hands) gateText() string { return h.Config.Path("run", "gate_hba.conf") }

// siteHBA is the file that PostgreSQL itself would use: what its configuration says,
// else what server.toml does. A relative path there depends on where PostgreSQL was
// started (make_absolute_path), so server.toml must say it.
func (h *Hands) siteHBA() string {
	t, err := conffiles.Read(h.Roots())
	if err == nil {
		if said, ok := t.Get("hba_file"); ok && filepath.IsAbs(said.Value) {
			return said.Value
		}
	}
	return h.Config.Server.HBAFile
}

func (h *Hands) closeGate() error {
	site, err := os.ReadFile(h.siteHBA())
	if err != nil {
		return fmt.Errorf("read client authentication: %w", err)
	}
	if err := durable.WriteFile(h.gateText(), settings.GateHBA(h.Config.Server.Postgres.User, site), 0o600); err != nil {
		return err
	}
	return durable.Symlink(h.gateText(), h.gateLink())
}

func (f files) CloseGate() (string, error) { return f.gateLink(), f.closeGate() }

func (f files) TurnGate() error { return durable.Symlink(f.siteHBA(), f.gateLink()) }

// Gated reports whether this postmaster was started behind the gate and the gate
// is still closed. Its command line and the link tell, so that a restarted
// supervisor knows as well.
func (f files) Gated(pid int) bool {
	cmdline, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "cmdline"))
	if err != nil || !strings.Contains(string(cmdline), "hba_file="+f.gateLink()) {
		return false
	}
	to, err := os.Readlink(f.gateLink())
	return err == nil && to == f.gateText()
}

// Gated is that of the site.
func (h *Hands) Gated(pid int) bool { return h.site().Gated(pid) }

// OpenGate lets clients in (T5, T6). While paired, commits that were waiting at
// the crash are visible now: the standby must have them first.
func (h *Hands) OpenGate(ctx context.Context) error {
	s := h.Board.Read()
	if board.Mode(s) != decide.Alone {
		if err := h.proveNames(ctx); err != nil {
			return err
		}
		if err := h.standbyHolds(ctx); err != nil {
			return err
		}
	}
	if err := h.site().TurnGate(); err != nil {
		return err
	}
	if err := h.Postgres.Reload(s.PID); err != nil {
		return err
	}
	h.Board.Note(func(s *board.Sight) { s.Gated = false })
	return nil
}
