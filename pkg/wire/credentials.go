package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// credentials are what the files of a TLSPair hold at one time.
type credentials struct {
	own       tls.Certificate
	who       Identity
	outOfDate error
	roots     *x509.CertPool
	server    *tls.Config
}

func loadCredentials(ca, cert, key string) (*credentials, error) {
	roots, err := loadRoots(ca)
	if err != nil {
		return nil, err
	}
	own, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s with key %s: %w; check tls.certificate and tls.key", cert, key, err)
	}
	c := &credentials{own: own, roots: roots}
	if c.who, err = identityOf([]*x509.Certificate{own.Leaf}); err != nil {
		return nil, fmt.Errorf("load certificate %s: %w", cert, err)
	}
	if err := verify([]*x509.Certificate{own.Leaf}, roots, x509.ExtKeyUsageClientAuth); err != nil {
		foreign, invalid := x509.UnknownAuthorityError{}, x509.CertificateInvalidError{}
		refusal := fmt.Errorf("load certificate %s: the other side would not accept it: %w", cert, err)
		switch {
		case errors.As(err, &foreign):
			return nil, fmt.Errorf("load certificate %s: it was not signed by the authority in %s, and nobody would accept it: check tls.certificate and tls.ca", cert, ca)
		case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
			c.outOfDate = refusal
		default:
			return nil, refusal
		}
	}
	return c, nil
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
