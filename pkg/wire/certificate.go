package wire

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"mcctl/pkg/durable"
)

const (
	caName   = "ca"
	validFor = 10 // years
	// clockSkew lets a machine whose clock is a little behind accept a new certificate.
	clockSkew = 24 * time.Hour
)

// NewCA makes a certificate authority in dir: ca.crt and ca.key. The key signs
// members of pairs and belongs on no server. An authority that is there is kept and
// is an error: every certificate it signed would be worthless.
func NewCA(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, caName+".key")); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make certificate authority: %s holds one already; choose another directory", dir)
	}
	template := certificateTemplate("mcctl certificate authority")
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make certificate authority: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return fmt.Errorf("make certificate authority: %w", err)
	}
	return save(dir, caName, der, private)
}

// NewCertificate makes <name>.key and <name>.crt in outDir, signed by the authority
// in caDir, and puts the authority's ca.crt beside them. It replaces older ones. An
// empty pair makes a certificate for a witness that serves every pair.
func NewCertificate(caDir, pair, name, outDir string) error {
	who := Identity{Pair: pair, Name: name}
	if err := who.valid(); err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	ca, err := loadCA(caDir)
	if err != nil {
		return err
	}
	template := certificateTemplate(who.String())
	template.URIs = []*url.URL{who.uri()}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make certificate of %s: %w", who, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, public, ca.PrivateKey)
	if err != nil {
		return fmt.Errorf("make certificate of %s: %w", who, err)
	}
	if err := save(outDir, name, der, private); err != nil {
		return err
	}
	return writePEM(outDir, caName+".crt", "CERTIFICATE", ca.Certificate[0])
}

// CheckCA tells why a directory does not hold an authority.
func CheckCA(dir string) error {
	_, err := loadCA(dir)
	return err
}

// IsCA tells why a directory does not hold the authority with that fingerprint.
func IsCA(dir string, fingerprint [sha256.Size]byte) error {
	ca, err := loadCA(dir)
	if err == nil && Fingerprint(ca.Certificate[0]) != fingerprint {
		err = fmt.Errorf("the certificate authority in %s is another one than this server's certificate is from", dir)
	}
	return err
}

func loadCA(dir string) (tls.Certificate, error) {
	ca, err := tls.LoadX509KeyPair(filepath.Join(dir, caName+".crt"), filepath.Join(dir, caName+".key"))
	if err != nil {
		return ca, fmt.Errorf("load certificate authority in %s: %w", dir, err)
	}
	return ca, nil
}

func certificateTemplate(commonName string) *x509.Certificate {
	now := time.Now() // certificates are the one place where wall time is meant
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: commonName},
		NotBefore: now.Add(-clockSkew),
		NotAfter:  now.AddDate(validFor, 0, 0),
	}
}

func save(dir, name string, der []byte, private crypto.PrivateKey) error {
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("encode key of %s: %w", name, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save certificate of %s: %w", name, err)
	}
	if err := writePEM(dir, name+".key", "PRIVATE KEY", key); err != nil {
		return err
	}
	return writePEM(dir, name+".crt", "CERTIFICATE", der)
}

func writePEM(dir, file, kind string, der []byte) error {
	return durable.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
