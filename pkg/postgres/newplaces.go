package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNoPlace tells that a tablespace is new to this server and has no place here. A rewind
// needs one, and a copy would need the same.
var ErrNoPlace = errors.New("no place for a tablespace")

// makePlaces makes the directories of tablespaces that are new to this server, where the
// source has them, as pg_basebackup does. pg_rewind makes the link and what is in the
// directory, but not that itself, and dry it makes nothing: it would fail in the middle
// (create_target_symlink in file_ops.c, 13 to 18).
func (in *Instance) makePlaces(ctx context.Context, source Source) error {
	spaces, err := source.Tablespaces(ctx)
	if err != nil {
		return err
	}
	had, err := in.Layout()
	if err != nil {
		return err
	}
	goal, err := in.placesOf(spaces, had)
	for _, t := range spaces {
		if err == nil && had.Tablespaces[t.OID] == "" {
			err = makePlace(t, goal.Tablespaces[t.OID])
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoPlace, err)
	}
	return nil
}

func makePlace(t Tablespace, dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil && unix.Access(dir, unix.W_OK|unix.X_OK) != nil {
		err = fmt.Errorf("%s cannot be written by this user", dir)
	}
	if err != nil {
		return fmt.Errorf("tablespace %s is new to this server, and its directory cannot be used (%w): make it, and give it to this user, or make the symbolic link pg_tblspc/%s in the data directory lead to another one", t.Name, err, t.OID)
	}
	return nil
}
