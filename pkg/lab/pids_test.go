package lab

import (
	"os"
	"path/filepath"
	"testing"
)

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

// The kernel names a process's directory without the links that led there.
func TestPidsOfALabBelowALink(t *testing.T) {
	dir := labDir(t)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(filepath.Dir(dir), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(link, "lab")
	made := built(t, below)
	postgres(t, made, Server1)
	opened, err := Open(below)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Lab{made, opened} {
		if l.Pids().Servers[Server1].Postmaster == 0 {
			t.Errorf("the postmaster of the lab in %s is not found", l.Dir)
		}
	}
	if err := Down(t.Context(), below, true); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(below); err == nil || opened.Pids().Servers[Server1].Postmaster != 0 {
		t.Errorf("something is left: %v, %+v", err, opened.Pids())
	}
}
