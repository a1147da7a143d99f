package conffiles

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"mcctl/pkg/durable"
	"mcctl/pkg/pgconf"
)

// Why Write has left a file to somebody else who writes it. Wait a moment, read again
// and edit that.
var (
	ErrChanged = durable.ErrChanged
	ErrBusy    = durable.ErrBusy
)

// Write puts the edits of a tree on disk, each file all or nothing: a temporary file
// beside it, synced and exchanged with it. Links, owner, mode and access lists are kept.
// When one of the files may not be written nothing is; the error then says which line of
// it is in the way and how to mend that. After another error some files may have
// their new content, and the next try writes the rest.
//
// Nothing is written while somebody else is writing one of the files, edited or not:
// what was read of that one is not what it will be (ErrChanged, ErrBusy).
func Write(t *pgconf.Tree) error {
	if err := mayWrite(t); err != nil {
		return err
	}
	for _, path := range t.Paths() {
		if durable.Busy(path) {
			return fmt.Errorf("write %s: %w", path, ErrBusy)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, t.Content(path)) {
			return fmt.Errorf("write %s: %w", path, errors.Join(err, ErrChanged))
		}
	}
	_, err := write(t, false)
	return err
}

// Force is Write for who cannot wait any longer. A file that somebody has open for
// writing gets its edit, and goes on for that writer under another name, which is
// told (left); one that is empty is not taken for what it will be.
func Force(t *pgconf.Tree) (left []string, err error) {
	if err := mayWrite(t); err != nil {
		return nil, err
	}
	for _, e := range t.Edits() {
		if len(bytes.TrimSpace(e.Old)) == 0 && durable.Busy(e.File) {
			return nil, fmt.Errorf("write %s: it is empty, and somebody has it open for writing: see who with fuser -v %[1]s, and have them save it: %w", e.File, ErrBusy)
		}
	}
	return write(t, true)
}

func mayWrite(t *pgconf.Tree) (refused error) {
	for _, e := range t.Edits() {
		if !e.Writable {
			refused = errors.Join(refused, fmt.Errorf("write %s: line %d has to change, but %s; or move what mcctl manages to a file that it may write", e.File, e.Line, Refusal(e.File)))
		}
	}
	return refused
}

func write(t *pgconf.Tree, force bool) (left []string, err error) {
	for _, e := range t.Edits() {
		name, err := durable.Replace(e.File, e.Old, e.New, force)
		if err != nil {
			return left, err
		}
		if name != "" {
			left = append(left, name)
		}
	}
	return left, nil
}

// Busy names a file of the tree that somebody has open for writing; empty if none is.
func Busy(t *pgconf.Tree) string {
	for _, path := range t.Paths() {
		if durable.Busy(path) {
			return path
		}
	}
	return ""
}
