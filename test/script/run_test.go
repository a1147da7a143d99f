package script

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long anything may take; far above what it takes.
const patience = 90 * time.Second

// exits runs a program that must end with this very status:
//
//	exits 2 mcctl start -M $MC1
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	out, complaint, got := run(ts, args[1:])
	_, _ = ts.Stdout().Write([]byte(out))
	_, _ = ts.Stderr().Write([]byte(complaint))
	if got != want {
		ts.Fatalf("%s: exit status %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// until runs a program again and again until what it prints matches:
//
//	until 'switchable, healthy' mcctl status -M $MC1
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP PROGRAM ARGS...")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	await(ts, want, args[0], args[1:])
}

// await is until and tells: text is what the page calls for.
func await(ts *testscript.TestScript, want *regexp.Regexp, text string, args []string) {
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		out, complaint, _ := run(ts, args)
		if want.MatchString(out + complaint) {
			_, _ = ts.Stdout().Write([]byte(out))
			_, _ = ts.Stderr().Write([]byte(complaint))
			return
		}
		if time.Since(began) > patience {
			ts.Fatalf("not within %s: %q; last:\n%s%s", patience, text, out, complaint)
		}
	}
}

// run runs mcctl, or any other program, as the page has its environment.
func run(ts *testscript.TestScript, args []string) (stdout, stderr string, status int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	program := args[0]
	if program == "mcctl" {
		program = ts.Getenv("MCCTL")
	}
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &complaint, ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "LC_ALL=C", "MCCONTROLDIR="+ts.Getenv("MCCONTROLDIR"))
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("run %s: %v", program, err)
	}
	return out.String(), complaint.String(), cmd.ProcessState.ExitCode()
}

// sql runs a statement as superuser over the unix socket of a server of the lab:
//
//	sql 1 'alter system set synchronous_standby_names = '''''
func sql(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: sql 1|2 STATEMENT")
	}
	out, complaint, status := run(ts, []string{
		filepath.Join(ts.Getenv("PG_BIN"), "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1",
		"-h", ts.Getenv("LAB") + "/server" + args[0] + "/run", "-p", ts.Getenv("PORT" + args[0]), "-U", "postgres", "-c", args[1],
	})
	_, _ = ts.Stdout().Write([]byte(out))
	_, _ = ts.Stderr().Write([]byte(complaint))
	if neg != (status != 0) {
		ts.Fatalf("sql %s: exit status %d", args[1], status)
	}
}

// everyHelp asks every command below mcctl for its help, as the help of its parent
// lists it: it must end with 0 and tell the exit statuses.
func everyHelp(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: everyhelp [COMMAND...]")
	}
	out, complaint, status := run(ts, append(append([]string{"mcctl"}, args...), "--help"))
	if status != 0 || complaint != "" || !strings.Contains(out, "Exit status:") || !strings.Contains(out, "Usage:") {
		ts.Fatalf("mcctl %s --help: exit status %d\n%s%s", strings.Join(args, " "), status, out, complaint)
	}
	_, list, _ := strings.Cut(out, "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		if name := strings.Fields(line); len(name) > 0 && name[0] != "completion" && name[0] != "help" {
			everyHelp(ts, false, append(append([]string{}, args...), name[0]))
		}
	}
}

// edit replaces a text that a file has exactly once:
//
//	edit $MC1/pair.toml 'failover = true' 'failover = yes'
func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE OLD NEW")
	}
	path := ts.MkAbs(args[0])
	text := ts.ReadFile(path)
	if n := strings.Count(text, args[1]); n != 1 {
		ts.Fatalf("%s has %q %d times", path, args[1], n)
	}
	info, err := os.Stat(path)
	ts.Check(err)
	ts.Check(os.WriteFile(path, []byte(strings.Replace(text, args[1], args[2], 1)), info.Mode().Perm()))
}

// reversion makes a copy of mcctl that calls itself another version:
//
//	reversion other
func reversion(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: reversion FILE")
	}
	out, _, _ := run(ts, []string{"mcctl", "version"})
	version := strings.Fields(out)[1]
	program, err := os.ReadFile(ts.Getenv("MCCTL"))
	ts.Check(err)
	other := "X" + version[1:]
	program = bytes.ReplaceAll(program, []byte(version), []byte(other))
	path := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(path, program, 0o755))
	// A child that another page has just forked may still hold the file open for writing.
	for errors.Is(exec.Command(path, "version").Run(), syscall.ETXTBSY) {
		time.Sleep(5 * time.Millisecond)
	}
	ts.Setenv("VERSION", version)
	ts.Setenv("OTHERVERSION", other)
}

// pgstop is somebody who stops the PostgreSQL of a server with pg_ctl. It returns when
// another postmaster is ready in its place:
//
//	pgstop 2
func pgstop(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: pgstop 1|2")
	}
	data := ts.Getenv("D" + args[0])
	pidFile := filepath.Join(data, "postmaster.pid")
	before, _, _ := strings.Cut(ts.ReadFile(pidFile), "\n")
	if _, complaint, status := run(ts, []string{filepath.Join(ts.Getenv("PG_BIN"), "pg_ctl"), "stop", "-W", "-m", "fast", "-D", data}); status != 0 {
		ts.Fatalf("pg_ctl stop: %s", complaint)
	}
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(pidFile)
		now, rest, _ := strings.Cut(string(text), "\n")
		if err == nil && now != before && strings.Contains(rest, "ready") {
			return
		}
	}
	ts.Fatalf("PostgreSQL of server%s was not started again within %s", args[0], patience)
}
