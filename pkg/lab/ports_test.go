package lab

import (
	"net/url"
	"strings"
	"testing"
)

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

// A lab may lie anywhere.
func TestTheURIOfAnyDirectory(t *testing.T) {
	l := &Lab{Dir: "/srv/a b&c%41=?#+d"}
	uri, err := url.Parse(l.Env()["PGURI"])
	if err != nil || uri.Query().Get("passfile") != l.Dir+"/pgpass" || strings.Contains(uri.RawQuery, "+") {
		t.Errorf("%v, %v", uri, err)
	}
}
