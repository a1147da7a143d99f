package wire

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"mcctl/pkg/durable"
)

// NewRequest makes a key for name in dir, <name>.key, and a request for a certificate
// (PKCS #10, DER) that proves possession of it. The key never leaves the machine. A
// key that is there is kept, so that a request can be repeated.
func NewRequest(dir, name string) (csr []byte, err error) {
	path := filepath.Join(dir, name+".key")
	private, err := loadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		private, err = newKey(dir, name)
	}
	if err != nil {
		return nil, fmt.Errorf("make key of %s: %w", name, err)
	}
	csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
	if err != nil {
		return nil, fmt.Errorf("request certificate of %s: %w", name, err)
	}
	return csr, nil
}

func newKey(dir, name string) (ed25519.PrivateKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return private, writePEM(dir, name+".key", "PRIVATE KEY", der)
}

func loadKey(path string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM key", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read %s: it is a %T, not an Ed25519 key", path, key)
	}
	return private, nil
}

// SignRequest makes a certificate (DER) for who out of a request, signed by the
// authority in caDir. What the request itself says of names is ignored. It also gives
// the authority's own certificate.
func SignRequest(caDir string, who Identity, csr []byte) (cert, authority []byte, err error) {
	if err := who.valid(); err != nil {
		return nil, nil, fmt.Errorf("sign certificate: %w", err)
	}
	request, err := x509.ParseCertificateRequest(csr)
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("sign certificate of %s: the request is not sound: %w", who, err)
	}
	ca, err := loadCA(caDir)
	if err != nil {
		return nil, nil, err
	}
	template := certificateTemplate(who.String())
	template.URIs = []*url.URL{who.uri()}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	cert, err = x509.CreateCertificate(rand.Reader, template, ca.Leaf, request.PublicKey, ca.PrivateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("sign certificate of %s: %w", who, err)
	}
	return cert, ca.Certificate[0], nil
}

// SaveCertificate writes <name>.crt and the authority's ca.crt beside the key that
// NewRequest has made.
func SaveCertificate(dir, name string, cert, authority []byte) error {
	if err := writePEM(dir, caName+".crt", "CERTIFICATE", authority); err != nil {
		return err
	}
	return writePEM(dir, name+".crt", "CERTIFICATE", cert)
}

// CopyCA copies an authority to another directory: first its key, so that a copy
// which has the certificate is complete.
func CopyCA(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fmt.Errorf("copy certificate authority: %w", err)
	}
	for _, name := range []string{caName + ".key", caName + ".crt"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return fmt.Errorf("copy certificate authority: %w", err)
		}
		if err := durable.WriteFile(filepath.Join(to, name), text, 0o600); err != nil {
			return fmt.Errorf("copy certificate authority: %w", err)
		}
	}
	return nil
}

// Fingerprint is the SHA-256 of a certificate (DER): what tells an authority from all
// others before any certificate of it is known.
func Fingerprint(der []byte) [sha256.Size]byte { return sha256.Sum256(der) }

// Introduce is the TLS configuration of a server for somebody who has no certificate
// yet, but knows the authority's fingerprint. The files are those of LoadTLS.
func Introduce(ca, cert, key string) (config *tls.Config, fingerprint [sha256.Size]byte, err error) {
	own, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fingerprint, fmt.Errorf("load certificate %s with key %s: %w", cert, key, err)
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, fingerprint, fmt.Errorf("load certificate authority: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fingerprint, fmt.Errorf("load certificate authority: %s holds no PEM certificate", ca)
	}
	own.Certificate = append(own.Certificate, block.Bytes) // the stranger pins it
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}}, Fingerprint(block.Bytes), nil
}

// Meet is the TLS configuration of a client who knows of the server no more than who it
// is and the fingerprint of its authority: the server shows that authority, and a
// certificate which it has signed for who.
func Meet(fingerprint [sha256.Size]byte, who Identity) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The authority is pinned, and no host name is in the certificate.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			chain := s.PeerCertificates
			if len(chain) != 2 || Fingerprint(chain[1].Raw) != fingerprint {
				return errors.New("the server's certificate authority is not the one of the token: another host answers at that address, or the token is of another pair")
			}
			roots := x509.NewCertPool()
			roots.AddCert(chain[1])
			if err := verify(chain[:1], roots, x509.ExtKeyUsageServerAuth); err != nil {
				return err
			}
			i, err := identityOf(chain)
			if err == nil && i != who {
				err = fmt.Errorf("%s answers there, not %s", i, who)
			}
			return err
		},
	}
}
