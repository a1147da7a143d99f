package conffiles

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"mcctl/pkg/durable"
	"mcctl/pkg/pgconf"
)

// ErrChanged tells that somebody wrote a file between our reading and our writing.
// Read again and edit that.
var ErrChanged = errors.New("somebody else has just changed it")

// Write puts the edits of a tree on disk, each file all or nothing: a temporary file
// beside it, synced and renamed. Links, owner, mode and access lists are kept. When
// one of the files may not be written nothing is; the error then says which line of
// it is in the way and how to mend that. After another error some files may have
// their new content, and the next try writes the rest.
func Write(t *pgconf.Tree) error {
	edits := t.Edits()
	var refused error
	for _, e := range edits {
		if !e.Writable {
			refused = errors.Join(refused, fmt.Errorf("write %s: line %d has to change, but %s; or move what mcctl manages to a file that it may write", e.File, e.Line, Refusal(e.File)))
		}
	}
	if refused != nil {
		return refused
	}
	for _, e := range edits {
		now, err := os.ReadFile(e.File)
		if err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
		if !bytes.Equal(now, e.Old) {
			return fmt.Errorf("write %s: %w", e.File, ErrChanged)
		}
		if err := durable.WriteFile(e.File, e.New, 0o600); err != nil {
			return err
		}
	}
	return nil
}
