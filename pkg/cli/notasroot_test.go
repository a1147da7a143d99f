package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcctl/pkg/config"
	"mcctl/pkg/lost"
)

// What the owner of a management directory names there is not run by root, and where he
// puts a link root does not write.
func TestRootRunsAndWritesNothingForTheOwner(t *testing.T) {
	dir := newMcdir(t)
	data := writeConfig(t, dir)
	ran := filepath.Join(dir, "ran")
	bin := filepath.Join(dir, "bin")
	write(t, filepath.Join(data, "PG_VERSION"), "15\n")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "pg_ctl", "pg_rewind", "pg_basebackup"} {
		program(t, filepath.Join(bin, name), "touch "+ran)
	}
	file := filepath.Join(dir, config.ServerFile)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, strings.Replace(string(text), `"/nowhere"`, `"`+bin+`"`, 1))
	store := lost.Store{Dir: filepath.Join(dir, "lost")}
	report, err := store.Save(lost.Report{ID: "20260102-030405-1-0_5000148"}, lost.Files{})
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "target")
	write(t, target, "something")
	if err := os.Symlink(target, filepath.Join(report.Directory, "seen")); err != nil {
		t.Fatal(err)
	}
	owner, err := ownerOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"check"},
		{"check", "-o", "json"},
		{"config", "check"},
		{"config", "diff"},
		{"events", "show", "--seen"},
	} {
		command := args[0]
		switch args[0] {
		case "config":
			command = strings.Join(args, " ")
		case "events":
			command = "events show " + report.ID + " --seen"
		}
		as(t, 0, append(args, "-M", dir)...).wants(t, exitRefused, "mcctl: "+command, ": refused as root: ", dir+" belongs to "+userName(owner),
			"hint: run it as that user: runuser -u "+userName(owner)+" -- mcctl "+command)
	}
	as(t, 0, "look-here", dir).wants(t, exitRefused, "refused as root")
	if _, err := os.Stat(ran); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("root has run the owner's program: %v", err)
	}
	if got, _ := os.ReadFile(target); string(got) != "something" {
		t.Errorf("root has written where the owner's link leads: %q", got)
	}
	as(t, 0, "events", "show", "-M", dir).wants(t, exitDone) // reading is no harm
	as(t, 0, "config", "show", "-M", dir).wants(t, exitDone)
	as(t, 0, "check", "--list").wants(t, exitDone)
}

func program(t *testing.T, path, text string) {
	t.Helper()
	write(t, path, "#!/bin/sh\n"+text+"\n")
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
}
