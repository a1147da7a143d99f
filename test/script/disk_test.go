package script

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// remember notes everything below the paths: names, owners, modes, where links lead
// and the sum of every file. Left out are what a start may write whatever comes of
// it, the logs and locks of a management directory, and what PostgreSQL writes while
// it runs stays for the page not to name, but for a cache that each start of it makes
// anew (pg_internal.init). A supervisor may still be writing down what
// has come before: that is waited for.
//
//	remember $MC1 $D1
func remember(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: remember PATH...")
	}
	p := pageOf(ts)
	p.paths = nil
	for _, path := range args {
		p.paths = append(p.paths, ts.MkAbs(path))
	}
	const calm, patience = 500 * time.Millisecond, 30 * time.Second
	p.before = sums(ts, p.paths)
	for began, since := time.Now(), time.Now(); time.Since(since) < calm; time.Sleep(50 * time.Millisecond) {
		if now := sums(ts, p.paths); !maps.Equal(now, p.before) {
			p.before, since = now, time.Now()
		}
		if time.Since(began) > patience {
			ts.Fatalf("remember: the files change all the time")
		}
	}
}

// unchanged fails when anything that was remembered is different now, gone or new.
func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	p := pageOf(ts)
	if neg || len(args) > 0 || len(p.paths) == 0 {
		ts.Fatalf("usage: remember PATH... and later: unchanged")
	}
	after, bad := sums(ts, p.paths), 0
	names := maps.Clone(after)
	maps.Copy(names, p.before)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if p.before[name] != after[name] {
			bad++
			ts.Logf("%s: was %q, is %q", name, p.before[name], after[name])
		}
	}
	if bad > 0 {
		ts.Fatalf("%d files are not what they were", bad)
	}
}

func sums(ts *testscript.TestScript, paths []string) map[string]string {
	all := map[string]string{}
	for _, root := range paths {
		ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path != root { // replaced meanwhile
				return nil
			}
			if err != nil {
				return err
			}
			parent := filepath.Base(filepath.Dir(path))
			if mcdir := filepath.Dir(filepath.Dir(path)) == root || filepath.Dir(path) == root; mcdir && (parent == "run" || parent == "log" || d.IsDir() && (d.Name() == "run" || d.Name() == "log")) {
				return nil
			}
			if d.Name() == "pg_internal.init" {
				return nil
			}
			one, err := sum(path, d)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			all[path] = one
			return err
		}))
	}
	return all
}

func sum(path string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	stat := info.Sys().(*syscall.Stat_t)
	what := fmt.Sprintf("%s %d:%d", info.Mode(), stat.Uid, stat.Gid)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		return what + " to " + to, err
	case info.Mode().IsRegular():
		b, err := os.ReadFile(path)
		return fmt.Sprintf("%s %d %x", what, len(b), sha256.Sum256(b)), err
	}
	return what, nil
}
