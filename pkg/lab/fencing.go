package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mcctl/pkg/pair"
	"mcctl/pkg/shell"
)

// In a lab whose arbiter is "command" each server has an arbitration and a fencing
// script. To fence is to close the other server's management directory, so that
// nothing is started on it until Lift, and to kill every process of it.

const findProcesses = `#!/bin/sh
# Made by mcctl lab up. What this file names is done first, to see what a
# command that fails or hangs leads to: %[1]s
lab=%[2]s other=%[3]s
if [ -r %[1]s ]; then . %[1]s; fi
# The processes of the other server: PostgreSQL at work in its data directory, where somebody's
# shell may stand too, and its mcctl, which has the management directory for an argument.
processes() {
  {
    find /dev/null $(find /proc/[1-9]* -maxdepth 1 -name exe '(' -lname '*/postgres' -o -lname '*/postgres (deleted)' ')' -printf '%%h/cwd ') \
      -maxdepth 0 -printf '%%p %%l\n' | while read -r cwd dir; do [ "$dir" != "$lab/$other/data" ] || echo "$cwd"; done
    grep -lzxE 'supervise|watch-supervisor' $(grep -lzxF "$lab/$other/mcdir" /proc/[1-9]*/cmdline) /dev/null
  } 2>/dev/null | cut -d/ -f3
}
`

// arbitrationScript: dead is who has no process left.
const arbitrationScript = `# $1 this server, $2 the other server: 0 means that it is dead
[ -z "$(processes)" ]
`

const fencingScript = `# $1 monitor|command, $2 switch|detach, $3 this server, $4 the other server
chmod 000 "$lab/$other/mcdir"
for try in 1 2 3 4 5 6 7 8 9 10; do
  found=$(processes)
  [ -n "$found" ] || exit 0
  kill -9 $found 2>/dev/null
  sleep 0.05
done
echo "$other still runs: $found" >&2
exit 1
`

// Order is a file of shell commands that a server's arbitration or fencing script
// does first; it does not exist unless somebody writes it.
func (l *Lab) Order(s pair.Server, command string) string {
	return l.path(string(s), command+".order")
}

func (l *Lab) writeScripts(s pair.Server) error {
	if !l.has("command") {
		return nil
	}
	for command, text := range map[string]string{"arbitration": arbitrationScript, "fencing": fencingScript} {
		path := l.path(string(s), command)
		if err := l.write(path, fmt.Sprintf(findProcesses, shell.Word(l.Order(s, command)), shell.Word(l.Dir), other(s))+text); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o700); err != nil {
			return fmt.Errorf("make %s a program: %w", path, err)
		}
	}
	return nil
}

func (l *Lab) commandsTOML(s pair.Server) string {
	if !l.has("command") {
		return ""
	}
	return fmt.Sprintf("\n[commands]\narbitration = %q\nfencing = %q\n", l.path(string(s), "arbitration"), l.path(string(s), "fencing"))
}

// Lift lets a server that was fenced be started again.
func (l *Lab) Lift(s pair.Server) error {
	if err := os.Chmod(l.Mcdir(s), 0o700); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("lift the fence of %s: %w", s, err)
	}
	return nil
}

func (l *Lab) liftAll() error {
	if !l.has("command") {
		return nil
	}
	return errors.Join(l.Lift(Server1), l.Lift(Server2))
}

// Start starts a server's supervisor, which may be alone.
func (l *Lab) Start(ctx context.Context, s pair.Server, args ...string) error {
	if err := l.Lift(s); err != nil {
		return err
	}
	return l.mcctl(ctx, append([]string{"start", "-M", filepath.Clean(l.Mcdir(s))}, args...)...)
}
