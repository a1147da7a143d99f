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
	info, err := os.Stdout.Stat()
	env := &cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
		Getenv:   os.Getenv, Euid: os.Geteuid, Executable: os.Executable, Version: version,
	}
	os.Exit(cli.MainAs(ctx, env, filepath.Base(os.Args[0]), os.Args[1:]))
}
