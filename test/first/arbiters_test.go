package first

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// etcd is one member that listens at all the page's addresses, with TLS, and the files
// that the page brings from /mnt/etcd.
func (h *hosts) etcd() {
	h.Helper()
	program, err := exec.LookPath("etcd")
	if err != nil {
		h.Fatal("etcd is not installed; as root run test/setup, or: apt-get install -y --no-install-recommends etcd-server")
	}
	h.ok(os.WriteFile(h.path("etcd.password"), []byte("secret\n"), 0o600))
	h.certificate()
	var clients []string
	for _, a := range addresses() {
		if strings.HasSuffix(a, ":2379") {
			clients = append(clients, fmt.Sprintf("https://127.0.0.1:%d", h.ports[a]))
		}
	}
	const peer = "http://127.0.0.1:0" // it has none
	log, err := os.Create(h.path("etcd.log"))
	h.ok(err)
	defer log.Close()
	cmd := exec.Command(program, "--name", "m", "--data-dir", h.path("etcd"), "--log-level", "error", "--logger", "zap",
		"--listen-client-urls", strings.Join(clients, ","), "--advertise-client-urls", strings.Join(clients, ","),
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "m="+peer,
		"--cert-file", h.path("etcd-ca.crt"), "--key-file", h.path("etcd.key"))
	cmd.Stdout, cmd.Stderr = log, log
	h.ok(cmd.Start())
	h.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	h.eventuallyHealthy(clients[0])
}

func (h *hosts) eventuallyHealthy(client string) {
	h.Helper()
	ca, err := os.ReadFile(h.path("etcd-ca.crt"))
	h.ok(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		answer, err := web.Get(client + "/health")
		if err == nil {
			_ = answer.Body.Close()
		}
		switch {
		case err == nil && answer.StatusCode == http.StatusOK:
			return
		case time.Now().After(end):
			h.Fatalf("etcd does not come up: %v", err)
		}
	}
}

// certificate makes one that is its own authority.
func (h *hosts) certificate() {
	h.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	h.ok(err)
	made := x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &made, &made, &key.PublicKey, key)
	h.ok(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	h.ok(err)
	for name, block := range map[string]pem.Block{"etcd-ca.crt": {Type: "CERTIFICATE", Bytes: der}, "etcd.key": {Type: "PRIVATE KEY", Bytes: private}} {
		var b bytes.Buffer
		h.ok(pem.Encode(&b, &block))
		h.ok(os.WriteFile(h.path(name), b.Bytes(), 0o600))
	}
}

// afterTheFirst is the rest of the page without an arbiter's host: the second server
// joins, and both start.
func (h *hosts) afterTheFirst(join func(b block, token string)) {
	h.Helper()
	w := walk{hosts: h}
	for _, b := range page(h.T) {
		if b.host != "arbiter" && !strings.Contains(b.text, "--arbiter ") {
			w.usual(b, func(token string) { join(b, token) })
		}
	}
	h.mustBePair()
}

// mustFail runs a block that has to end with these words.
func (h *hosts) mustFail(host, stdin, text string, words ...string) {
	h.Helper()
	out, err := h.run(host, stdin, text)
	for _, w := range words {
		if err == nil || !strings.Contains(out, w) {
			h.Fatalf("on %s:\n%s\n%v, and %q is not said:\n%s", host, text, err, w, out)
		}
	}
}

// The second server has not got the files at first; the same command goes on with them.
func TestByEtcd(t *testing.T) {
	h, blocks := newHosts(t), pageBy(t, "etcd")
	if len(blocks) != 2 || blocks[0].host != "both servers" {
		t.Fatalf("docs/init.md has other blocks by etcd: %+v", blocks)
	}
	h.etcd()
	bring, first := blocks[0].text, blocks[1]
	h.must(first.host, "", bring)
	if out := h.must(first.host, "", first.text); strings.Contains(out, "WARNING") || strings.Contains(out, "--arbiter") {
		t.Errorf("of an etcd that answers it is said:\n%s", out)
	}
	h.afterTheFirst(func(b block, token string) {
		h.mustFail(b.host, token, b.text, "arbiter.etcd.ca: open "+h.path(b.host, "mc", "tls", "etcd-ca.crt")+": no such file", "arbiter.etcd.password_file: open ", "run the same command again: it goes on")
		h.must(b.host, "", bring)
		h.must(b.host, "", b.text)
	})
	h.must("server2", "", "mcctl status -M /etc/mcctl/orders | grep '^arbiter .*etcd at .*, reached'")
	h.switchOver()

	// Another pair of this name, on hosts that are free.
	h.must("arbiter", "", bring)
	own := strings.NewReplacer("192.0.2.100", "127.0.0.1", "192.0.2.110", "127.0.0.2")
	h.mustFail("arbiter", "", own.Replace(first.text), "it holds a record of a pair orders already", "hint: nothing was changed")
}

// rotate has a site give the role for replication a password of its own, with what a
// password file has to escape, in a file of its own, whose name a connection string has to
// quote: the one of mcctl init stays.
func (h *hosts) rotate() {
	h.Helper()
	h.sql("server1", "set password_encryption = 'scram-sha-256'", `alter role mcctl_replication password 'n:e\w'`)
	file, conf := h.path("server1", "mc", `site's \ %41 é.pass`), h.path("server1", "mc", "server.toml")
	text, err := os.ReadFile(conf)
	h.ok(err)
	h.ok(os.WriteFile(conf, []byte(strings.Replace(string(text), `passfile = "pgpass"`, fmt.Sprintf("passfile = %q", file), 1)), 0o600))
	h.mustFail("server1", "", "mcctl init --serve-token -M /etc/mcctl/orders", "init: serve a token: read the password for replication: open "+file)
	h.ok(os.WriteFile(file, []byte("# of the site: see there\n*:*:*:mcctl_replication:n\\:e\\\\w\n"), 0o600))
}

// The second server is not told of its commands at first, and the password was changed.
func TestByCommands(t *testing.T) {
	h, blocks := newHosts(t), pageBy(t, "commands")
	if len(blocks) != 2 || blocks[1].host != "server2" {
		t.Fatalf("docs/init.md has other blocks by commands: %+v", blocks)
	}
	for _, name := range []string{"is-it-dead", "fence-server"} {
		h.ok(os.WriteFile(h.path("bin", name), []byte("#!/bin/sh\nexit 1\n"), 0o700))
	}
	h.must(blocks[0].host, "", blocks[0].text)
	h.rotate()
	h.afterTheFirst(func(b block, token string) {
		h.mustFail(b.host, token, b.text, "with --arbitration-command FILE --fencing-command FILE", "run the same command again: it goes on")
		h.must(b.host, "", blocks[1].text)
	})
	h.must("server2", "", "mcctl config show -M /etc/mcctl/orders | grep -E '^arbiter.kind +\"command\"'")
	h.switchOver()
}
