package setup

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"mcctl/pkg/wire"
)

// Material is what a joining host gets for its token.
type Material struct {
	Certificate []byte `json:"certificate"` // DER
	Authority   []byte `json:"authority"`   // DER
	PairTOML    string `json:"pair_toml"`
	// Of the first server's PostgreSQL; nothing of it goes to an arbiter.
	Replicator string `json:"replicator,omitempty"`
	Password   string `json:"password,omitempty"`
	Database   string `json:"database,omitempty"`
	User       string `json:"user,omitempty"`
	Bin        string `json:"bin,omitempty"`
	Socket     string `json:"socket,omitempty"`
	Major      int    `json:"major,omitempty"`
	SystemID   uint64 `json:"system_id,omitempty"`
	// Apart: its configuration files are not in its data directory, so that no copy has them.
	Apart bool `json:"apart,omitempty"`
	// WAL is where its pg_wal leads, if that is a link.
	WAL string `json:"wal,omitempty"`
}

// plea is what a joining host says first, thanks what it says when the material is on
// its disk; it comes back as a proof that it was heard.
type plea struct {
	Secret  string `json:"secret"`
	Request []byte `json:"request"` // for a certificate, PKCS #10
}

type grant struct {
	Error    string    `json:"error,omitempty"`
	Material *Material `json:"material,omitempty"`
}

type thanks struct {
	Saved bool `json:"saved"`
}

const (
	// exchangeLimit bounds one conversation: a stranger must not hold up the next.
	exchangeLimit = 10 * time.Second
	// exchangeSize bounds what either side sends, in bytes.
	exchangeSize = 256 << 10
)

// talk is one side of a conversation in JSON.
type talk struct {
	net.Conn
	in *json.Decoder
}

func newTalk(conn net.Conn) talk {
	return talk{conn, json.NewDecoder(io.LimitReader(conn, exchangeSize))}
}

func (t talk) say(v any) error  { return json.NewEncoder(t).Encode(v) }
func (t talk) hear(v any) error { return t.in.Decode(v) }

// ask joins by a token: save gets the material and puts it on the disk before the first
// server is told that the token has served. Whether that one heard so is no error: until
// it does it waits, to the end of the token.
func (t Token) ask(ctx context.Context, request []byte, deadline time.Time, save func(*Material) error) (heard bool, err error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	dialer := tls.Dialer{Config: wire.Meet([32]byte(t.CA), wire.Identity{Pair: t.Pair, Name: t.By})}
	conn, err := dialer.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return false, fmt.Errorf("join at %s: %w; mcctl init --serve-token must be running on the first server, and a firewall must let this host in", t.Address, err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return false, fmt.Errorf("join at %s: %w", t.Address, err)
	}
	talk, got := newTalk(conn), grant{}
	if err := errors.Join(talk.say(plea{t.Secret, request}), talk.hear(&got)); err != nil {
		return false, fmt.Errorf("join at %s: %w; run mcctl init --join again", t.Address, err)
	}
	if got.Error != "" || got.Material == nil {
		return false, fmt.Errorf("join at %s: the first server refuses: %s", t.Address, got.Error)
	}
	if err := save(got.Material); err != nil {
		return false, err
	}
	var back thanks
	failed := errors.Join(talk.say(thanks{true}), talk.hear(&back))
	return failed == nil && back.Saved, nil
}
