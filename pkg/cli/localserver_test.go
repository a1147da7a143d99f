package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// The flag is a check: a management directory belongs to one server.
func TestLocalServer(t *testing.T) {
	s := newSupervisor(t, paired())
	for _, file := range []string{"pair.toml", "server.toml"} {
		text, err := os.ReadFile(filepath.Join("../../mcdir-example/server1", file))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(s.mcdir, file), string(text))
	}
	mcctl(t.Context(), "status", "--local-server", "server1", "-M", s.mcdir).wants(t, exitDone, "pair ")
	called(t.Context(), "mc_ctl", "status", "--local-server", "server1", "-M", s.mcdir).wants(t, exitDone, "mirroring status")
	for _, command := range []string{"start", "stop", "status", "switch", "detach", "attach", "enable-failover", "disable-failover"} {
		mcctl(t.Context(), command, "--local-server", "server2", "-M", s.mcdir).wants(t, exitUsage, s.mcdir+" belongs to server1, not to server2", "give -M the directory of server2")
	}
	if n := s.count("stop") + s.count("switch") + s.count("detach") + s.count("attach") + s.count("failover"); n != 0 {
		t.Errorf("%d requests were made all the same", n)
	}
	write(t, filepath.Join(s.mcdir, "server.toml"), "nonsense")
	mcctl(t.Context(), "status", "-M", s.mcdir).wants(t, exitDone) // nothing asked, nothing read
	mcctl(t.Context(), "status", "--local-server", "server1", "-M", s.mcdir).wants(t, exitUsage, "read configuration")
}
