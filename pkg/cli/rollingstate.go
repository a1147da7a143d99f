package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
)

// Steps of a rolling update of one server, in their order. The primary begins with a
// switch, so that from stop on every server is a standby.
const (
	updateCheck      = "check"
	updateSwitch     = "switch"
	updateStop       = "stop"
	updateMaintain   = "maintain"
	updateStart      = "start"
	updateAttach     = "attach"
	updateSwitchBack = "switch-back"
	updateDone       = "done"
)

// updateState is rolling-update.json: a rolling update of this server, as far as it has
// come. A step is saved before it is begun, and every step may be done again, so a
// run that was killed anywhere is gone on with by the next.
type updateState struct {
	ID     string      `json:"id"`
	Began  time.Time   `json:"began"`
	Server pair.Server `json:"server"`
	// Primary tells that this server was the primary when the update began.
	Primary bool `json:"was_primary"`
	// Exec is the maintenance; empty when the operator does it by hand.
	Exec  string   `json:"exec,omitempty"`
	Steps []string `json:"steps"`
	Step  string   `json:"step"` // the one that is under way
	// Tries counts how often the maintenance was begun.
	Tries int `json:"tries"`
	// Note says how the last run ended, if it was not killed.
	Note string `json:"note,omitempty"`
}

// planUpdate says which steps a server needs.
func planUpdate(primary, back bool) []string {
	steps := []string{updateCheck}
	if primary {
		steps = append(steps, updateSwitch)
	}
	steps = append(steps, updateStop, updateMaintain, updateStart, updateAttach)
	if primary && back {
		steps = append(steps, updateSwitchBack)
	}
	return append(steps, updateDone)
}

// left are the steps from the one under way to the last but done.
func (u *updateState) left() []string {
	from := max(slices.Index(u.Steps, u.Step), 0)
	return u.Steps[from : len(u.Steps)-1]
}

// before tells that the update has not come to a step yet.
func (u *updateState) before(step string) bool {
	return slices.Index(u.Steps, u.Step) < slices.Index(u.Steps, step)
}

// after tells that a step is over.
func (u *updateState) after(step string) bool {
	return slices.Index(u.Steps, u.Step) > slices.Index(u.Steps, step)
}

// final tells an update that needs nothing more.
func (u *updateState) final() bool { return u.Step == updateDone }

func updateFile(mcdir string) string { return filepath.Join(mcdir, "rolling-update.json") }

// readUpdate is the newest update of this server, nil if there was none.
func readUpdate(mcdir string) (*updateState, error) {
	var u updateState
	err := durable.ReadJSON(updateFile(mcdir), &u)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && len(u.Steps) == 0 {
		err = errors.New("it has no steps")
	}
	if err != nil {
		return nil, failed(exitFailed, fmt.Errorf("read state of the rolling update: %w", err), "look at mcctl status; remove %s to begin anew", updateFile(mcdir))
	}
	return &u, nil
}

// errUnsaved tells that a step could not be noted, and so was not begun.
var errUnsaved = errors.New("save state of the rolling update")

func (u *updateState) save(mcdir string) error {
	if err := durable.WriteJSON(updateFile(mcdir), u, 0o600); err != nil {
		return fmt.Errorf("%w: %w", errUnsaved, err)
	}
	return nil
}

// stepText says what a step does, for the plan and while it is done.
func (u *updateState) stepText(step string, other pair.Server) string {
	switch step {
	case updateCheck:
		return "see that the pair is whole and that a switch would work"
	case updateSwitch:
		return fmt.Sprintf("make %s the primary: clients see one short gap", other)
	case updateStop:
		return fmt.Sprintf("stop %s; %s goes on alone", u.Server, other)
	case updateMaintain:
		if u.Exec == "" {
			return "wait for you to do the maintenance"
		}
		return "run: " + u.Exec
	case updateStart:
		return fmt.Sprintf("start %s", u.Server)
	case updateAttach:
		return "wait until the pair is whole again"
	case updateSwitchBack:
		return fmt.Sprintf("make %s the primary again: clients see one short gap", u.Server)
	}
	return ""
}
