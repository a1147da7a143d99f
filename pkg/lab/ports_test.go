package lab

import "testing"

func TestChosenPortsAreKeptFromOthersUntilReleased(t *testing.T) {
	l := &Lab{}
	if err := l.choosePorts(); err != nil {
		t.Fatal(err)
	}
	if _, err := claimPorts(l.state.Port); err == nil {
		t.Error("a second claim of the same block was granted")
	}
	l.release()
	release, err := claimPorts(l.state.Port)
	if err != nil {
		t.Fatal(err)
	}
	release()
}
