package arbiter

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"mcctl/pkg/tcp"
	"mcctl/pkg/wire"
)

func etcdTransport(w EtcdWorld, cfg EtcdConfig) (*http.Transport, error) {
	plain := &net.Dialer{Timeout: cfg.Timeout / 3, Control: dropUnsent}
	t := &http.Transport{DialContext: plain.DialContext, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}
	if cfg.CA == "" {
		return t, nil
	}
	config, err := etcdTLS(cfg)
	if err != nil {
		return nil, err
	}
	if w.Renewed != nil {
		config.Tell(w.Renewed)
	}
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := plain.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		ctx, cancel := w.Clock.Timeout(ctx, cfg.Timeout/2, nil)
		defer cancel()
		return shake(ctx, conn, addr, config.Now())
	}
	return t, nil
}

// shake has a time of its own, which tls.Dialer would not give it: a handshake that is slow
// is done once, and serves the next questions.
func shake(ctx context.Context, conn net.Conn, addr string, c *tls.Config) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	named := c.Clone()
	named.ServerName = host
	secure := tls.Client(conn, named)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secure, nil
}

// dropUnsent: a change that was given up must not be made later.
func dropUnsent(_, _ string, c syscall.RawConn) error { return tcp.DropUnsent(c) }

// etcdTLS is what each connection is made with: authority and certificate may be renewed
// at any time.
func etcdTLS(cfg EtcdConfig) (*wire.Kept[*tls.Config], error) {
	files := []string{cfg.CA}
	if cfg.Certificate != "" {
		files = append(files, cfg.Certificate, cfg.Key)
	}
	return wire.Keep(func() (*tls.Config, error) { return loadEtcdTLS(cfg) }, files...)
}

func loadEtcdTLS(cfg EtcdConfig) (*tls.Config, error) {
	pem, err := os.ReadFile(cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("read arbiter.etcd.ca: %w", err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read arbiter.etcd.ca: %s holds no certificate in PEM", cfg.CA)
	}
	if cfg.Certificate == "" {
		return c, nil
	}
	own, err := tls.LoadX509KeyPair(cfg.Certificate, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("load arbiter.etcd.certificate: %w", err)
	}
	// It is shown whatever authorities etcd says that it goes by: its refusal tells more.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	return c, nil
}
