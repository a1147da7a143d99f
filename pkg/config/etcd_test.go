package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// withEtcd is the example with an etcd of these keys.
func withEtcd(t *testing.T, keys string) (*Config, error) {
	t.Helper()
	dir := copyExample(t, "server1")
	b, err := os.ReadFile(filepath.Join(dir, PairFile))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(strings.Replace(string(b), `kind = "witness"`, `kind = "etcd"`, 1), "\naddress =", "\n# address =", 1)
	head, rest, _ := strings.Cut(text, "\n[arbiter.etcd]\n")
	_, tail, _ := strings.Cut(rest, "\n[timings]\n")
	text = head + "\n[arbiter.etcd]\n" + keys + "\n[timings]\n" + tail
	if err := os.WriteFile(filepath.Join(dir, PairFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "open"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(dir)
}

func TestEtcd(t *testing.T) {
	c, err := withEtcd(t, `endpoints = ["https://a:2379", "https://b:2379"]
ca = "tls/etcd-ca.crt"
username = "mcctl"
password_file = "etcd.password"`)
	if err != nil {
		t.Fatal(err)
	}
	if e := c.Pair.Arbiter.Etcd; e.CA != c.Path("tls/etcd-ca.crt") || e.PasswordFile != c.Path("etcd.password") || e.Prefix != "/mcctl" {
		t.Errorf("read %+v", e)
	}
	for keys, want := range map[string]string{
		``:                                                    "endpoints: is missing",
		`endpoints = ["a:2379"]`:                              `"a:2379" is not an endpoint`,
		`endpoints = ["http://a:2379/v3"]`:                    "is not an endpoint",
		`endpoints = ["http://u:p@a:2379"]`:                   "is not an endpoint",
		`endpoints = ["http://a"]`:                            "is not an address",
		`endpoints = ["http://a:1","http://a:1"]`:             "is here twice",
		`endpoints = ["http://a:1","https://b:1"]`:            "some are https and some http",
		`endpoints = ["https://a:1"]`:                         "arbiter.etcd.ca: is missing; https needs it",
		"endpoints = [\"http://a:1\"]\nca = \"x\"":            "arbiter.etcd.ca: is of no use",
		"endpoints = [\"http://a:1\"]\nusername = \"u\"":      "arbiter.etcd.password_file: is missing; username needs it",
		"endpoints = [\"http://a:1\"]\nkey = \"k\"":           "arbiter.etcd.certificate: is missing; key needs it",
		"endpoints = [\"http://a:1\"]\nprefix = \"mcctl/\"":   "is not a usable prefix",
		"endpoints = [\"http://a:1\"]\npassword = \"secret\"": "arbiter.etcd.password",
		"endpoints = [\"http://192.0.2.1:1\"]\nusername = \"u\"\npassword_file = \"open\"": "unencrypted",
		"endpoints = [\"http://127.0.0.1:1\"]\nusername = \"u\"\npassword_file = \"open\"": "can be read by others",
	} {
		if _, err := withEtcd(t, keys); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nis %v, want %s", keys, err, want)
		}
	}
}
