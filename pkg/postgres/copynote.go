package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"mcctl/pkg/durable"
)

// A copy beside the data goes to names that anybody may have given to something of his own
// before. The note, a file beside the data directory, tells that a copy has taken them. It
// cannot lie in what it speaks of: pg_basebackup wants that to be empty.
func (in *Instance) copyNote() string {
	return filepath.Join(filepath.Dir(in.Data), "."+filepath.Base(in.Data)+".mcctl-copy")
}

// noteCopy comes before the first of the names is filled. What is empty is nobody's.
func (in *Instance) noteCopy(goal Layout) error {
	names := in.copyNames(goal)
	for _, dir := range names {
		_ = unix.Rmdir(dir)
	}
	return durable.WriteJSON(in.copyNote(), names, 0o600)
}

// forgetCopy: what is at those names from now on is not ours, or in a place of its own.
func (in *Instance) forgetCopy() error { return durable.Remove(in.copyNote()) }

// dropNote is for a copy that was cut off before it had made anything, or that somebody has
// removed by hand: the names are anybody's again.
func (in *Instance) dropNote() {
	if names, err := in.noted(); err == nil && len(names) > 0 && !slices.ContainsFunc(names, exists) {
		_ = in.forgetCopy()
	}
}

// copyNames are where a copy with this layout lies until its swap, what lies elsewhere first.
func (in *Instance) copyNames(l Layout) (all []string) {
	for _, p := range l.places() {
		all = append(all, newer(p.dir))
	}
	return append(all, newer(in.Data), in.Data+".part")
}

// noted are the names that a copy has taken; none when nothing is noted.
func (in *Instance) noted() (names []string, err error) {
	if err := durable.ReadJSON(in.copyNote(), &names); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read what a copy has begun: %w", err)
	}
	return names, nil
}

// foreignCopy refuses a copy that would go to what somebody else has put there.
func (in *Instance) foreignCopy(l Layout) error {
	noted, err := in.noted()
	if err != nil {
		return err
	}
	for _, dir := range in.copyNames(l) {
		if !slices.Contains(noted, dir) && !isVacant(dir) {
			return fmt.Errorf("%w: %s is there, and not noted as what a copy has left: see what it is, and move it away, or remove it", ErrNotBeside, dir)
		}
	}
	return nil
}

func isVacant(dir string) bool {
	entries, err := os.ReadDir(dir)
	return !exists(dir) || err == nil && len(entries) == 0 && !isLink(dir)
}

// DropCopy removes a copy beside the data directory, whole or not, with what of it
// lies elsewhere. A copy that is taking the data's place is not removed.
func (in *Instance) DropCopy() error { return in.dropCopy(Layout{}) }

func (in *Instance) dropCopy(goal Layout) error {
	dirs, err := in.copies(goal)
	if err != nil {
		return fmt.Errorf("drop copy: %w", err)
	}
	if len(dirs) == 0 {
		return nil
	}
	for _, dir := range dirs { // durably: the note must not go from the disk before them
		if err := removeDurably(dir); err != nil {
			return fmt.Errorf("drop copy: %w", err)
		}
	}
	if err := in.forgetCopy(); err != nil {
		return fmt.Errorf("drop copy: %w", err)
	}
	return nil
}

// copies are the directories that a copy beside the data directory has left. This
// server's own are never among them, nor those that it shall have, whatever their names.
func (in *Instance) copies(goal Layout) ([]string, error) {
	if in.Swapping() {
		return nil, fmt.Errorf("%s.new is taking the place of %s; that must be ended first", in.Data, in.Data)
	}
	all, err := in.noted()
	if err != nil {
		return nil, err
	}
	own, err := in.Layout()
	if err != nil {
		return nil, err
	}
	live := append(own.places(), goal.places()...)
	return slices.DeleteFunc(all, func(dir string) bool {
		return slices.ContainsFunc(live, func(p place) bool { return p.dir == dir })
	}), nil
}
