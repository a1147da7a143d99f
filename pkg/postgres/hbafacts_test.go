package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// admitted tells whether an ordinary client gets in.
func admitted(t *testing.T, in *Instance) bool {
	t.Helper()
	conn, err := sourceOf(in, "client").dial(within(t))
	if err != nil {
		if !hasCode(err, "28000") {
			t.Errorf("refused otherwise: %v", err)
		}
		return false
	}
	ok(t, conn.Close(within(t)))
	return true
}

// The gate: hba_file may lie below a link that leads to a directory first, and to the
// root later; where it leads to is read anew at each reload ("The pg_hba.conf File", 13
// to 18). What the file names relatively is looked for from hba_file as named
// (tokenize_inc_file in hba.c, 13 to 15; AbsoluteConfigLocation, 16 to 18), so that a
// link to the file itself would not do.
func TestFactGateBySymlinkToTheRoot(t *testing.T) {
	in := newServer(t)
	site, at := filepath.Join(in.Socket, "etc", "pg_hba.conf"), func(name string) string { return filepath.Join(in.Socket, name) }
	shut := at("shut") + site
	for _, path := range []string{site, shut} {
		ok(t, os.MkdirAll(filepath.Dir(path), 0o700))
	}
	write(t, site, "local all all trust\nhost all @who,@../above all trust\n")
	write(t, filepath.Join(filepath.Dir(site), "who"), "nobody\n")
	write(t, at("above"), "postgres\n")
	write(t, shut, "local all all trust\n")
	ok(t, os.Symlink(at("shut"), at("gate")))
	ok(t, os.Symlink(site, at("file")))
	pid := startWith(t, in, StartOptions{HBAFile: at("gate") + site})
	if admitted(t, in) {
		t.Fatal("the gate is open from the start")
	}
	for i, gate := range []string{"/", at("shut"), "/"} {
		ok(t, os.Symlink(gate, at("next")))
		ok(t, os.Rename(at("next"), at("gate")))
		ok(t, in.Reload(pid))
		if got := admitted(t, in); got != (gate == "/") {
			t.Errorf("turn %d, to %s: admitted %v", i, gate, got)
		}
	}
	ok(t, in.Stop(within(t), pid, Fast))
	if _, err := in.Start(StartOptions{HBAFile: at("file")}); err == nil && in.WaitReady(within(t)) == nil {
		t.Error("through a link to the file itself PostgreSQL finds what it names")
	}
}

// A postmaster reads its files before it accepts whoever comes after the signal: kill
// has returned, so the signal is pending, and it is handled before the next connection
// (SIGHUP_handler and ServerLoop in postmaster.c, 13 to 15; process_pm_reload_request,
// 16 to 18).
func TestFactAConnectionBehindAReloadGoesByIt(t *testing.T) {
	in := newServer(t)
	hba := filepath.Join(in.Data, "pg_hba.conf")
	pid := start(t, in)
	for i := range 200 {
		method := []string{"reject", "trust"}[i%2]
		write(t, hba, strings.Repeat("host nothing nobody all reject\n", 1000)+"local all all trust\nhost all all all "+method+"\n")
		ok(t, in.Reload(pid))
		if got := admitted(t, in); got != (method == "trust") {
			t.Fatalf("reload %d, to %s: admitted %v", i, method, got)
		}
	}
}

// One line that cannot be read, a file that is missing, or no rule at all, and a reload
// keeps the rules (load_hba in hba.c, 13 to 18). HBAFaults tells all of these.
func TestFactAReloadKeepsTheRulesForOneFault(t *testing.T) {
	in := newServer(t)
	hba := filepath.Join(in.Data, "pg_hba.conf")
	const shut, open = "local all all trust\n", "local all all trust\nhost all all all trust\n"
	write(t, hba, shut)
	pid := start(t, in)
	session, err := in.Connect(within(t))
	ok(t, err)
	defer session.Close()
	for text, want := range map[string]string{
		open + "host all\n":                          ":3: end-of-line before role specification",
		open + "local all @missing trust\n":          ":3: could not open ",
		open + "local all all trust map=x\n":         `:3: authentication option "map" is only valid for`,
		"# nothing\n":                                ":1: it has no rule",
		open + "local all all\\\n trust\nhost all\n": map[bool]string{true: ":5: end-of-line", false: ":3: "}[session.can.HBAContinued],
	} {
		write(t, hba, text)
		ok(t, in.Reload(pid))
		if admitted(t, in) {
			t.Errorf("%q is accepted", text)
		}
		faults, err := session.HBAFaults(within(t))
		ok(t, err)
		if len(faults) == 0 || !strings.HasPrefix(faults[0].String(), hba+want) {
			t.Errorf("%q: %v, want %s%s", text, faults, hba, want)
		}
	}
	ok(t, os.Remove(hba))
	if _, err := session.HBAFaults(within(t)); err == nil {
		t.Error("nothing is wrong with a file that is missing")
	}
	write(t, hba, open)
	ok(t, in.Reload(pid))
	if faults, err := session.HBAFaults(within(t)); err != nil || len(faults) > 0 || !admitted(t, in) {
		t.Errorf("the whole file: %v, %v", faults, err)
	}
}

// Before 16 a slash begins a name like any other, and there are no included files.
func TestFactPatternsAndIncludesInHBAAsMajorsSays(t *testing.T) {
	in := newServer(t)
	hba := filepath.Join(in.Data, "pg_hba.conf")
	pid := start(t, in)
	session, err := in.Connect(within(t))
	ok(t, err)
	defer session.Close()
	ok(t, os.Mkdir(filepath.Join(in.Data, "sub"), 0o700))
	write(t, filepath.Join(in.Data, "sub", "more"), "host all @who all trust\n")
	write(t, filepath.Join(in.Data, "sub", "who"), "postgres\n")
	for _, line := range []string{"host all /^postg all trust\n", "host /^postg all all trust\n", "include sub/more\n"} {
		write(t, hba, "local all all trust\n"+line)
		ok(t, in.Reload(pid))
		if got, want := admitted(t, in), session.can.HBAIncludes; got != want {
			t.Errorf("%q: it counts: %v", line, got)
		}
		write(t, hba, "local all all trust\n")
		ok(t, in.Reload(pid))
	}
	if !session.can.HBAIncludes {
		return
	}
	write(t, hba, "local all all trust\ninclude sub/more\n")
	write(t, filepath.Join(in.Data, "sub", "more"), "\nhost nonsense\n")
	faults, err := session.HBAFaults(within(t))
	ok(t, err)
	if want := filepath.Join(in.Data, "sub", "more") + ":2: "; len(faults) != 1 || !strings.HasPrefix(faults[0].String(), want) {
		t.Errorf("a fault of an included file: %v, want %s", faults, want)
	}
}

// The first line that matches counts, a superuser is in no group that it was not put
// into, and quoted words are no keywords (check_hba, is_member and check_role in hba.c,
// 13 to 18): so may the gate leave out the lines of others.
func TestFactALineOfOthersDoesNotCount(t *testing.T) {
	in := newServer(t)
	hba := filepath.Join(in.Data, "pg_hba.conf")
	pid := start(t, in)
	for line, mine := range map[string]bool{
		"host all +pg_monitor all":     false,
		`host all "all" all`:           false,
		`host "all" all all`:           false,
		"host replication all all":     false,
		"host template1 all all":       false,
		"host all nobody,postgres all": true,
		"host sameuser postgres all":   true,
		"host all all all":             true,
	} {
		write(t, hba, "local all all trust\n"+line+" reject\nhost all all all trust\n")
		ok(t, in.Reload(pid))
		if got := !admitted(t, in); got != mine {
			t.Errorf("%s: it counts: %v", line, got)
		}
	}
}
