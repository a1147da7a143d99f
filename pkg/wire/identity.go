package wire

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// maxName is the length of the longest name, in bytes.
const maxName = 50

// scheme of the URI in a certificate: mcctl://<pair>/<name>. Without a pair,
// mcctl:///<name>, it is a witness that serves every pair of its authority.
const scheme = "mcctl"

func (i Identity) uri() *url.URL {
	return &url.URL{Scheme: scheme, Host: i.Pair, Path: "/" + i.Name}
}

// identityOf reads who the owner of a certificate is. The chain was verified before.
func identityOf(chain []*x509.Certificate) (Identity, error) {
	if len(chain) == 0 {
		return Identity{}, errors.New("the other side showed no certificate")
	}
	if n := len(chain[0].URIs); n != 1 || chain[0].URIs[0].Scheme != scheme {
		return Identity{}, fmt.Errorf("its certificate %q was not made by mcctl: it has no URI %s://pair/name", chain[0].Subject.CommonName, scheme)
	}
	u := chain[0].URIs[0]
	// Cloned: a substring would keep the URI alive as long as the connection.
	i := Identity{Pair: strings.Clone(u.Host), Name: strings.Clone(strings.TrimPrefix(u.Path, "/"))}
	return i, i.valid()
}

// valid reports whether i can be in a certificate. The names end up in file names.
func (i Identity) valid() error {
	if i.Pair != "" && !ValidName(i.Pair) || !ValidName(i.Name) || i.Name == LocalName || i.Name == caName {
		return fmt.Errorf("%q is not a pair and a name: use up to 50 of a-z, 0-9, _ and -, and not the names %q and %q", i, LocalName, caName)
	}
	return nil
}

// ValidName reports whether s can name a pair or one of its members.
func ValidName(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '-' {
		return false
	}
	// A loop, because a witness with thousands of connections compiles no patterns.
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// mayServe says why the process with identity own, which expects to reach name,
// must not talk to a server with identity i.
func (i Identity) mayServe(own Identity, name string) error {
	if i.Name != name {
		return fmt.Errorf("reached %s, wanted %s: check the address", i, name)
	}
	if i.Pair != "" && i.Pair != own.Pair {
		return fmt.Errorf("reached %s, which belongs to another pair than %s: check the address", i, own)
	}
	return nil
}

// mayAsk says why the server with identity own must not listen to i.
func (i Identity) mayAsk(own Identity) error {
	if i.Pair == "" {
		return fmt.Errorf("%s belongs to no pair: only a server of a pair may ask", i)
	}
	if own.Pair != "" && i.Pair != own.Pair {
		return fmt.Errorf("%s belongs to another pair than %s", i, own)
	}
	return nil
}
