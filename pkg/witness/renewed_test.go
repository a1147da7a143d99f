package witness

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"mcctl/pkg/wire"
)

// A witness that runs shows the certificate that was put in the place of its first one, and
// keeps that as long as the new one is not complete.
func TestARenewedCertificateNeedsNoRestart(t *testing.T) {
	h := newHost(t)
	h.start(t)
	h.connect(t, "lab", "server1")
	p, err := loadTLS(h.tls("lab"), "server1")
	must(t, err)
	crt := filepath.Join(h.tls("arbiter"), "arbiter.crt")
	read := func() []byte {
		text, err := os.ReadFile(crt)
		must(t, err)
		return text
	}
	shown := func() []byte {
		conn, err := tls.Dial("tcp", h.addr, p.Client("arbiter"))
		must(t, err)
		defer conn.Close()
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw})
	}
	old := read()
	must(t, wire.NewCertificate(h.ca, "", "arbiter", h.tls("arbiter")))
	fresh := read()
	must(t, os.WriteFile(crt, fresh[:len(fresh)/2], 0o600))
	if got := shown(); !bytes.Equal(got, old) {
		t.Error("half a certificate has ended the use of the one before")
	}
	must(t, os.WriteFile(crt, fresh, 0o600))
	if got := shown(); !bytes.Equal(got, fresh) {
		t.Error("the renewed certificate is not shown")
	}
	h.connect(t, "lab", "server2")
}
