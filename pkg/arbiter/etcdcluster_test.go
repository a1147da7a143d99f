package arbiter

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

const (
	etcdInterval = 100 * time.Millisecond
	etcdTimeout  = 2 * time.Second
	// etcdPatience is far above what anything takes, also where the machine is busy.
	etcdPatience = time.Minute
)

// etcdCluster is three real etcd processes.
type etcdCluster struct {
	*testing.T
	dir     string
	args    []string
	scheme  string
	clients []string // host:port
	peers   []string // by which the members know each other
	listens []string // where they listen for each other
	cmds    []*exec.Cmd
}

func newEtcdCluster(t *testing.T, args ...string) *etcdCluster {
	t.Helper()
	c := layEtcdCluster(t, args...)
	c.startAll()
	return c
}

// layEtcdCluster is one that nobody has started.
func layEtcdCluster(t *testing.T, args ...string) *etcdCluster {
	t.Helper()
	c := &etcdCluster{T: t, dir: t.TempDir(), args: args, scheme: "http", cmds: make([]*exec.Cmd, 3)}
	if strings.Contains(strings.Join(args, " "), "--cert-file") {
		c.scheme = "https"
	}
	for range 3 {
		c.clients, c.peers = append(c.clients, freeAddr(t)), append(c.peers, freeAddr(t))
	}
	c.listens = slices.Clone(c.peers)
	t.Cleanup(func() {
		for i := range c.cmds {
			c.kill(i)
		}
	})
	return c
}

// freeAddr stays below the ports that Linux hands out to connections, of which the members
// make many: one that has not begun to listen yet would find its own taken.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+mathrand.IntN(10000)))
		if err == nil {
			defer func() { _ = ln.Close() }()
			return ln.Addr().String()
		}
	}
	t.Fatal("no port between 10000 and 20000 is free")
	return ""
}

func (c *etcdCluster) startAll() {
	for i := range c.cmds {
		c.start(i)
	}
}

func (c *etcdCluster) start(i int) {
	c.Helper()
	program, err := exec.LookPath("etcd")
	if err != nil {
		c.Fatal("etcd is not installed; as root run test/setup, or: apt-get install -y --no-install-recommends etcd-server")
	}
	var all []string
	for j, peer := range c.peers {
		all = append(all, memberName(j)+"=http://"+peer)
	}
	client, peer := c.scheme+"://"+c.clients[i], "http://"+c.peers[i]
	args := append([]string{
		"--name", memberName(i), "--data-dir", c.data(i), "--log-level", "error", "--logger", "zap",
		"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", "http://" + c.listens[i],
		"--initial-advertise-peer-urls", peer, "--initial-cluster", strings.Join(all, ","),
	}, c.args...)
	log, err := os.OpenFile(c.data(i)+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(c.T, err)
	defer func() { _ = log.Close() }()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	must(c.T, cmd.Start())
	c.cmds[i] = cmd
}

func memberName(i int) string { return fmt.Sprintf("m%d", i) }

func (c *etcdCluster) data(i int) string { return filepath.Join(c.dir, memberName(i)) }

func (c *etcdCluster) kill(i int) {
	if c.cmds[i] != nil {
		_ = c.cmds[i].Process.Kill()
		_ = c.cmds[i].Wait()
		c.cmds[i] = nil
	}
}

func (c *etcdCluster) signal(i int, s syscall.Signal) {
	c.Helper()
	must(c.T, c.cmds[i].Process.Signal(s))
}

func (c *etcdCluster) endpoints() (all []string) {
	for _, addr := range c.clients {
		all = append(all, c.scheme+"://"+addr)
	}
	return all
}

// ask posts to a member of a cluster without TLS.
func (c *etcdCluster) ask(i int, path, body string) (string, error) {
	r, err := http.NewRequest(http.MethodPost, "http://"+c.clients[i]+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	answer, err := (&http.Client{Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", text)
	}
	return string(text), err
}

// must asks until it is done.
func (c *etcdCluster) must(path, body string) (answer string) {
	c.Helper()
	var err error
	for end := time.Now().Add(etcdPatience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for i := range c.clients {
			if answer, err = c.ask(i, path, body); err == nil || strings.Contains(err.Error(), "already") {
				return answer // or it was done, and the answer got lost
			}
		}
	}
	c.Fatalf("%s: %v", path, err)
	return ""
}

// leader is the member that leads.
func (c *etcdCluster) leader() int {
	c.Helper()
	for end := time.Now().Add(etcdPatience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for i := range c.clients {
			var s struct {
				Header struct {
					Member string `json:"member_id"`
				} `json:"header"`
				Leader string `json:"leader"`
			}
			text, err := c.ask(i, "/v3/maintenance/status", "{}")
			if err == nil && json.Unmarshal([]byte(text), &s) == nil && s.Leader != "" && s.Leader == s.Header.Member {
				return i
			}
		}
	}
	c.Fatal("the cluster has no leader")
	return -1
}

// config is what a server of the pair has.
func (c *etcdCluster) config(me, other pair.Server) EtcdConfig {
	return EtcdConfig{Endpoints: c.endpoints(), Prefix: "/mcctl", Pair: "lab", Me: me, Other: other, Interval: etcdInterval, Timeout: etcdTimeout}
}

// etcdMember is one server's keeper, running.
func etcdMember(t *testing.T, cfg EtcdConfig, own record.Record) *member {
	t.Helper()
	m := &member{t: t, report: wire.WitnessReport{Postgres: wire.WitnessUp, Known: own}}
	var err error
	m.Keeper, err = NewEtcd(cfg, func() wire.WitnessReport {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.report
	}, func() {})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(m.stop)
	return m
}

// etcdPair is both servers, with the record paired under server1.
func (c *etcdCluster) pair(change ...func(*EtcdConfig)) (s1, s2 *member, r record.Record) {
	c.Helper()
	of := func(me, other pair.Server) EtcdConfig {
		cfg := c.config(me, other)
		for _, f := range change {
			f(&cfg)
		}
		return cfg
	}
	s1 = etcdMember(c.T, of("server1", "server2"), record.First("lab", "server1"))
	s2 = etcdMember(c.T, of("server2", "server1"), record.Record{})
	s1.wait("the first record", s1.sees(record.Record.Exists))
	r, err := s1.Change(c.Context(), record.Change{Transition: record.Attach, By: "server1", To: "server1", From: 2})
	must(c.T, err)
	s2.wait("paired", s2.sees(func(now record.Record) bool { return now == r }))
	s2.wait("server1 heard", s2.OtherHeard)
	return s1, s2, r
}

// wait is until with the patience that an etcd needs.
func (m *member) wait(what string, met func() bool) time.Duration {
	m.t.Helper()
	start := time.Now()
	for !met() {
		if time.Since(start) > etcdPatience {
			r, age, reachable := m.Seen()
			m.t.Fatalf("not seen: %s; instead %v, %v old, reachable %v, problem %q", what, r, age, reachable, m.Problem())
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

// settled waits until both servers see the same record and each other.
func settled(s1, s2 *member) record.Record {
	s1.t.Helper()
	var r record.Record
	for _, m := range []*member{s1, s2} {
		m.wait("the other server", func() bool {
			now, _, reachable := m.Seen()
			r = now
			return reachable && now.Exists() && m.OtherHeard()
		})
	}
	return r
}

// etcdCertificates makes an authority, and a certificate that serves both sides.
func etcdCertificates(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	made := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "etcd"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &made, &made, &key.PublicKey, key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for name, block := range map[string]pem.Block{"etcd.crt": {Type: "CERTIFICATE", Bytes: der}, "etcd.key": {Type: "PRIVATE KEY", Bytes: private}} {
		var b bytes.Buffer
		must(t, pem.Encode(&b, &block))
		must(t, os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600))
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// must2 is must for what returns a record, too.
func must2(_ record.Record, err error) func(*testing.T) {
	return func(t *testing.T) { t.Helper(); must(t, err) }
}
