// Command mcctl keeps two PostgreSQL servers mirrored. It only hands the real
// world to package cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"mcctl/pkg/cli"
)

// version is set by the linker.
var version = "unknown"

func main() {
	// The second signal ends the process at once: whoever sends it means it.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	env := &cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Terminal: isTerminal(os.Stdout), Asking: isTerminal(os.Stdin),
		Getenv: os.Getenv, Euid: os.Geteuid, Executable: os.Executable, Version: version,
	}
	os.Exit(cli.MainAs(ctx, env, filepath.Base(os.Args[0]), os.Args[1:]))
}

// isTerminal tells a terminal from files and pipes, and from /dev/null, which is a
// character device as well.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	null, errNull := os.Stat(os.DevNull)
	return err == nil && errNull == nil && info.Mode()&os.ModeCharDevice != 0 && !os.SameFile(info, null)
}
