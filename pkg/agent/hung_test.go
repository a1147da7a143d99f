package agent

import (
	"testing"

	"mcctl/test/fault"
)

// The loop, reports and status go on while a wish of the operator's is saved on a disk
// that hangs.
func TestNobodyWaitsForAWishThatIsBeingSaved(t *testing.T) {
	a := someAgent(t)
	disk := fault.Hang(t)
	a.store.Disk = disk
	wished := make(chan error, 1)
	go func() { wished <- a.wish(func(w *wishes) { w.Held = true }) }()
	disk.Await(t)
	disk.Free(t, "the loop", func() {
		a.report()
		a.status()
		a.explain()
		a.takeUp()
	})
	disk.LetGo()
	ok(t, <-wished)
	if !a.board.Read().Held {
		t.Error("the wish is not in force")
	}
}
