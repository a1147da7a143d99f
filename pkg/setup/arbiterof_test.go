package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcctl/pkg/config"
)

// answered is a plan with these answers about the arbiter.
func answered(t *testing.T, answers map[string]string) Plan {
	t.Helper()
	p := Plan{
		Pair: "p", Name: "server1", Other: "server2", Admin: "127.0.0.1:2", Replication: "127.0.0.1:1", OtherAdmin: "127.0.0.2:2", OtherReplication: "127.0.0.2:1",
		DataDirectory: "/nowhere", Bin: "/bin", Socket: "/tmp", User: "u", Database: "d", Replicator: "r",
	}
	for flag, answer := range answers {
		*p.Answer(flag) = answer
	}
	ok(t, p.absolute())
	ok(t, p.complete())
	return p
}

// file makes a file and gives its path.
func file(t *testing.T, mode os.FileMode, elements ...string) string {
	t.Helper()
	path := filepath.Join(elements...)
	ok(t, os.MkdirAll(filepath.Dir(path), 0o700))
	ok(t, os.WriteFile(path, []byte("#!/bin/sh\n"), mode))
	ok(t, os.Chmod(path, mode))
	return path
}

func TestAPlanNamesAnyArbiter(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"etcd-ca.crt", "etcd.crt", "etcd.key", "etcd.password"} {
		file(t, 0o600, dir, "tls", name)
	}
	judge := file(t, 0o700, t.TempDir(), "command")
	for want, answers := range map[string]map[string]string{
		"none":                   {"arbiter-kind": "none"},
		"witness at 127.0.0.3:1": {"arbiter-address": "127.0.0.3:1"},
		"etcd at https://a:1,https://b:1 below /site": {
			"arbiter-kind": "etcd", "arbiter-endpoints": "https://a:1, https://b:1", "arbiter-prefix": "/site", "arbiter-ca": "tls/etcd-ca.crt",
			"arbiter-cert": "tls/etcd.crt", "arbiter-key": "tls/etcd.key", "arbiter-user": "mcctl", "arbiter-password-file": "tls/etcd.password",
		},
		"command": {"arbiter-kind": "command", "arbitration-command": judge, "fencing-command": judge, "arbiter-fencing-delay": "7s"},
	} {
		c, err := answered(t, answers).checkAnswers(dir)
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		if got := c.Pair.Arbiter.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		of, commands := c.Pair.Arbiter, c.Server.Commands
		switch of.Kind {
		case config.Etcd:
			all := config.EtcdOf{
				Endpoints: []string{"https://a:1", "https://b:1"}, Prefix: "/site", CA: c.Path("tls/etcd-ca.crt"), Certificate: c.Path("tls/etcd.crt"),
				Key: c.Path("tls/etcd.key"), Username: "mcctl", PasswordFile: c.Path("tls/etcd.password"),
			}
			if !of.Same(&config.ArbiterOf{Kind: config.Etcd, Etcd: all}) {
				t.Errorf("got %+v", of.Etcd)
			}
		case config.Command:
			if of.FencingDelay.String() != "7s" || commands.Arbitration != judge || commands.Fencing != judge {
				t.Errorf("got %+v, %+v", of, commands)
			}
		}
	}
}

// All that is wrong with the files and keys of an arbiter is told at once.
func TestAPlanIsRefusedAsAWhole(t *testing.T) {
	dir := t.TempDir()
	file(t, 0o644, dir, "tls", "open.key")
	loose := file(t, 0o600, t.TempDir(), "command")
	for _, c := range []struct {
		answers map[string]string
		wants   []string
	}{
		{map[string]string{"arbiter-kind": "quorum"}, []string{`arbiter.kind: "quorum" is not a kind of arbiter`}},
		{
			map[string]string{
				"arbiter-kind": "etcd", "arbiter-endpoints": "https://a", "arbiter-prefix": "x", "arbiter-ca": "tls/none.crt", "arbiter-cert": "tls/server2.crt",
				"arbiter-key": "tls/open.key", "arbiter-user": "mcctl",
			},
			[]string{
				`arbiter.etcd.endpoints: "a" is not an address`, `arbiter.etcd.prefix: "x" is not a usable prefix`,
				"arbiter.etcd.ca: open " + dir + "/tls/none.crt: no such file or directory; bring it there first",
				"arbiter.etcd.certificate: " + dir + "/tls/server2.crt is what mcctl init makes itself",
				"arbiter.etcd.key: " + dir + "/tls/open.key has mode 0644 and can be read by others",
				"arbiter.etcd.password_file: is missing; username needs it",
			},
		},
		{
			map[string]string{"arbiter-kind": "command", "arbitration-command": loose, "fencing-command": "/nowhere/fence", "arbiter-fencing-delay": "1s"},
			[]string{"commands.arbitration: " + loose + " cannot be executed", "commands.fencing: /nowhere/fence cannot be found", "arbiter.fencing_delay: is 1s; it must be at least"},
		},
	} {
		_, err := answered(t, c.answers).checkAnswers(dir)
		if !errors.Is(err, ErrAnswers) {
			t.Errorf("%v: %v", c.answers, err)
			continue
		}
		for _, want := range c.wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not told:\n%v", want, err)
			}
		}
	}
}

// Answers of a later call are measured like those of the first one.
func TestALaterAnswerIsMeasuredToo(t *testing.T) {
	s := quiet(t.TempDir())
	s.state = state{Kind: First, Plan: answered(t, map[string]string{"arbiter-kind": "none"})}
	ok(t, s.save())
	before, err := os.ReadFile(s.path(stateFile))
	ok(t, err)
	if _, err := quiet(s.Dir).First(t.Context(), Plan{Profile: "fast"}); !errors.Is(err, ErrAnswers) {
		t.Errorf("a bad profile: %v", err)
	}
	other := Plan{ArbiterKind: "etcd", Endpoints: "http://127.0.0.1:1"}
	if _, err := quiet(s.Dir).First(t.Context(), other); err == nil || !strings.Contains(err.Error(), "it was begun with another answer for --arbiter-kind;") {
		t.Errorf("another arbiter: %v", err)
	}
	after, err := os.ReadFile(s.path(stateFile))
	ok(t, err)
	if string(after) != string(before) {
		t.Errorf("it is kept:\n%s", after)
	}
}

// Files for an etcd may be in tls before; nothing of ours may.
func TestFilesThatWereBroughtBefore(t *testing.T) {
	s := quiet(t.TempDir())
	file(t, 0o600, s.Dir, "tls", "etcd-ca.crt")
	_, _, _, err := s.Load()
	ok(t, err)
	ok(t, s.certificatesAreFree("server1"))
	key := file(t, 0o600, s.Dir, "tls", "server1.key")
	if err := s.certificatesAreFree("server1"); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), "tls/server1.key is there") {
		t.Errorf("with our key's name: %v", err)
	}
	ok(t, os.Rename(key, s.path("key")))
	if _, _, _, err := s.Load(); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("beside tls: %v", err)
	}
}

// joining is a second server that has its material; the programs are never run.
func joining(t *testing.T, pairTOML string) *Setup {
	t.Helper()
	s := quiet(t.TempDir())
	bin := filepath.Dir(file(t, 0o700, t.TempDir(), "pg_basebackup"))
	s.state = state{Kind: Second, Plan: Plan{Name: "server2", DataDirectory: s.path("data")}, Material: &Material{
		PairTOML: pairTOML, Bin: bin, Socket: "/tmp", Replicator: "r", Database: "d", User: "u", Password: "secret",
	}}
	ok(t, s.directories("tls"))
	ok(t, s.save())
	return s
}

// What the second server lacks for an etcd is told with its place, and the same call
// goes on when it is there.
func TestTheSecondServerNeedsTheFilesForEtcd(t *testing.T) {
	p := answered(t, map[string]string{
		"arbiter-kind": "etcd", "arbiter-endpoints": "https://127.0.0.1:1", "arbiter-ca": "tls/etcd-ca.crt", "arbiter-user": "mcctl", "arbiter-password-file": "etcd.password",
	})
	s := joining(t, p.pairTOML())
	err := s.writeJoined(t.Context())
	if err == nil {
		t.Fatal("it goes on without the files")
	}
	for _, want := range []string{
		"arbiter.etcd.ca: open " + s.path("tls", "etcd-ca.crt") + ": no such file", "arbiter.etcd.password_file: open " + s.path("etcd.password") + ": no such file",
		"run the same command again",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told:\n%v", want, err)
		}
	}
	file(t, 0o600, s.Dir, "tls", "etcd-ca.crt")
	password := file(t, 0o644, s.Dir, "etcd.password")
	if err := s.writeJoined(t.Context()); err == nil || !strings.Contains(err.Error(), "can be read by others") {
		t.Errorf("an open password: %v", err)
	}
	if _, err := os.Stat(s.path(config.PairFile)); err == nil {
		t.Error("half of it is made")
	}
	ok(t, os.Chmod(password, 0o600))
	said := ""
	s.Say = func(text string) { said += text + "\n" }
	ok(t, s.writeJoined(t.Context()))
	if !strings.Contains(said, "WARNING: ") {
		t.Errorf("nothing is said of an etcd that cannot be used:\n%s", said)
	}
	c, err := config.Load(s.Dir)
	ok(t, err)
	if c.Me() != "server2" || c.Pair.Arbiter.Etcd.CA != s.path("tls", "etcd-ca.crt") {
		t.Errorf("it is %s, by %s", c.Me(), c.Pair.Arbiter.Etcd.CA)
	}
}

// The commands of an arbiter are flags of the second server, too. A wrong one is not
// kept, so that the next call may name another.
func TestTheSecondServerNeedsTheCommands(t *testing.T) {
	command := file(t, 0o700, t.TempDir(), "command")
	p := answered(t, map[string]string{"arbiter-kind": "command", "arbitration-command": command, "fencing-command": command})
	s := joining(t, p.pairTOML())
	if err := s.writeJoined(t.Context()); err == nil || !strings.Contains(err.Error(), "with --arbitration-command FILE --fencing-command FILE") {
		t.Errorf("without commands: %v", err)
	}
	wrong := Plan{Arbitration: command, Fencing: filepath.Dir(command)}
	if err := s.Join(t.Context(), Token{}, wrong); err == nil || !strings.Contains(err.Error(), "use --fencing-command: ") {
		t.Errorf("with a directory: %v", err)
	}
	_, kept, _, err := s.Load()
	ok(t, err)
	if kept.Fencing != "" {
		t.Errorf("%s is kept", kept.Fencing)
	}
	s.state.Plan.Arbitration, s.state.Plan.Fencing = command, command
	ok(t, s.writeJoined(t.Context()))
	c, err := config.Load(s.Dir)
	ok(t, err)
	if c.Server.Commands.Arbitration != command || c.Server.Commands.Fencing != command {
		t.Errorf("the commands are %+v", c.Server.Commands)
	}
}
