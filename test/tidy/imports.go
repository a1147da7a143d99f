package tidy

import (
	"slices"
	"strconv"
	"strings"
)

// layers lists our packages from the bottom up. A package imports packages of
// lower layers only, never one beside it. Each line says what its layer is for.
func layers() [][]string {
	return [][]string{
		{"pair", "majors", "shell"}, // the words; the versions of PostgreSQL; commands to copy
		{"record"},                  // the safety core
		{"decide", "pgconf"},        // pure: facts to actions, bytes to bytes
		{"durable", "settings", "hook", "clock", "disk", "tcp"}, // small files; the managed settings (pure); users' commands; time; the disks; sockets
		{"lost"},                        // reports of what was discarded
		{"conffiles"},                   // PostgreSQL's configuration files on disk
		{"config", "postgres", "wire"},  // the edges to the world
		{"arbiter", "board", "witness"}, // over one wire; what was seen
		{"check"},                       // what is wrong, and what would work
		{"observe", "act"},              // look, change: they meet in the agent only
		{"agent", "autostart"},          // the process
		{"probe", "lab", "setup"},       // built around whole processes
		{"cli"},
		{"cmd"},
	}
}

// outside says which rooms may import a library that is not ours. Everything
// under test may use what the packages use.
func outside() map[string][]string {
	return map[string][]string{
		"github.com/spf13/cobra":              {"cli"},
		"github.com/spf13/pflag":              {"cli"},
		"github.com/jackc/pgx/v5":             {"postgres", "probe"},
		"github.com/BurntSushi/toml":          {"config"},
		"github.com/fsnotify/fsnotify":        {"agent"},
		"github.com/coreos/go-systemd/v22":    {"agent", "autostart"},
		"golang.org/x/sys":                    {"clock", "durable", "hook", "postgres", "wire", "agent", "probe", "witness", "observe", "disk", "tcp"},
		"github.com/rogpeppe/go-internal":     {},
		"github.com/google/go-cmp":            {},
		"honnef.co/go/tools/cmd/staticcheck":  {},
		"github.com/prometheus/client_golang": {},
		"github.com/anishathalye/porcupine":   {},
	}
}

// pureRooms hold no state of the world: they may not even be able to reach it.
func pureRooms() []string {
	return []string{"pair", "majors", "shell", "record", "decide", "pgconf", "settings"}
}

// worldly are the standard packages through which the world is reached. "time" is
// not among them: durations are values, and clocks have a rule of their own.
func worldly() []string {
	return []string{"os", "os/exec", "os/signal", "net", "net/http", "syscall", "log", "log/slog", "context", "sync", "sync/atomic", "math/rand", "math/rand/v2", "crypto/rand"}
}

// Imports keeps the layers, gives each outside library its room, and keeps the
// world out of the pure packages. Tests may look anywhere in our own code.
func Imports(files []*File) (found []Finding) {
	for _, f := range files {
		for _, spec := range f.AST.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue
			}
			if problem := judgeImport(f, name); problem != "" {
				found = append(found, f.at(spec.Pos(), "%s", problem))
			}
		}
	}
	return found
}

func judgeImport(f *File, name string) string {
	own, ours := strings.CutPrefix(name, module)
	switch {
	case ours && !f.Test() && f.Room() != "test":
		return judgeLayer(f.Room(), room(own))
	case ours:
		return ""
	case strings.Contains(strings.Split(name, "/")[0], "."):
		return judgeOutside(f, name)
	case !f.Test() && slices.Contains(pureRooms(), f.Room()) && slices.Contains(worldly(), name):
		return "package " + f.Room() + " is pure and may not import " + name + "; let its caller pass in what it needs"
	}
	return ""
}

func judgeLayer(from, to string) string {
	a, b := layerOf(from), layerOf(to)
	switch {
	case from == to:
		return ""
	case a < 0:
		return "package " + from + " has no layer; give it one in test/tidy/imports.go"
	case b < 0:
		return "package " + to + " has no layer; give it one in test/tidy/imports.go"
	case a == b:
		return "package " + from + " may not import " + to + ": they are side by side; what they share belongs below both"
	case a < b:
		return "package " + from + " may not import " + to + ": imports go down the layers in test/tidy/imports.go"
	}
	return ""
}

func layerOf(room string) int {
	return slices.IndexFunc(layers(), func(names []string) bool { return slices.Contains(names, room) })
}

func judgeOutside(f *File, name string) string {
	for lib, rooms := range outside() {
		if name != lib && !strings.HasPrefix(name, lib+"/") {
			continue
		}
		if f.Room() == "test" || slices.Contains(rooms, f.Room()) {
			return ""
		}
		return "package " + f.Room() + " may not import " + name + ": that library's room is " + strings.Join(rooms, ", ")
	}
	return "library " + name + " has no room; first ask whether it is needed, then give it one in test/tidy/imports.go"
}
