package wire

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// meeting is a connection that was made, and what each side showed.
type meeting struct{ server, client *x509.Certificate }

// meet connects to what listens with the configuration of a server.
func meet(t *testing.T, server, client *tls.Config) (m meeting, err error) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	must(t, err)
	defer ln.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			defer conn.Close()
			if _, err = conn.Write([]byte("x")); err == nil {
				m.client = conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
			}
		}
		served <- err
	}()
	conn, err := tls.Dial("tcp", ln.Addr().String(), client)
	if err != nil {
		ln.Close()
		<-served
		return m, err
	}
	defer conn.Close()
	m.server = conn.ConnectionState().PeerCertificates[0]
	_, err = conn.Read(make([]byte, 1)) // the ticket comes before it
	if ended := <-served; err == nil {
		err = ended
	}
	return m, err
}

// in is the certificate that a file holds.
func (n network) in(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.dir, name+".crt"))
	must(t, err)
	block, _ := pem.Decode(text)
	return block.Bytes
}

// shows expects that both sides show what is in the files of n.
func (n network) shows(t *testing.T, what string, server, client *tls.Config) {
	t.Helper()
	m, err := meet(t, server, client)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if !bytes.Equal(m.server.Raw, n.in(t, "server2")) || !bytes.Equal(m.client.Raw, n.in(t, "server1")) {
		t.Errorf("%s: a side shows another certificate than its file has", what)
	}
}

// A process is not started anew for a certificate: the next connection shows what is in the
// files then, though it could go on with the session of the one before.
func TestRenewedCertificatesNeedNoRestart(t *testing.T) {
	n := newNetwork(t)
	one, two := n.load(t, "server1"), n.load(t, "server2")
	var said []error
	one.Renewed(func(err error) { said = append(said, err) })
	client := one.Client("server2")
	n.shows(t, "at first", two.Server, client)
	for _, name := range []string{"server2", "server1"} {
		must(t, NewCertificate(n.ca, "lab", name, n.dir))
		n.shows(t, name+" renewed", two.Server, client)
	}
	if len(said) != 2 || said[0] != nil || said[1] != nil { // each has the authority's file written anew, too
		t.Errorf("said %v", said)
	}
}

// What is half written, or is not this process's, leaves the certificate before it in use,
// and is told once.
func TestARenewedCertificateThatIsNoGoodIsNotTaken(t *testing.T) {
	n := newNetwork(t)
	next := network{ca: n.ca, dir: t.TempDir()}
	must(t, NewCertificate(n.ca, "lab", "server1", next.dir))
	must(t, NewCertificate(n.ca, "lab", "server2", next.dir))
	strangers := newNetwork(t)
	ended := n.leaf(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	endedKey, err := x509.MarshalPKCS8PrivateKey(ended.PrivateKey)
	must(t, err)
	read := func(dir, name string) []byte {
		text, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		return text
	}
	fresh := read(next.dir, "server1.crt")
	type files map[string][]byte // nil: not there
	for what, c := range map[string]struct {
		files files
		says  string
	}{
		"certificate without its key": {files{"server1.crt": fresh}, "check tls.certificate and tls.key"},
		"key without its certificate": {files{"server1.key": read(next.dir, "server1.key")}, "check tls.certificate and tls.key"},
		"half a certificate":          {files{"server1.crt": fresh[:len(fresh)/2]}, "failed to find"},
		"no certificate":              {files{"server1.crt": nil}, "no such file"},
		"empty authority":             {files{"ca.crt": {}}, "holds no PEM certificate"},
		"another authority":           {files{"ca.crt": read(strangers.dir, "ca.crt")}, "not signed by the authority"},
		"another server's":            {files{"server1.crt": read(next.dir, "server2.crt"), "server1.key": read(next.dir, "server2.key")}, "it is of lab/server2, but this process is lab/server1"},
		"ended": {files{
			"server1.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ended.Certificate[0]}),
			"server1.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: endedKey}),
		}, "has expired"},
	} {
		t.Run(what, func(t *testing.T) {
			here := network{ca: n.ca, dir: t.TempDir()}
			for _, file := range []string{"ca.crt", "server1.crt", "server1.key", "server2.crt", "server2.key"} {
				must(t, os.WriteFile(filepath.Join(here.dir, file), read(n.dir, file), 0o600))
			}
			one, two := here.load(t, "server1"), here.load(t, "server2")
			var said []error
			one.Renewed(func(err error) { said = append(said, err) })
			client := one.Client("server2")
			for name, text := range c.files {
				must(t, os.Remove(filepath.Join(here.dir, name)))
				if text != nil {
					must(t, os.WriteFile(filepath.Join(here.dir, name), text, 0o600))
				}
			}
			for range 3 {
				n.shows(t, "as before", two.Server, client)
			}
			if len(said) != 1 || said[0] == nil || !strings.Contains(said[0].Error(), c.says) {
				t.Errorf("said %v, want %q once", said, c.says)
			}
			for _, file := range []string{"ca.crt", "server1.crt", "server1.key"} {
				must(t, os.WriteFile(filepath.Join(here.dir, file), read(next.dir, file), 0o600))
			}
			must(t, os.WriteFile(filepath.Join(next.dir, "server2.crt"), read(n.dir, "server2.crt"), 0o600))
			next.shows(t, "complete", two.Server, client)
			if !slices.Contains(said, nil) {
				t.Errorf("said %v, and not that it was taken", said)
			}
		})
	}
}

// An authority that was replaced counts for the next connection, also for one that could
// go on with an earlier session.
func TestARenewedAuthorityNeedsNoRestart(t *testing.T) {
	n, next := newNetwork(t), newNetwork(t)
	one, two, left := n.load(t, "server1"), n.load(t, "server2"), newNetwork(t)
	must(t, os.CopyFS(left.dir+"/old", os.DirFS(n.dir)))
	old := network{ca: n.ca, dir: left.dir + "/old"}.load(t, "server1").Client("server2")
	client := one.Client("server2")
	n.shows(t, "at first", two.Server, client)
	n.shows(t, "at first", two.Server, old)
	for _, name := range []string{"server1", "server2"} {
		must(t, NewCertificate(next.ca, "lab", name, n.dir))
	}
	n.shows(t, "renewed", two.Server, client)
	if _, err := meet(t, two.Server, old); err == nil {
		t.Error("a member of the old authority was let in")
	}
}

// Files on a disk that hangs hold up one connection for a moment, and none after it.
func TestFilesThatHangHoldUpNoConnection(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, []byte("old"), 0o600))
	hang, reads := make(chan struct{}), 0
	k, err := Keep(func() (string, error) {
		if reads++; reads > 1 {
			<-hang
		}
		text, err := os.ReadFile(file)
		return string(text), err
	}, file)
	must(t, err)
	must(t, os.WriteFile(file, []byte("renewed"), 0o600))
	began := time.Now()
	for range 100 {
		if now := k.Now(); now != "old" {
			t.Fatalf("it is %s", now)
		}
	}
	if took := time.Since(began); took > 20*keepPatience {
		t.Errorf("100 connections were held up for %v", took)
	}
	close(hang)
	for end := time.Now().Add(10 * time.Second); k.Now() != "renewed"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what could be read again is not taken")
		}
	}
}
