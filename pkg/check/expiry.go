package check

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"time"
)

// expiry is when the first of the certificates in the files ends; zero when none
// can be read, which LoadTLS tells better.
func expiry(files ...string) (first time.Time) {
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			c, err := x509.ParseCertificate(block.Bytes)
			if err == nil && (first.IsZero() || c.NotAfter.Before(first)) {
				first = c.NotAfter
			}
		}
	}
	return first
}
