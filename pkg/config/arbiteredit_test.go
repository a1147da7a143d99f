package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const movable = `# ours
pair = "p"  # its name
note = """
[arbiter]
kind = "no"
"""

[arbiter]   # who decides
kind = "none"   # for now

[timings]
profile = "tight"
`

var (
	toNone    = map[string]string{"kind": `"none"`}
	toWitness = map[string]string{"kind": `"witness"`, "address": `"192.0.2.3:27541"`}
	toEtcd    = map[string]string{"kind": `"etcd"`, "etcd.endpoints": "[\"https://a:1\", \"https://b:1\"]", "etcd.ca": `"ca#1.crt"`}
)

// Wherever it goes and comes back, no other byte has changed.
func TestWithArbiterAndBack(t *testing.T) {
	text := movable
	for _, step := range []struct {
		want map[string]string
		has  string
	}{
		{toWitness, "[arbiter]   # who decides\nkind = \"witness\"   # for now\naddress = \"192.0.2.3:27541\"\n\n[timings]"},
		{toEtcd, "kind = \"etcd\"   # for now\n\n[arbiter.etcd]\nendpoints = [\"https://a:1\", \"https://b:1\"]\nca = \"ca#1.crt\"\n\n[timings]"},
		{toWitness, "kind = \"witness\"   # for now\naddress = \"192.0.2.3:27541\"\n\n[timings]"},
	} {
		var err error
		if text, err = WithArbiter(text, step.want); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, step.has) {
			t.Errorf("to %v:\n%s", step.want, text)
		}
		back, err := WithArbiter(text, toNone)
		if err != nil || back != movable {
			t.Errorf("and back, %v:\n%s", err, back)
		}
	}
}

func TestWithArbiterKeepsWhatIsNotTheArbiter(t *testing.T) {
	for text, want := range map[string]string{
		"[arbiter]\nkind = 'etcd'\nfencing_delay = \"9s\"\n[arbiter.etcd]\n# the cluster of ops\nendpoints = [ # all\n \"x\", # ]\n]\nprefix = \"/p\"": "[arbiter]\nkind = \"none\"\nfencing_delay = \"9s\"\n[arbiter.etcd]\n# the cluster of ops\n",
		"[arbiter]\nkind = \"witness\"\naddress = \"a:1\" # third\n":                                                                                   "[arbiter]\nkind = \"none\"\naddress = \"\" # third\n",
		"[arbiter]\r\nkind = \"witness\"\r\naddress = \"a:1\"\r\n[policy]\r\n":                                                                         "[arbiter]\r\nkind = \"none\"\r\n[policy]\r\n",
	} {
		if got, err := WithArbiter(text, toNone); err != nil || got != want {
			t.Errorf("%q became %q, %v; want %q", text, got, err, want)
		}
	}
}

// The example, with every comment in it, can be moved to any kind and is sound.
func TestReplaceArbiterOfTheExample(t *testing.T) {
	dir := copyExample(t, "server1")
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for kind, want := range map[ArbiterKind]map[string]string{None: toNone, Witness: toWitness, Etcd: toEtcd} {
		next, text, err := ReplaceArbiter(dir, read(PairFile), read(ServerFile), want)
		if err != nil {
			t.Errorf("to %s: %v", kind, err)
			continue
		}
		if next.Pair.Arbiter.Kind != kind || strings.Count(text, "#") < strings.Count(read(PairFile), "#") {
			t.Errorf("to %s:\n%s", kind, text)
		}
	}
}

func TestReplaceArbiterRefuses(t *testing.T) {
	dir := copyExample(t, "server1")
	b, err := os.ReadFile(filepath.Join(dir, ServerFile))
	if err != nil {
		t.Fatal(err)
	}
	pairText, err := os.ReadFile(filepath.Join(dir, PairFile))
	if err != nil {
		t.Fatal(err)
	}
	inline := "arbiter = { kind = \"none\" }\n" + strings.ReplaceAll(strings.Split(string(pairText), "[arbiter]")[0], "[arbiter", "[x")
	for text, want := range map[string]map[string]string{
		string(pairText): {"kind": `"witness"`}, // no address
		"pair = ":        toNone,
		inline:           toNone,
	} {
		if _, got, err := ReplaceArbiter(dir, text, string(b), want); err == nil {
			t.Errorf("to %v:\n%s", want, got)
		}
	}
	if _, err := WithArbiter(string(pairText), map[string]string{"kind": `"none"`, "nonsense": "1"}); err == nil {
		t.Error("an unknown key was taken")
	}
}
