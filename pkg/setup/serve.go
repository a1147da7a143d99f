package setup

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
	"mcctl/pkg/shell"
	"mcctl/pkg/wire"
)

// arbiterName is an arbiter's name in its certificate, which is of no pair.
const arbiterName = "arbiter"

// ServeOptions say whom a first server waits for.
type ServeOptions struct {
	Arbiter bool          // an arbiter, else the second server
	Life    time.Duration // how long the token may be used
	// Listen is where to wait, which the token says; empty: the supervisor's address or,
	// while that one runs, any port beside it. From every address of this host (0.0.0.0)
	// the token says the supervisor's.
	Listen string
	// CA is the directory of the pair's authority; empty: where mcctl init made it.
	CA string
	// Token gets the token once the server listens.
	Token func(Token)
}

// ErrTokenEnded tells that nobody came in time.
var ErrTokenEnded = errors.New("nobody joined before the token ended; make another one with mcctl init --serve-token")

// Serve waits until the one who has the token has joined. It listens by itself, beside
// a supervisor or without one: strangers without a certificate are nothing that a
// supervisor should have to deal with. One conversation is held at a time.
func (s *Setup) Serve(ctx context.Context, opt ServeOptions) error {
	kind, _, finished, err := s.Load()
	if err != nil {
		return err
	}
	// The second server may have the authority too: the first one may be lost.
	if kind != First && kind != Second || !finished {
		return fmt.Errorf("serve a token: %s is not the complete management directory of a server of a pair", s.Dir)
	}
	c, err := config.Load(s.Dir)
	if err != nil {
		return err
	}
	identity, fingerprint, err := wire.Introduce(c.TLS().CA, c.TLS().Certificate, c.TLS().Key)
	if err != nil {
		return err
	}
	authority := cmp.Or(opt.CA, s.path(caDir))
	if err := wire.IsCA(authority, fingerprint); err != nil {
		return fmt.Errorf("serve a token: %w; bring the pair's authority back there, or say where it is with --ca", err)
	}
	// What the operator has edited since counts.
	p, server := &s.state.Plan, c.Server
	p.DataDirectory, p.Bin, p.Socket, p.User, p.Database = server.DataDirectory, server.BinDirectory, server.Postgres.SocketDirectory, server.Postgres.User, server.Postgres.Database
	p.Replication = c.Endpoint(c.Me()).Replication
	p.noteFiles(server.ConfigFile, server.HBAFile, server.IdentFile)
	h := &host{setup: s, config: c, authority: authority, name: arbiterName, who: wire.Identity{Name: arbiterName}}
	if !opt.Arbiter {
		h.name = string(c.Other())
		h.who = wire.Identity{Pair: c.Pair.Name, Name: h.name}
		if err := s.mayBeCopied(ctx); err != nil {
			return err
		}
		if _, err := password(c); err != nil {
			return fmt.Errorf("serve a token: %w", err)
		}
	}
	admin := c.Endpoint(c.Me()).Admin
	ln, err := listen(ctx, opt.Listen, admin)
	if err != nil {
		return err
	}
	defer ln.Close()
	ends := s.Now().Add(opt.Life)
	if err := ln.SetDeadline(ends); err != nil {
		return fmt.Errorf("serve a token: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	reach, _ := split(admin)
	if host, _ := split(opt.Listen); host != "" && !net.ParseIP(host).IsUnspecified() {
		reach = host
	}
	_, port := split(ln.Addr().String())
	token := Token{
		Address: net.JoinHostPort(reach, fmt.Sprint(port)), CA: fingerprint[:], Secret: rand.Text(),
		Pair: c.Pair.Name, By: string(c.Me()), Name: h.name, Ends: ends,
	}
	h.secret = sha256.Sum256([]byte(token.Secret))
	opt.Token(token)
	return h.wait(ctx, ln, identity)
}

// listen takes the wanted address, else the supervisor's or, where that one runs,
// another port of it.
func listen(ctx context.Context, wanted, admin string) (*net.TCPListener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", cmp.Or(wanted, admin))
	if errors.Is(err, syscall.EADDRINUSE) && wanted == "" {
		host, _ := split(admin)
		ln, err = lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("serve a token: %w", err)
	}
	return ln.(*net.TCPListener), nil // "tcp" makes no other
}

// mayBeCopied finds out what would only show when the second server is half made.
func (s *Setup) mayBeCopied(ctx context.Context) error {
	session, err := s.instance().Connect(ctx)
	if err != nil {
		return fmt.Errorf("serve a token: %w; start PostgreSQL first: mcctl start -M %s", err, shell.Word(s.Dir))
	}
	defer session.Close()
	standby, err := session.InRecovery(ctx)
	if err != nil {
		return err
	}
	if standby {
		return errors.New("serve a token: PostgreSQL is a standby here, but the second server copies the primary; switch first: mcctl switch")
	}
	waiting, err := s.waiting(ctx)
	if err == nil && len(waiting) > 0 {
		err = fmt.Errorf("serve a token: PostgreSQL has to be restarted first (%s), for %s", s.howToRestart(), strings.Join(waiting, ", "))
	}
	return err
}

// host is the side of the first server.
type host struct {
	setup  *Setup
	config *config.Config
	// authority is the directory of the pair's certificate authority.
	authority string
	name      string
	who       wire.Identity
	secret    [sha256.Size]byte
	// guest is the key that has used the token. It may come again, having been cut off;
	// no other may.
	guest []byte
}

func (h *host) wait(ctx context.Context, ln net.Listener, identity *tls.Config) error {
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return ErrTokenEnded
		case err != nil:
			return fmt.Errorf("serve a token: %w", err)
		}
		saved, err := h.converse(ctx, tls.Server(conn, identity))
		if err != nil {
			h.setup.Say(fmt.Sprintf("%s was turned away: %v", conn.RemoteAddr(), err))
		}
		if saved {
			h.setup.Say(h.name + " has joined")
			return nil
		}
	}
}

func (h *host) converse(ctx context.Context, conn net.Conn) (saved bool, err error) {
	defer conn.Close()
	if err := conn.SetDeadline(h.setup.Now().Add(exchangeLimit)); err != nil {
		return false, err
	}
	talk, p := newTalk(conn), plea{}
	if err := talk.hear(&p); err != nil {
		return false, err
	}
	m, err := h.grant(ctx, p)
	if err != nil {
		return false, errors.Join(err, talk.say(grant{Error: err.Error()}))
	}
	var t thanks
	if err := errors.Join(talk.say(grant{Material: m}), talk.hear(&t)); err != nil {
		return false, fmt.Errorf("it left before it had saved what it got, and may come again: %w", err)
	}
	if t.Saved {
		_ = talk.say(t) // unheard, the guest comes once more, and finds nobody
	}
	return t.Saved, nil
}

func (h *host) grant(ctx context.Context, p plea) (*Material, error) {
	said := sha256.Sum256([]byte(p.Secret))
	if subtle.ConstantTimeCompare(said[:], h.secret[:]) != 1 {
		return nil, errors.New("the token is not the one that is waited for; it may have been replaced by a newer one")
	}
	request, err := x509.ParseCertificateRequest(p.Request)
	if err != nil {
		return nil, fmt.Errorf("the request for a certificate cannot be read: %w", err)
	}
	if h.guest != nil && string(h.guest) != string(request.RawSubjectPublicKeyInfo) {
		return nil, errors.New("the token was used by another host already; make a new one, and find out who that was")
	}
	m := &Material{}
	if m.Certificate, m.Authority, err = wire.SignRequest(h.authority, h.who, p.Request); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(h.config.Path(config.PairFile))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", config.PairFile, err)
	}
	m.PairTOML = string(text)
	if h.who.Pair != "" {
		if err := h.aboutPostgres(ctx, m); err != nil {
			return nil, err
		}
	}
	h.guest = request.RawSubjectPublicKeyInfo
	return m, nil
}

// aboutPostgres adds what a copy takes, and has the log kept from now on, which the
// copy will need to follow.
func (h *host) aboutPostgres(ctx context.Context, m *Material) error {
	s, c := h.setup, h.config.Server
	in := &postgres.Instance{
		Data: c.DataDirectory, Bin: c.BinDirectory, Socket: c.Postgres.SocketDirectory, Port: c.Postgres.Port,
		User: c.Postgres.User, Database: c.Postgres.Database, Passfile: c.Postgres.Passfile,
	}
	control, err := in.Control()
	if err != nil {
		return err
	}
	if m.Major, err = in.Version(ctx); err != nil {
		return err
	}
	if m.Password, err = password(h.config); err != nil {
		return err
	}
	session, err := in.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := session.EnsureSlot(ctx, settings.Slot(h.config.Other())); err != nil {
		return err
	}
	layout, err := in.Layout()
	if err != nil {
		return err
	}
	p := s.state.Plan
	m.WAL, m.SystemID, m.Apart = layout.WAL, control.SystemID, !p.isCopied()
	m.Replicator, m.Database, m.User, m.Bin, m.Socket = c.Replication.User, c.Postgres.Database, c.Postgres.User, c.BinDirectory, c.Postgres.SocketDirectory
	return nil
}
