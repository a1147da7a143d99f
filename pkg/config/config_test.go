package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const example = "../../mcdir-example"

// copyExample gives a test its own management directory, edited: each pair of texts
// in edits is replaced in whichever file has the first.
func copyExample(t *testing.T, from string, edits ...string) string {
	t.Helper()
	dir := t.TempDir()
	entries, err := os.ReadDir(filepath.Join(example, from))
	if err != nil {
		t.Fatal(err)
	}
	done := make([]bool, len(edits)/2)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(example, from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for i := range done {
			done[i] = done[i] || strings.Contains(text, edits[2*i])
			text = strings.ReplaceAll(text, edits[2*i], edits[2*i+1])
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if i := slices.Index(done, false); i >= 0 {
		t.Fatalf("the example has no %q", edits[2*i])
	}
	return dir
}

func load(t *testing.T, dir string) *Config {
	t.Helper()
	c, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoad(t *testing.T) {
	dir := copyExample(t, "server2")
	c := load(t, dir)
	for what, pair := range map[string][2]any{
		"me":          {string(c.Me()), "server2"},
		"other":       {string(c.Other()), "server1"},
		"endpoint":    {c.Endpoint("server1"), Endpoint{"192.0.2.100:27540", "192.0.2.100:5432", "192.0.2.100:5432"}},
		"no endpoint": {c.Endpoint("server3"), Endpoint{}},
		"path":        {c.Path("run", "control.sock"), dir + "/run/control.sock"},
		"directory":   {c.Path(), dir},
		"config":      {c.Server.ConfigFile, "/var/lib/postgresql/15/main/postgresql.conf"},
		"hba":         {c.Server.HBAFile, "/var/lib/postgresql/15/main/pg_hba.conf"},
		"log":         {c.Server.LogFile, dir + "/log/postgresql.log"},
		"passfile":    {c.Server.Replication.Passfile, dir + "/pgpass"},
		"no passfile": {c.Server.Postgres.Passfile, ""},
		"tls":         {c.TLS(), TLS{dir + "/tls/ca.crt", dir + "/tls/server2.crt", dir + "/tls/server2.key"}},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %v, want %v", what, pair[0], pair[1])
		}
	}
}

func TestLoadFromARelativeDirectory(t *testing.T) {
	t.Chdir(copyExample(t, "server1"))
	if c := load(t, "."); !filepath.IsAbs(c.Dir) || !filepath.IsAbs(c.TLS().Key) {
		t.Errorf("directory %s, key %s: want absolute paths", c.Dir, c.TLS().Key)
	}
}

// The example says what the defaults are; here it is held to it, key by key.
func TestExampleShowsTheDefaults(t *testing.T) {
	c, want := load(t, copyExample(t, "server1")), Defaults()
	if !reflect.DeepEqual(c.Pair.Timings, want.Pair.Timings) || !reflect.DeepEqual(c.Pair.Policy, want.Pair.Policy) {
		t.Errorf("pair.toml has %+v, the defaults are %+v", c.Pair, want.Pair)
	}
	if got := c.Server.Postgres; got.User != want.Server.Postgres.User || got.Database != want.Server.Postgres.Database {
		t.Errorf("server.toml has %+v, the defaults are %+v", got, want.Server.Postgres)
	}
	dir := copyExample(t, "arbiter")
	a, err := LoadArbiter(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantArbiter := DefaultArbiter()
	wantArbiter.Dir, wantArbiter.Records = dir, filepath.Join(dir, "records")
	wantArbiter.TLS = TLS{dir + "/tls/ca.crt", dir + "/tls/arbiter.crt", dir + "/tls/arbiter.key"}
	if *a != wantArbiter {
		t.Errorf("arbiter.toml has %+v, the defaults are %+v", *a, wantArbiter)
	}
}

func TestExampleIsWhole(t *testing.T) {
	one, errOne := os.ReadFile(filepath.Join(example, "server1", PairFile))
	two, errTwo := os.ReadFile(filepath.Join(example, "server2", PairFile))
	if err := errors.Join(errOne, errTwo); err != nil || string(one) != string(two) {
		t.Errorf("pair.toml differs between the servers of the example, %v", err)
	}
	for file, v := range map[string]any{"server1/pair.toml": Pair{}, "server1/server.toml": Server{}, "arbiter/arbiter.toml": Arbiter{}} {
		b, err := os.ReadFile(filepath.Join(example, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range everyKey(reflect.TypeOf(v)) {
			if !strings.Contains(string(b), "\n"+key+" = ") {
				t.Errorf("%s does not show the key %s", file, key)
			}
		}
	}
}

func everyKey(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		switch f := t.Field(i); {
		case tagOf(f) == "":
		case f.Type.Kind() == reflect.Map:
			keys = append(keys, everyKey(f.Type.Elem())...)
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Duration]():
			keys = append(keys, everyKey(f.Type)...)
		default:
			keys = append(keys, tagOf(f))
		}
	}
	return keys
}

func TestProfile(t *testing.T) {
	dir := copyExample(t, "server1", `profile = "default"`, `profile = "tight"`, "heartbeat_interval = \"250ms\"", "", "poll_interval = \"250ms\"", "poll_interval = \"50ms\"")
	c := load(t, dir)
	if d := c.Pair.Timings.HeartbeatInterval; d.Duration != 100*time.Millisecond {
		t.Errorf("left out, heartbeat_interval is %v, want what tight has", d)
	}
	if d := c.Pair.Timings.PollInterval; d.Duration != 50*time.Millisecond {
		t.Errorf("written, poll_interval is %v, want it to override the profile", d)
	}
}

func TestProfilesAreSound(t *testing.T) {
	for _, name := range []string{ProfileDefault, ProfileTight} {
		timings, known := Profile(name)
		at := &source{lines: map[string]int{}, told: map[string]bool{}}
		timings.check(at)
		if err := at.err(); err != nil || !known || timings.Profile != name {
			t.Errorf("profile %s: %v, known %v, calls itself %q", name, err, known, timings.Profile)
		}
	}
}

func TestEverythingOptionalLeftOut(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		PairFile: `pair = "p"
servers.a = {admin = "a:1", replication = "a:2", client = "a:2"}
servers.b = {admin = "b:1", replication = "b:2", client = "B:3"}
arbiter.kind = "none"`,
		ServerFile: `server = "a"
data_directory = "data"
bin_directory = "/bin"
postgres = {socket_directory = "run", port = 5432}
replication.user = "r"
tls = {ca = "c", certificate = "d", key = "/e"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, want := load(t, dir), Defaults()
	if !reflect.DeepEqual(c.Pair.Timings, want.Pair.Timings) || !reflect.DeepEqual(c.Pair.Policy, want.Pair.Policy) {
		t.Errorf("got %+v, want the defaults %+v", c.Pair, want.Pair)
	}
	if c.Server.DataDirectory != dir+"/data" || c.Server.Postgres.SocketDirectory != dir+"/run" || c.TLS().Key != "/e" {
		t.Errorf("relative paths are not below the management directory: %+v", c.Server)
	}
}

func TestEncodeIsReadBack(t *testing.T) {
	dir := copyExample(t, "server1", `profile = "default"`, `profile = "tight"`, `"16MB"`, `"1234567B"`)
	c := load(t, dir)
	for file, v := range map[string]any{PairFile: c.Pair, ServerFile: c.Server} {
		b, err := Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if again := load(t, dir); !reflect.DeepEqual(again, c) {
		t.Errorf("read back %+v, want %+v", again, c)
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "pair.toml: cannot be read: no such file or directory; name the management directory with -M, or make one with mcctl init") {
		t.Errorf("a missing directory: %v", err)
	}
}
