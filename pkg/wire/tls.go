package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// sessionCache is how many peers' sessions a client remembers; it has two.
const sessionCache = 8

// TLSPair is what one process needs to be both ends of a connection.
type TLSPair struct {
	// Own is who this process is by its certificate.
	Own Identity
	// OutOfDate tells that nobody accepts the own certificate on this day, or by this
	// machine's clock. A server that serves needs nobody's consent for that, and the clock
	// may be put right: it is no reason not to start. nil: it is valid.
	OutOfDate error
	// Server is for ListenTLS. It admits the members of Own's pair, or, when Own has
	// no pair (a witness for many), those of every pair of the same authority.
	Server *tls.Config

	base *tls.Config
}

// LoadTLS reads PEM files made by NewCertificate: the authority's certificate, the
// own certificate and its key. Both sides use TLS 1.3 only, prove who they are and
// check the other's authority and URI; host names and addresses are not compared.
func LoadTLS(ca, cert, key string) (*TLSPair, error) {
	roots, err := loadRoots(ca)
	if err != nil {
		return nil, err
	}
	own, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s with key %s: %w; check tls.certificate and tls.key", cert, key, err)
	}
	p := &TLSPair{}
	if p.Own, err = identityOf([]*x509.Certificate{own.Leaf}); err != nil {
		return nil, fmt.Errorf("load certificate %s: %w", cert, err)
	}
	if err := verify([]*x509.Certificate{own.Leaf}, roots, x509.ExtKeyUsageClientAuth); err != nil {
		foreign, invalid := x509.UnknownAuthorityError{}, x509.CertificateInvalidError{}
		refusal := fmt.Errorf("load certificate %s: the other side would not accept it: %w", cert, err)
		switch {
		case errors.As(err, &foreign):
			return nil, fmt.Errorf("load certificate %s: it was not signed by the authority in %s, and nobody would accept it: check tls.certificate and tls.ca", cert, ca)
		case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
			p.OutOfDate = refusal
		default:
			return nil, refusal
		}
	}
	p.base = &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{own},
		RootCAs:      roots,
		ClientCAs:    roots,
		// Nothing secret crosses this wire, it only must not be forged: a key exchange
		// proof against future computers would protect nobody, and its long messages
		// cost a witness a kilobyte for each connection.
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
	p.Server = p.server()
	return p, nil
}

func loadRoots(ca string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("load certificate authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("load certificate authority: %s holds no PEM certificate", ca)
	}
	return roots, nil
}

func (p *TLSPair) server() *tls.Config {
	c := p.base.Clone()
	c.ClientAuth = tls.RequireAndVerifyClientCert
	// VerifyConnection runs for resumed sessions too, unlike VerifyPeerCertificate.
	c.VerifyConnection = func(s tls.ConnectionState) error {
		i, err := identityOf(s.PeerCertificates)
		if err != nil {
			return err
		}
		return i.mayAsk(p.Own)
	}
	return c
}

// Client is for connecting to the member called name of the own pair, or to a
// witness of that name that serves every pair. Sessions are resumed, so use one
// Client for all connections to the same peer.
func (p *TLSPair) Client(name string) *tls.Config {
	c := p.base.Clone()
	c.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCache)
	// Go would compare the host name; the name in the URI is compared instead, and
	// the chain is verified here, for resumed sessions too.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if err := verify(s.PeerCertificates, p.base.RootCAs, x509.ExtKeyUsageServerAuth); err != nil {
			return err
		}
		i, err := identityOf(s.PeerCertificates)
		if err != nil {
			return err
		}
		return i.mayServe(p.Own, name)
	}
	return c
}

func verify(chain []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage) error {
	if len(chain) == 0 {
		return errors.New("the other side showed no certificate")
	}
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{usage}}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(opts)
	return err
}
