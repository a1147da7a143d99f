package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mcctl/pkg/board"
	"mcctl/pkg/conffiles"
	"mcctl/pkg/decide"
	"mcctl/pkg/durable"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
)

// A gated PostgreSQL is started with hba_file naming the site's file by its whole path,
// but below a link in the management directory. The link leads first to a directory that
// holds the gate's own text under that path, and to the root when the gate opens; a reload
// then lets clients in. So the name is one for both, and what the site's file names beside
// itself or above, PostgreSQL finds from there as ever: relative to hba_file as named.
func (h *Hands) gateLink() string { return h.Config.Path("run", "gate") }
func (h *Hands) gateShut() string { return h.Config.Path("run", "gate_shut") }

// Gate is what PostgreSQL is started behind; the zero value is none.
type Gate struct {
	HBAFile string
	// Lines are the places of the site's lines of which one decides about the supervisor.
	Lines []string
}

// refused says more of why the supervisor does not get in.
func (g Gate) refused(err error) error {
	return fmt.Errorf("the supervisor may not connect over the local socket; mend %s, or [postgres] in server.toml: %w", strings.Join(g.Lines, " or "), err)
}

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

func (h *Hands) closeGate() (Gate, error) {
	site, c := filepath.Clean(h.siteHBA()), h.Config.Server.Postgres
	lines, err := conffiles.ReadHBA(site, h.Major)
	if err != nil {
		return Gate{}, err
	}
	gate, text := settings.GateHBA(c.User, c.Database, lines, h.Major), h.gateShut()+site
	if len(gate.Own) == 0 { // PostgreSQL does not start without a rule, and says less
		return Gate{}, fmt.Errorf("no line of %s lets the supervisor in over the local socket, as user %s to database %s; add one", site, c.User, c.Database)
	}
	if err := os.MkdirAll(filepath.Dir(text), 0o700); err != nil {
		return Gate{}, fmt.Errorf("close the gate: %w", err)
	}
	if err := durable.WriteFile(text, gate.Text, 0o600); err != nil {
		return Gate{}, err
	}
	return Gate{h.gateLink() + site, gate.Own}, durable.Symlink(h.gateShut(), h.gateLink())
}

func (f files) CloseGate() (Gate, error) { return f.closeGate() }

func (f files) TurnGate() error { return durable.Symlink("/", f.gateLink()) }

// GateIsOpen removes the gate's text, which nobody reads any more.
func (f files) GateIsOpen(pid int) error {
	if text := f.gateText(pid); text != "" {
		return durable.Remove(text)
	}
	return nil
}

// Gated goes by the gate's text, so that a restarted supervisor knows as well. The link
// would not tell: it is turned before PostgreSQL has read what is behind it.
func (f files) Gated(pid int) bool {
	text := f.gateText(pid)
	if text == "" {
		return false
	}
	_, err := os.Stat(text)
	return err == nil
}

// gateText is the file with the gate's text for this postmaster: its command line tells.
// It is empty if the postmaster was started without a gate.
func (h *Hands) gateText(pid int) string {
	cmdline, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "cmdline"))
	if err != nil {
		return ""
	}
	for _, arg := range strings.Split(string(cmdline), "\x00") {
		if site, behind := strings.CutPrefix(arg, "hba_file="+h.gateLink()+"/"); behind {
			return h.gateShut() + "/" + site
		}
	}
	return ""
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
	if err := h.proveHBA(ctx, s.PID); err != nil {
		return errors.Join(fmt.Errorf("open the gate: %w", err), h.giveWay(ctx, s, err))
	}
	if err := h.site().GateIsOpen(s.PID); err != nil {
		return err
	}
	h.Board.Note(func(s *board.Sight) { s.Gated = false })
	return nil
}

// errKeptOut is that PostgreSQL does not take the site's file. It would not have started
// with it either.
var errKeptOut = errors.New("PostgreSQL keeps clients out until this is mended")

// giveWay has a gate that cannot open count as a start that failed, so that the standby,
// which holds everything, can serve. A single failure may have met somebody who was just
// saving the file. Where nobody can take over the gate stays, and opens once that is mended.
func (h *Hands) giveWay(ctx context.Context, s board.Sight, why error) error {
	if !errors.Is(why, errKeptOut) || board.Mode(s) == decide.Alone || s.FailoverOff || !s.Report.Failover {
		return nil
	}
	h.Board.Note(func(s *board.Sight) { s.StartsFailed++ })
	if now := h.Board.Read(); !now.WillNotStart() {
		return nil
	}
	return h.Postgres.Stop(ctx, s.PID, postgres.Fast)
}

// proveHBA reloads, and proves that PostgreSQL has taken the file that hba_file leads to.
// One bad line, and it keeps the rules that it has: so it is asked before, how the file
// reads, and again over a connection that begins after the reload, which the postmaster
// accepts only after it has read the file (TestFactAConnectionBehindAReloadGoesByIt).
func (h *Hands) proveHBA(ctx context.Context, pid int) error {
	ctx, cancel := h.within(ctx, reloadLimit, fmt.Errorf("PostgreSQL did not answer within %s", reloadLimit))
	defer cancel()
	if err := h.hbaReads(ctx); err != nil {
		return err
	}
	if err := h.Postgres.Reload(pid); err != nil {
		return err
	}
	return h.hbaReads(ctx)
}

// hbaReads is an error if PostgreSQL does not accept what hba_file leads to.
func (h *Hands) hbaReads(ctx context.Context) error {
	session, err := h.Postgres.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	faults, err := session.HBAFaults(ctx)
	if err != nil || len(faults) == 0 {
		return err
	}
	told := make([]string, len(faults))
	for i, f := range faults {
		told[i] = strings.ReplaceAll(f.String(), h.gateLink()+"/", "/") // by the site's own name
	}
	return fmt.Errorf("%w: %s", errKeptOut, strings.Join(told, "; "))
}
