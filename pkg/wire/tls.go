package wire

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
)

// TLSPair is what one process needs to be both ends of a connection. Its files are looked
// at again for each connection: it needs no restart when they are renewed.
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

	files *Kept[*credentials]
}

// LoadTLS reads PEM files made by NewCertificate: the authority's certificate, the
// own certificate and its key. Both sides use TLS 1.3 only, prove who they are and
// check the other's authority and URI; host names and addresses are not compared.
func LoadTLS(ca, cert, key string) (*TLSPair, error) {
	p := &TLSPair{}
	var err error
	p.files, err = Keep(func() (*credentials, error) {
		c, err := loadCredentials(ca, cert, key)
		if err == nil {
			err = p.take(c, cert)
		}
		return c, err
	}, ca, cert, key)
	if err != nil {
		return nil, err
	}
	p.Server = p.server(p.files.now)
	p.Server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return p.files.Now().server, nil }
	return p, nil
}

// Renewed has it told when renewed files were taken (nil), or once why they were not.
func (p *TLSPair) Renewed(tell func(error)) { p.files.Tell(tell) }

// TellRenewed tells the log.
func TellRenewed(log *slog.Logger) func(error) {
	return func(err error) {
		if err != nil {
			log.Error("the files of a certificate have changed and are no good; what was in them before stays in use", "error", err)
			return
		}
		log.Info("renewed certificates were read; new connections go by them")
	}
}

// take is who this process is, by its first certificate. A later one must be of the same
// member, and valid: the one before may still be.
func (p *TLSPair) take(c *credentials, cert string) error {
	switch {
	case p.Own == Identity{}:
		p.Own, p.OutOfDate = c.who, c.outOfDate
	case c.who != p.Own:
		return fmt.Errorf("load certificate %s: it is of %s, but this process is %s: check tls.certificate", cert, c.who, p.Own)
	case c.outOfDate != nil:
		return c.outOfDate
	}
	c.server = p.server(c)
	return nil
}

func (p *TLSPair) server(c *credentials) *tls.Config {
	config := newConfig()
	config.Certificates, config.ClientCAs = []tls.Certificate{c.own}, c.roots
	config.ClientAuth = tls.RequireAndVerifyClientCert
	// VerifyConnection runs for resumed sessions too, unlike VerifyPeerCertificate.
	config.VerifyConnection = func(s tls.ConnectionState) error {
		i, err := identityOf(s.PeerCertificates)
		if err != nil {
			return err
		}
		return i.mayAsk(p.Own)
	}
	return config
}

// Client is for connecting to the member called name of the own pair, or to a
// witness of that name that serves every pair. Sessions are resumed, so use one
// Client for all connections to the same peer.
func (p *TLSPair) Client(name string) *tls.Config {
	config := newConfig()
	config.ClientSessionCache = &sessions{now: p.files.Now}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &p.files.Now().own, nil }
	// Go would compare the host name; the name in the URI is compared instead, and
	// the chain is verified here, for resumed sessions too.
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if err := verify(s.PeerCertificates, p.files.Now().roots, x509.ExtKeyUsageServerAuth); err != nil {
			return err
		}
		i, err := identityOf(s.PeerCertificates)
		if err != nil {
			return err
		}
		return i.mayServe(p.Own, name)
	}
	return config
}

func newConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Nothing secret crosses this wire, it only must not be forged: a key exchange
		// proof against future computers would protect nobody, and its long messages
		// cost a witness a kilobyte for each connection.
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
}
