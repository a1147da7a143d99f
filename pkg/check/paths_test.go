package check

import (
	"strings"
	"testing"
)

// A key may lie among the host's own, in a directory of root's. Nobody is told to take
// those over.
func TestTheDirectoryOfTheKeyMayBeRoots(t *testing.T) {
	const us = 105
	me := func(of int) View {
		return View{Me: &Side{Euid: us, Paths: []Path{
			{Name: "data directory", Path: "/data", UID: us, User: "postgres"},
			{Name: keyDirectory, Path: "/etc/ssl/private", UID: of, User: "them"},
		}}}
	}
	if found := wrongOwner(me(0)); len(found) != 0 {
		t.Errorf("%+v", found)
	}
	found := wrongOwner(me(1000))
	if len(found) != 1 {
		t.Fatalf("somebody else's: %+v", found)
	}
	for _, c := range fileChecks() {
		if mend := told(c.Mend, found[0].Fill); c.ID == "owner" && strings.Contains(mend, "-R") {
			t.Errorf("told to mend it by %q", mend)
		}
	}
}
