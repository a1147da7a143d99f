package arbiter

import (
	"os"
	"path/filepath"
	"testing"
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
