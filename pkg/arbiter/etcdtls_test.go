package arbiter

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mcctl/pkg/clock"
)

// etcd comes back with certificates of another authority, and asks for such: the files are
// replaced, and no supervisor is started anew.
func TestEtcdWithRenewedCertificates(t *testing.T) {
	dir := t.TempDir()
	etcdCertificates(t, dir)
	crt, key := filepath.Join(dir, "etcd.crt"), filepath.Join(dir, "etcd.key")
	c := newEtcdCluster(t, "--cert-file", crt, "--key-file", key, "--client-cert-auth", "--trusted-ca-file", crt)
	s1, s2, r := c.pair(func(cfg *EtcdConfig) { cfg.CA, cfg.Certificate, cfg.Key = crt, crt, key })
	for i := range c.cmds {
		c.kill(i)
	}
	s1.wait("unreachable", func() bool { _, _, reachable := s1.Seen(); return !reachable })
	must(t, os.WriteFile(crt, []byte("half a certificate"), 0o600))
	etcdCertificates(t, dir)
	c.startAll()
	if now := settled(s1, s2); now != r {
		t.Errorf("after the renewal: %v, was %v", now, r)
	}
	must2(s1.Change(t.Context(), detach(r.Revision)))(t)
}

// A handshake may take longer than a connection without one: it is done once, for many questions.
func TestASlowHandshakeWithEtcdIsDone(t *testing.T) {
	dir := t.TempDir()
	etcdCertificates(t, dir)
	crt := filepath.Join(dir, "etcd.crt")
	own, err := tls.LoadX509KeyPair(crt, filepath.Join(dir, "etcd.key"))
	must(t, err)
	const timeout = 1500 * time.Millisecond
	slow := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		time.Sleep(timeout / 3)
		return &own, nil
	}}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", slow)
	must(t, err)
	defer ln.Close()
	go func() {
		for conn, err := ln.Accept(); err == nil; conn, err = ln.Accept() {
			_, _ = conn.Read(make([]byte, 1))
		}
	}()
	transport, err := etcdTransport(EtcdWorld{Clock: clock.Machine}, EtcdConfig{CA: crt, Timeout: timeout})
	must(t, err)
	conn, err := transport.DialTLSContext(t.Context(), "tcp", ln.Addr().String())
	must(t, err)
	must(t, conn.Close())
}
