package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/hook"
)

func TestCommands(t *testing.T) {
	if c := load(t, copyExample(t, "server1")); len(c.Server.Commands.Configured()) != 0 || c.Server.Commands != defaultCommands() {
		t.Errorf("the example has %+v", c.Server.Commands)
	}
	dir := copyExample(t, "server1", `fencing = ""`, `fencing = "fence"`, `event_timeout = "10s"`, `event_timeout = "1m"`, `event = ""`, `event = "/bin/true"`)
	if err := os.WriteFile(filepath.Join(dir, "fence"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	got := load(t, dir).Server.Commands.Configured()
	want := map[hook.Kind]hook.Command{
		hook.Fencing: {Path: dir + "/fence", Timeout: 20 * time.Second},
		hook.Event:   {Path: "/bin/true", Timeout: time.Minute},
	}
	if len(got) != 2 || got[hook.Fencing] != want[hook.Fencing] || got[hook.Event] != want[hook.Event] {
		t.Errorf("configured are %+v, want %+v", got, want)
	}
}

func TestCommandsThatCannotBeUsed(t *testing.T) {
	wantProblems(t, "server1", []string{`fencing = ""`, `fencing = "missing"`},
		"server.toml:@fencing = : commands.fencing: missing cannot be found: no such file or directory")
	wantProblems(t, "server1", []string{`pre_detach_timeout = "20s"`, `pre_detach_timeout = "0s"`},
		"server.toml:@pre_detach_timeout = : commands.pre_detach_timeout: 0s is not usable; write more than 0 and at most 10m0s")
	wantProblems(t, "server1", []string{`post_attach_timeout`, `post_atach_timeout`},
		"server.toml:@post_atach_timeout = : commands.post_atach_timeout: is not a known key; did you mean post_attach_timeout?")
}

// A command that others can write would be theirs to run.
func TestCommandOthersCanWrite(t *testing.T) {
	dir := copyExample(t, "server1", `event = ""`, `event = "tell"`)
	path := filepath.Join(dir, "tell")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o722); err != nil {
		t.Fatal(err)
	}
	_, err := Load(dir)
	if err == nil || !strings.Contains(err.Error(), "commands.event: "+path+" has mode 0722 and can be written by others; run: chmod go-w "+path) {
		t.Errorf("got %v", err)
	}
}
