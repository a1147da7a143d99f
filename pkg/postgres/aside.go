package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mcctl/pkg/durable"
)

// asideMark in Data.old tells that a swap has put that there. What somebody else has
// given the name, who moved an old cluster out of the way perhaps, is not deleted.
const asideMark = "mcctl_aside"

// What the mark says, by where it leads: jobs come and go, and what an operator wants to
// keep stays.
const (
	asideForNow  = "replaced-by-a-copy"
	asideForGood = "kept-for-the-operator"
)

// mark makes the mark. A short link takes no block, and a swap must not want for room.
func mark(dir string, keep bool) error {
	to := asideForNow
	if keep {
		to = asideForGood
	}
	return durable.Symlink(to, filepath.Join(dir, asideMark))
}

// markAside comes before the swap's end, so that no Data.old of ours is without the mark:
// whoever began the swap may be of a version that makes it only now.
func (in *Instance) markAside() error {
	if in.KeptOld() != "" {
		return nil
	}
	return mark(in.Data+".old", false)
}

// dropMark is for data that somebody has put back, or that was not put aside after all.
func (in *Instance) dropMark() { _ = os.Remove(filepath.Join(in.Data, asideMark)) }

// KeptOld tells where the data that Swap put aside lies; empty when there is none.
func (in *Instance) KeptOld() string {
	if !isLink(filepath.Join(in.Data+".old", asideMark)) {
		return ""
	}
	return in.Data + ".old"
}

// OldIsWanted tells that an operator wants to keep it. Only another swap replaces it then.
func (in *Instance) OldIsWanted() bool {
	to, err := os.Readlink(filepath.Join(in.Data+".old", asideMark))
	return err == nil && to == asideForGood
}

// foreignOld refuses a copy that could not take the data's place in the end.
func (in *Instance) foreignOld() error {
	entries, err := os.ReadDir(in.Data + ".old")
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 || in.KeptOld() != "" {
		return nil
	}
	return fmt.Errorf("%s.old is there, and no copy has put it aside: move it away, or remove it", in.Data)
}

// removeOld deletes Data.old, with the mark last: who is cut off can be called again.
func (in *Instance) removeOld() error {
	old := in.Data + ".old"
	entries, err := os.ReadDir(old)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == asideMark {
			continue
		}
		if err := os.RemoveAll(filepath.Join(old, e.Name())); err != nil {
			return err
		}
	}
	return os.RemoveAll(old)
}
