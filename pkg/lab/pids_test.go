package lab

import "testing"

// Between fork and exec what a daemon starts looks like the daemon itself.
func TestADaemonIsNotWhatItIsJustStarting(t *testing.T) {
	supervise := []string{"mcctl", "supervise", "-M", "/m"}
	watch := []string{"mcctl", "watch-supervisor", "-M", "/m"}
	for _, all := range [][]process{
		{{10, 9, supervise}, {9, 1, watch}, {11, 10, supervise}, {12, 9, watch}},
		{{11, 10, supervise}, {12, 9, watch}, {9, 1, watch}, {10, 9, supervise}},
	} {
		if daemon, watch := daemons(all, "/m"); daemon != 10 || watch != 9 {
			t.Errorf("daemon %d, watch %d", daemon, watch)
		}
	}
}
