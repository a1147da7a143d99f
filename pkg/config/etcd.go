package config

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const defaultPrefix = "/mcctl"

// EtcdOf says where the etcd is that keeps the record, for kind "etcd". A relative path is
// meant from the management directory of either server. Renewed certificates count from the
// next connection on, without a restart.
type EtcdOf struct {
	// Endpoints are the members of the cluster as clients reach them, all of them, such as
	// "https://192.0.2.21:2379".
	Endpoints []string `toml:"endpoints"`
	// Prefix of the keys; the pair's are below PREFIX/PAIR/.
	Prefix string `toml:"prefix"`
	// CA is the authority of the members' certificates, in PEM; for https only.
	CA string `toml:"ca"`
	// Certificate of this server, with its Key (mode 0600), where etcd asks clients for one.
	Certificate string `toml:"certificate"`
	Key         string `toml:"key"`
	// Username to log in as, where etcd's authentication is on.
	Username string `toml:"username"`
	// PasswordFile holds the password of Username in one line; mode 0600.
	PasswordFile string `toml:"password_file"`
}

func (e *EtcdOf) resolve(dir string) { absolute(dir, e.paths()...) }

func (e *EtcdOf) paths() []*string { return []*string{&e.CA, &e.Certificate, &e.Key, &e.PasswordFile} }

// Rebased is the same as it reads from another management directory: what lies below the
// one lies below the other.
func (e EtcdOf) Rebased(from, to string) EtcdOf {
	for _, path := range e.paths() {
		if below, err := filepath.Rel(from, *path); err == nil && filepath.IsLocal(below) {
			*path = filepath.Join(to, below)
		}
	}
	return e
}

// Where is the arbiter in words: its address, or the endpoints of an etcd.
func (a *ArbiterOf) Where() string {
	if a.Kind == Etcd {
		return strings.Join(a.Etcd.Endpoints, ",")
	}
	return a.Address
}

var etcdPrefix = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)

func (e *EtcdOf) check(at *source, kind ArbiterKind) {
	const table = "arbiter.etcd"
	if kind != Etcd {
		if len(e.Endpoints) > 0 {
			at.complain(table+".endpoints", "the kind of the arbiter is %q; remove them or set kind = %q", kind, Etcd)
		}
		return
	}
	e.checkEndpoints(at)
	if !etcdPrefix.MatchString(e.Prefix) {
		at.complain(table+".prefix", "%q is not a usable prefix; write one such as %q", e.Prefix, defaultPrefix)
	}
	together(at, table, "certificate", e.Certificate, "key", e.Key)
	together(at, table, "username", e.Username, "password_file", e.PasswordFile)
	at.secret(table+".key", e.Key)
	at.secret(table+".password_file", e.PasswordFile)
}

func together(at *source, table, a, aValue, b, bValue string) {
	switch {
	case aValue != "" && bValue == "":
		at.complain(table+"."+b, "is missing; %s needs it", a)
	case aValue == "" && bValue != "":
		at.complain(table+"."+a, "is missing; %s needs it", b)
	}
}

func (e *EtcdOf) checkEndpoints(at *source) {
	const key = "arbiter.etcd.endpoints"
	if len(e.Endpoints) == 0 {
		at.complain(key, "is missing; write it down")
	}
	secure := 0
	for i, text := range e.Endpoints {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Scheme+"://"+u.Host != text {
			at.complain(key, "%q is not an endpoint; write one such as \"https://192.0.2.21:2379\"", text)
			return
		}
		if err := CheckAddress(u.Host); err != nil {
			at.complain(key, "%v", err)
		}
		if slices.Contains(e.Endpoints[:i], text) {
			at.complain(key, "%q is here twice", text)
		}
		if u.Scheme == "https" {
			secure++
		} else if host, _, _ := net.SplitHostPort(u.Host); e.Username != "" && !isLoopback(host) {
			at.complain(key, "the password would travel to %q unencrypted; write https:// and set ca", text)
		}
	}
	switch {
	case secure > 0 && secure < len(e.Endpoints):
		at.complain(key, "some are https and some http; write all of them alike")
	case secure > 0 && e.CA == "":
		at.complain("arbiter.etcd.ca", "is missing; https needs it")
	case secure == 0 && e.CA != "":
		at.complain("arbiter.etcd.ca", "is of no use with http endpoints; write https:// or remove it")
	case secure == 0 && e.Certificate != "":
		at.complain("arbiter.etcd.certificate", "is of no use with http endpoints; write https:// or remove it")
	}
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
