package setup

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Token is what the second server or an arbiter has to know to join: one line, made to
// be carried by a person. Whoever has it may join until it ends, in place of the one
// it was made for.
type Token struct {
	Address string    `json:"a"` // where the first server waits
	CA      []byte    `json:"f"` // SHA-256 of its authority's certificate
	Secret  string    `json:"s"`
	Pair    string    `json:"p"`
	By      string    `json:"b"` // the server that waits
	Name    string    `json:"n"` // whom it was made for
	Ends    time.Time `json:"e"`
}

// tokenPrefix tells a token from other things that are pasted by mistake.
const tokenPrefix = "mcctl-join-1."

// ErrNoToken tells that a text is not a token.
var ErrNoToken = errors.New("this is no token: it is one line that begins with " + tokenPrefix + ", as mcctl init --serve-token prints it")

// String is the line to carry.
func (t Token) String() string {
	b, err := json.Marshal(t)
	if err != nil {
		panic("setup: encode token: " + err.Error()) // our own plain struct always encodes
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads what String wrote; white space around it does no harm. A token that
// has ended is an error that says so.
func ParseToken(text string, now time.Time) (t Token, err error) {
	body, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	if !ok {
		return t, ErrNoToken
	}
	b, err := base64.RawURLEncoding.DecodeString(body)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil || len(t.CA) != 32 || t.Address == "" || t.Secret == "" || t.Pair == "" || t.By == "" {
		return t, fmt.Errorf("%w; a part of it is missing", ErrNoToken)
	}
	if now.After(t.Ends) {
		return t, fmt.Errorf("the token ended at %s; make another one on the first server: mcctl init --serve-token", t.Ends.Local().Format(time.DateTime))
	}
	return t, nil
}
