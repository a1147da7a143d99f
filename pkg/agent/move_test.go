package agent

import (
	"strings"
	"testing"

	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

func TestArbitersThatDifferAreToldOf(t *testing.T) {
	of := func(server pair.Server, arbiter string) wire.ServerStatus {
		return wire.ServerStatus{Server: server, Arbiter: arbiter}
	}
	for _, c := range []struct {
		here, there string
		told        bool
	}{{"none", "none", false}, {"none", "", false}, {"none", "witness at a:1", true}} {
		got := differentArbiters(of("server1", c.here), of("server2", c.there))
		if (len(got) > 0) != c.told || c.told && !strings.Contains(got[0], c.there) {
			t.Errorf("%q and %q: %q", c.here, c.there, got)
		}
	}
}
