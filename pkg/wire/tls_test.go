package wire

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// attempt connects with config and asks something; nil means that both sides agreed.
func attempt(t *testing.T, addr string, config *tls.Config) error {
	t.Helper()
	c, err := Dial(t.Context(), "tcp", addr, config)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Call(t.Context(), "nothing", nil, nil)
}

func TestWhoMayTalkToWhom(t *testing.T) {
	n, strangers := newNetwork(t), newNetwork(t)
	must(t, NewCertificate(n.ca, "lab", "arbiter", n.dir))
	other := network{ca: n.ca, dir: t.TempDir()}
	must(t, NewCertificate(n.ca, "another", "server1", other.dir))
	many := network{ca: n.ca, dir: t.TempDir()}
	must(t, NewCertificate(n.ca, "", "arbiter", many.dir))
	serve := func(p *TLSPair) string {
		ln, err := ListenTLS("127.0.0.1:0", p.Server)
		must(t, err)
		background(t, func(ctx context.Context) error { return Serve(ctx, ln, newHost()) })
		return ln.Addr().String()
	}
	server2, witness := serve(n.load(t, "server2")), serve(many.load(t, "arbiter"))
	noCert := n.load(t, "server1").Client("server2")
	show(noCert, tls.Certificate{})
	old := n.load(t, "server1").Client("server2")
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	forged := n.load(t, "server1").Client("server2")
	forged.GetClientCertificate = strangers.load(t, "server1").Client("server2").GetClientCertificate
	stranger := other.load(t, "server1").Client("server2")
	stranger.VerifyConnection = nil // only the server judges
	noPair := many.load(t, "arbiter").Client("server2")
	noPair.VerifyConnection = nil
	for name, c := range map[string]struct {
		addr   string
		config *tls.Config
		ok     bool
	}{
		"the other server":                      {server2, n.load(t, "server1").Client("server2"), true},
		"a witness for every pair":              {witness, n.load(t, "server1").Client("arbiter"), true},
		"it, from another pair":                 {witness, other.load(t, "server1").Client("arbiter"), true},
		"another name than expected":            {server2, n.load(t, "server1").Client("arbiter"), false},
		"a server of another pair":              {server2, other.load(t, "server1").Client("server2"), false},
		"the same, judged by the server":        {server2, stranger, false},
		"a member without a pair as client":     {server2, noPair, false},
		"another authority, both judge":         {server2, strangers.load(t, "server1").Client("server2"), false},
		"another authority, the server judges":  {server2, forged, false},
		"no certificate":                        {server2, noCert, false},
		"TLS 1.2":                               {server2, old, false},
		"a witness where a server was expected": {witness, n.load(t, "server1").Client("server2"), false},
	} {
		if err := attempt(t, c.addr, c.config); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		} else if err != nil {
			t.Logf("%s: %v", name, err)
		}
	}
}

// show has a client show that certificate, whatever is in its files.
func show(client *tls.Config, c tls.Certificate) {
	client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
}

// leaf makes a certificate that NewCertificate would not.
func (n network) leaf(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	ca, err := tls.LoadX509KeyPair(filepath.Join(n.ca, "ca.crt"), filepath.Join(n.ca, "ca.key"))
	must(t, err)
	template := certificateTemplate("lab/server1")
	template.URIs = []*url.URL{Identity{"lab", "server1"}.uri()}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	change(template)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, public, ca.PrivateKey)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

func TestServerJudgesCertificates(t *testing.T) {
	n := newNetwork(t)
	addr := n.serve(t, newHost())
	for name, c := range map[string]struct {
		change func(*x509.Certificate)
		ok     bool
	}{
		"as it should be": {func(*x509.Certificate) {}, true},
		"expired":         {func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }, false},
		"not yet valid":   {func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, false},
		"no URI":          {func(c *x509.Certificate) { c.URIs = nil }, false},
		"two URIs":        {func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }, false},
		"other scheme":    {func(c *x509.Certificate) { c.URIs[0].Scheme = "spiffe" }, false},
		"name with path":  {func(c *x509.Certificate) { c.URIs[0].Path = "/../server1" }, false},
		"called local":    {func(c *x509.Certificate) { c.URIs[0].Path = "/local" }, false},
		"a server's only": {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, false},
	} {
		config := n.load(t, "server1").Client("server2")
		show(config, n.leaf(t, c.change))
		if err := attempt(t, addr, config); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSessionsAreResumed(t *testing.T) {
	n := newNetwork(t)
	addr := n.serve(t, newHost())
	config := n.load(t, "server1").Client("server2")
	verified := 0
	judge := config.VerifyConnection
	config.VerifyConnection = func(s tls.ConnectionState) error { verified++; return judge(s) }
	for i := range 3 {
		c, err := Dial(t.Context(), "tcp", addr, config)
		must(t, err)
		must(t, c.Call(t.Context(), "nothing", nil, nil)) // the ticket comes with the first answer
		if resumed := c.conn.(*tls.Conn).ConnectionState().DidResume; resumed != (i > 0) {
			t.Errorf("connection %d: resumed %v", i, resumed)
		}
		c.Close()
	}
	if verified != 3 {
		t.Errorf("%d of 3 connections were verified", verified)
	}
}

func TestCertificateFiles(t *testing.T) {
	n := newNetwork(t)
	for _, path := range []string{n.ca + "/ca.key", n.ca + "/ca.crt", n.dir + "/server1.key", n.dir + "/server1.crt", n.dir + "/ca.crt"} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
	if own := n.load(t, "server1").Own; own != (Identity{"lab", "server1"}) {
		t.Errorf("own identity is %v", own)
	}
	if err := NewCA(n.ca); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second authority in one directory: %v", err)
	}
	for _, who := range []Identity{{"lab", "local"}, {"lab", "ca"}, {"lab", ""}, {"lab", "a/b"}, {"Lab", "a"}, {"a.b", "a"}} {
		if err := NewCertificate(n.ca, who.Pair, who.Name, t.TempDir()); err == nil {
			t.Errorf("a certificate was made for %q", who)
		}
	}
}

// A server without a peer is better than none: it starts, and says why nobody talks to it.
func TestACertificateThatIsOutOfDateIsLoaded(t *testing.T) {
	n := newNetwork(t)
	for what, change := range map[string]func(*x509.Certificate){
		"ended":         func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) },
		"not yet valid": func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) },
		"valid":         func(*x509.Certificate) {},
	} {
		leaf := n.leaf(t, change)
		must(t, writePEM(n.dir, "server1.crt", "CERTIFICATE", leaf.Certificate[0]))
		key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
		must(t, err)
		must(t, writePEM(n.dir, "server1.key", "PRIVATE KEY", key))
		if p := n.load(t, "server1"); (p.OutOfDate == nil) != (what == "valid") {
			t.Errorf("%s: %v", what, p.OutOfDate)
		}
	}
}

func TestLoadTLSRefuses(t *testing.T) {
	n, strangers := newNetwork(t), newNetwork(t)
	file := func(dir, name string) string { return filepath.Join(dir, name) }
	empty := file(t.TempDir(), "empty")
	must(t, os.WriteFile(empty, nil, 0o600))
	for name, c := range map[string]struct{ ca, cert, key, says string }{
		"authority missing":   {"/nonexistent", file(n.dir, "server1.crt"), file(n.dir, "server1.key"), "/nonexistent: no such file"},
		"authority empty":     {empty, file(n.dir, "server1.crt"), file(n.dir, "server1.key"), empty + " holds no PEM certificate"},
		"key of another":      {file(n.dir, "ca.crt"), file(n.dir, "server1.crt"), file(n.dir, "server2.key"), "check tls.certificate and tls.key"},
		"another authority":   {file(strangers.dir, "ca.crt"), file(n.dir, "server1.crt"), file(n.dir, "server1.key"), "not signed by the authority in " + file(strangers.dir, "ca.crt") + ", and nobody would accept it: check tls.certificate and tls.ca"},
		"the authority's own": {file(n.ca, "ca.crt"), file(n.ca, "ca.crt"), file(n.ca, "ca.key"), file(n.ca, "ca.crt")},
	} {
		if _, err := LoadTLS(c.ca, c.cert, c.key); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}
