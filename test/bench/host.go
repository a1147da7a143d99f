package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// host says where the numbers come from; others will have others.
type host struct {
	CPUs       int    `json:"cpus"`
	PostgreSQL string `json:"postgresql"`
}

func thisHost() host {
	h := host{CPUs: runtime.NumCPU(), PostgreSQL: "unknown"}
	if out, err := exec.Command(filepath.Join(binDir(), "postgres"), "--version").Output(); err == nil {
		_, version, _ := strings.Cut(strings.TrimSpace(string(out)), ") ")
		h.PostgreSQL, _, _ = strings.Cut(version, " ")
	}
	return h
}

// binDir is PG_BIN, or the newest of Debian's directories, as a lab chooses.
func binDir() string {
	if dir := os.Getenv("PG_BIN"); dir != "" {
		return dir
	}
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(dirs) == 0 {
		return ""
	}
	return dirs[len(dirs)-1]
}
