package postgres

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// What scram_build_secret of PostgreSQL takes for a new password (scram-common.h, 13 to 18).
const (
	scramIterations = 4096
	scramSalt       = 16
)

// scramVerifier is what PostgreSQL keeps of a password for SCRAM-SHA-256 (RFC 5803, the
// form of rolpassword in pg_authid), which it also takes in the place of the password, with
// any password_encryption. The password is of printable ASCII, which needs no preparation
// by SASLprep.
func scramVerifier(password string) (string, error) {
	for _, c := range []byte(password) {
		if c < ' ' || c > '~' {
			return "", errors.New("a password for replication is of printable ASCII characters")
		}
	}
	salt := make([]byte, scramSalt)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramIterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive the verifier of a password: %w", err)
	}
	stored := sha256.Sum256(keyed(salted, "Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramIterations, encode(salt), encode(stored[:]), encode(keyed(salted, "Server Key"))), nil
}

func keyed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
