package postgres

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mcctl/pkg/durable"
	"mcctl/pkg/wire"
)

// ofBoth gives both servers what pg_rewind's reference page warns of, a file that cannot be
// written, and the source one of its own in a directory that both have.
func ofBoth(t *testing.T, old, leader *Instance) {
	t.Helper()
	write(t, filepath.Join(leader.Data, "server.key"), "the leader's secret\n")
	for _, in := range []*Instance{old, leader} {
		ok(t, os.Chmod(filepath.Join(in.Data, "server.key"), 0o400))
		ok(t, os.MkdirAll(filepath.Join(in.Data, "log"), 0o700))
		write(t, filepath.Join(in.Data, "log", "monday.log.gz"), "packed by somebody else\n")
		ok(t, os.Chmod(filepath.Join(in.Data, "log", "monday.log.gz"), 0o400))
	}
	ok(t, os.Mkdir(filepath.Join(leader.Data, "conf.d"), 0o700))
	write(t, filepath.Join(leader.Data, "conf.d", "b.conf"), "# leader\n")
}

// hasOwn: of all that the two have, this server has what was its own.
func hasOwn(t *testing.T, in *Instance) {
	t.Helper()
	key := filepath.Join(in.Data, "server.key")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o400 || read(t, key) != "secret\n" {
		t.Errorf("the key is not our own, with its mode: %v", err)
	}
	if exists(filepath.Join(in.Data, "conf.d", "b.conf")) || read(t, filepath.Join(in.Data, "conf.d", "a.conf")) != "# old\n" {
		t.Error("conf.d is not our own")
	}
}

func TestRewindOverReadOnlyFilesBringsBackOurOwnOnly(t *testing.T) {
	old, leader := diverged(t)
	ofBoth(t, old, leader)
	ok(t, old.Rewind(within(t), sourceOf(leader, "r"), RewindOptions{KeepDir: filepath.Join(old.Socket, "keep")}))
	hasOwn(t, old)
}

func TestACopyInPlaceBringsBackOurOwnOnly(t *testing.T) {
	old, leader := diverged(t)
	ofBoth(t, old, leader)
	ok(t, old.BaseBackupInPlace(within(t), sourceOf(leader, "b"), filepath.Join(old.Socket, "keep"), BackupOptions{}))
	hasOwn(t, old)
}

// A whole copy that is not marked as a standby would open as a second primary.
func TestACopyInPlaceThatCouldNotBeMarkedAsAStandbyIsUnfinished(t *testing.T) {
	primary, in := newServer(t), newServer(t)
	start(t, primary)
	keep, inTheWay := filepath.Join(in.Socket, "keep"), filepath.Join(primary.Data, "standby.signal")
	ok(t, os.Mkdir(inTheWay, 0o700)) // is copied, and no file can take its place
	copied := func() error { return in.BaseBackupInPlace(within(t), sourceOf(primary, "b"), keep, BackupOptions{}) }
	if err := copied(); !errors.Is(err, ErrUnfinished) {
		t.Errorf("the copy: %v", err)
	}
	if err := in.RestoreKept(keep); !errors.Is(err, ErrUnfinished) {
		t.Errorf("the next start: %v", err)
	}
	ok(t, os.Remove(inTheWay))
	ok(t, copied())
	if !in.MarkedStandby() || exists(keep) {
		t.Error("the next copy is not a standby, or what was kept for it is there still")
	}
}

// What is not our own and cannot be written, or removed, is found before anything is.
func TestRewindOfWhatCannotBeWrittenIsRefusedWhileTheDataIsWhole(t *testing.T) {
	for _, name := range []string{"log/old.log.gz", "conf.d/a.conf"} {
		old, leader := diverged(t)
		keep, path := filepath.Join(old.Socket, "keep"), filepath.Join(old.Data, name)
		ok(t, os.MkdirAll(filepath.Dir(path), 0o700))
		write(t, path, "")
		ok(t, os.Chmod(path, 0o400))
		ok(t, os.Chmod(filepath.Dir(path), 0o500))
		err := old.Rewind(within(t), sourceOf(leader, "r"), RewindOptions{KeepDir: keep})
		ok(t, os.Chmod(filepath.Dir(path), 0o700))
		if err == nil || errors.Is(err, ErrUnfinished) || !strings.Contains(err.Error(), filepath.Dir(path)) {
			t.Errorf("%s: %v", name, err)
		}
		if !exists(path) || exists(keep) {
			t.Errorf("%s: it was begun", name)
		}
		ok(t, os.Chmod(path, 0o600))
		ok(t, old.Rewind(within(t), sourceOf(leader, "r"), RewindOptions{KeepDir: keep}))
	}
}

// A supervisor that died between keeping our files and the end of pg_rewind. Dry it writes
// nothing.
func TestOwnFilesThatWereTakenAwayComeBack(t *testing.T) {
	in := newServer(t)
	own, keep := read(t, filepath.Join(in.Data, "postgresql.conf")), filepath.Join(in.Socket, "keep")
	for _, begun := range []bool{false, true} {
		ok(t, in.keepWhole(keep))
		ok(t, in.clearOwn(keep))
		if exists(filepath.Join(in.Data, "postgresql.conf")) || !exists(filepath.Join(in.Data, "PG_VERSION")) {
			t.Error("not what is our own was taken away")
		}
		if begun {
			ok(t, markBegun(keep))
		}
		ok(t, os.Mkdir(filepath.Join(in.Data, "pg_hba.conf"), 0o700)) // whatever the source has
		if err := in.RestoreKept(keep); errors.Is(err, ErrUnfinished) != begun || exists(keep) != begun {
			t.Errorf("begun to write %t, and half rewound: %v", begun, err)
		}
		if read(t, filepath.Join(in.Data, "postgresql.conf")) != own || read(t, filepath.Join(in.Data, "pg_hba.conf")) == "" {
			t.Error("our own did not come back")
		}
	}
}

// saveOwn saves all there is.
func saveOwn(t *testing.T, in *Instance, dir string) {
	t.Helper()
	large, err := in.SaveOwn(dir)
	ok(t, err)
	if len(large) > 0 {
		t.Errorf("left out: %s", large)
	}
}

// What is large is nobody's configuration: logs, an archive. It is not saved at each start.
func TestSaveOwnLeavesOutWhatIsLargeAndTells(t *testing.T) {
	in := newServer(t)
	saved := filepath.Join(t.TempDir(), "own")
	for _, name := range []string{"logs", "archive", "conf.d"} {
		ok(t, os.Mkdir(filepath.Join(in.Data, name), 0o700))
	}
	write(t, filepath.Join(in.Data, "conf.d", "a.conf"), "")
	write(t, filepath.Join(in.Data, "logs", "x"), strings.Repeat("x", 2<<20))
	write(t, filepath.Join(in.Data, "core"), strings.Repeat("x", 2<<20))
	for n := range 300 { // a block of the disk each
		write(t, filepath.Join(in.Data, "archive", fmt.Sprint(n)), "")
	}
	large, err := in.SaveOwn(saved)
	ok(t, err)
	if got := strings.Join(large, " "); got != "archive core logs" {
		t.Errorf("told of %q", got)
	}
	names, err := entryNames(saved)
	ok(t, err)
	if got := strings.Join(names, " "); got != "conf.d pg_hba.conf pg_ident.conf postgresql.auto.conf postgresql.conf" {
		t.Errorf("saved: %q", got)
	}
}

func TestOfOwnFilesThatCouldNotBeSavedNothingIsLeft(t *testing.T) {
	in, dir := newServer(t), t.TempDir()
	conf := filepath.Join(in.Data, "postgresql.conf")
	ok(t, os.Chmod(conf, 0))
	if _, err := in.SaveOwn(filepath.Join(dir, "own")); err == nil {
		t.Error("saved what nobody can read")
	}
	ok(t, os.Chmod(conf, 0o600))
	ok(t, os.Mkdir(filepath.Join(in.Data, "archive"), 0o700))
	ok(t, os.WriteFile(filepath.Join(in.Data, "archive", "x"), nil, 0o600))
	ok(t, os.Truncate(filepath.Join(in.Data, "archive", "x"), 1<<46)) // more than there is room for
	if err := in.keep(filepath.Join(dir, "kept")); err == nil || !strings.Contains(err.Error(), filepath.Join(in.Data, "archive")) {
		t.Errorf("the management directory was filled: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	keep := filepath.Join(in.Socket, "kept") // on the data's own disk it takes no room
	ok(t, in.keep(keep))
	ok(t, in.clearOwn(keep))
	ok(t, markFinished(keep))
	ok(t, in.RestoreKept(keep))
	if info, err := os.Stat(filepath.Join(in.Data, "archive", "x")); err != nil || info.Size() != 1<<46 {
		t.Errorf("the archive did not come back: %v", err)
	}
}

// root's key may be read by the group, PostgreSQL's own may not, or it does not start.
func TestACopyOfSomebodyElsesFileIsForNobodyElse(t *testing.T) {
	copied := filepath.Join(t.TempDir(), "x")
	ok(t, copyDurably("/etc/passwd", copied))
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 || read(t, copied) != read(t, "/etc/passwd") {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	in, certificates := newServer(t), newDir(t)
	ok(t, wire.NewCA(filepath.Join(certificates, "ca")))
	ok(t, wire.NewCertificate(filepath.Join(certificates, "ca"), "pair", "server1", certificates))
	key := filepath.Join(certificates, "server1.key")
	ok(t, os.Chmod(key, 0o640))
	configure(t, in, "ssl = on", "ssl_cert_file = '"+filepath.Join(certificates, "server1.crt")+"'", "ssl_key_file = '"+key+"'")
	out, err := exec.CommandContext(within(t), filepath.Join(in.Bin, "postgres"), "-D", in.Data).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "has group or world access") {
		t.Errorf("PostgreSQL takes such a key: %v\n%s", err, out)
	}
	ok(t, os.Chmod(key, 0o600))
	start(t, in)
}

// Saved files that could not all be copied are not taken for the whole by the next try.
func TestACopyInPlaceOfAnEmptiedServerHasAllOfItsFilesOrDoesNotBegin(t *testing.T) {
	primary, in := newServer(t), newServer(t)
	start(t, primary)
	own, saved, keep := read(t, filepath.Join(in.Data, "postgresql.conf")), filepath.Join(in.Socket, "own"), filepath.Join(in.Socket, "keep")
	saveOwn(t, in, saved)
	ok(t, emptyDir(in.Data))
	opt := BackupOptions{Own: saved}
	ok(t, os.Chmod(filepath.Join(saved, "postgresql.conf"), 0))
	if err := in.BaseBackupInPlace(within(t), sourceOf(primary, "b"), keep, opt); err == nil {
		t.Error("copied without our own configuration")
	}
	if exists(keep) || exists(keep+".part") {
		t.Error("a part is left, and would be taken for the whole")
	}
	ok(t, os.Chmod(filepath.Join(saved, "postgresql.conf"), 0o600))
	known, err := keptLayoutOf(saved)
	ok(t, err)
	known.Mount = filepath.Join(in.Socket, "gone") // an operator wants the data here, without that disk
	ok(t, durable.WriteJSON(filepath.Join(saved, keptLayout), known, 0o600))
	ok(t, in.BaseBackupInPlace(within(t), sourceOf(primary, "b"), keep, opt))
	if read(t, filepath.Join(in.Data, "postgresql.conf")) != own {
		t.Error("postgresql.conf is not our own")
	}
}

// linked makes an entry of the data directory a link to what it was, elsewhere.
func linked(t *testing.T, in *Instance, name string) (elsewhere string) {
	t.Helper()
	elsewhere = filepath.Join(in.Socket, "elsewhere-"+filepath.Base(name))
	ok(t, os.Rename(filepath.Join(in.Data, name), elsewhere))
	ok(t, os.Symlink(elsewhere, filepath.Join(in.Data, name)))
	return elsewhere
}

// pg_rewind takes a link for one here, and on the source for what it leads to, also where
// both servers have it.
func TestRewindGetsPastLinksThatBothHave(t *testing.T) {
	old, leader := diverged(t)
	configure(t, old, "primary_conninfo = '"+sourceOf(leader, "o").Conninfo()+"'")
	names := []string{"log", "pg_stat_tmp", "postgresql.conf", "pg_hba.conf"}
	leads := map[string]string{}
	for _, in := range []*Instance{leader, old} {
		for _, dir := range []string{"log", "pg_log"} {
			ok(t, os.Mkdir(filepath.Join(in.Data, dir), 0o700))
			write(t, filepath.Join(in.Data, dir, "of.log"), in.Data)
			ok(t, os.Symlink("of.log", filepath.Join(in.Data, dir, "newest.log")))
		}
		for _, name := range names {
			leads[name] = linked(t, in, name)
		}
	}
	ok(t, os.Symlink("pg_filenode.map", filepath.Join(leader.Data, "global", "stray")))
	ok(t, os.Symlink("pg_filenode.map", filepath.Join(old.Data, "global", "stray")))
	opt := RewindOptions{KeepDir: filepath.Join(old.Socket, "keep")}
	ours := func() {
		t.Helper()
		for name, want := range leads {
			if to, err := os.Readlink(filepath.Join(old.Data, name)); err != nil || to != want {
				t.Errorf("%s leads to %q, %v", name, to, err)
			}
		}
		if read(t, filepath.Join(leads["log"], "of.log")) != old.Data || read(t, filepath.Join(old.Data, "server.key")) != "secret\n" {
			t.Error("the logs elsewhere, or the files, are not our own")
		}
		if exists(opt.KeepDir) {
			t.Error("the data does not count as whole")
		}
	}
	err := old.Rewind(within(t), sourceOf(leader, "r"), opt)
	if err == nil || errors.Is(err, ErrUnfinished) || !strings.Contains(err.Error(), "global/stray") {
		t.Errorf("a link that is nobody's: %v", err)
	}
	ours()
	ok(t, os.Remove(filepath.Join(old.Data, "global", "stray")))
	ok(t, old.Rewind(within(t), sourceOf(leader, "r"), opt))
	ours()
	ok(t, old.MarkStandby())
	start(t, old)
}

// Who reads our files by their group or an access list does so after a rewind, and whoever
// else writes in a directory.
func TestRewindAndACopyKeepWhoMayReadOurOwnFiles(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o022))
	old, leader := diverged(t)
	groups, err := os.Getgroups()
	ok(t, err)
	group := os.Getegid()
	for _, another := range groups {
		if another != os.Getegid() {
			group = another
		}
	}
	note := func() map[string]string {
		is := map[string]string{}
		for _, name := range []string{"own.conf", "conf.d", "conf.d/a.conf", "listed.conf", "server.key"} {
			info, err := os.Stat(filepath.Join(old.Data, name))
			ok(t, err)
			list := make([]byte, 100)
			n, _ := unix.Getxattr(filepath.Join(old.Data, name), "system.posix_acl_access", list)
			is[name] = fmt.Sprint(info.Mode(), info.Sys().(*syscall.Stat_t).Gid, list[:max(n, 0)])
		}
		return is
	}
	write(t, filepath.Join(old.Data, "listed.conf"), "")
	// The owner and user 12345 may read (struct posix_acl_xattr_entry).
	list := []byte("\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\x39\x30\x00\x00\x04\x00\x00\x00\xff\xff\xff\xff\x10\x00\x04\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff")
	ok(t, unix.Setxattr(filepath.Join(old.Data, "listed.conf"), "system.posix_acl_access", list, 0))
	for name, mode := range map[string]os.FileMode{"own.conf": 0o660, "conf.d": os.ModeSetgid | 0o775, "conf.d/a.conf": 0o664, "server.key": 0o400} {
		ok(t, os.Chown(filepath.Join(old.Data, name), -1, group))
		ok(t, os.Chmod(filepath.Join(old.Data, name), mode))
	}
	marks := note()
	ok(t, old.Rewind(within(t), sourceOf(leader, "r"), RewindOptions{KeepDir: filepath.Join(old.Socket, "keep")}))
	same := func(after string) {
		t.Helper()
		if is := note(); !maps.Equal(is, marks) {
			t.Errorf("after %s: %q, was %q", after, is, marks)
		}
	}
	same("a rewind")
	ok(t, old.BaseBackup(within(t), sourceOf(leader, "b"), BackupOptions{}))
	ok(t, old.Swap(false))
	same("a copy")
}
