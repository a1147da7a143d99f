package setup

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/wire"
)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHBALinesComeBeforeTheFirstRule(t *testing.T) {
	p := Plan{Replication: "192.0.2.1:5432", OtherReplication: "[2001:db8::2]:5432", Replicator: "r", Database: "postgres"}
	const site = "# head\n\n# about the rule\nhost all all 0.0.0.0/0 reject\n"
	const want = `# head

# mcctl: the servers of the pair copy from each other and follow each other.
host  replication  "r"  192.0.2.1/32  scram-sha-256
host  "postgres"  "r"  192.0.2.1/32  scram-sha-256
host  replication  "r"  2001:db8::2/128  scram-sha-256
host  "postgres"  "r"  2001:db8::2/128  scram-sha-256

# about the rule
host all all 0.0.0.0/0 reject
`
	got := string(withHBA([]byte(site), p.hbaLines()))
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if again := string(withHBA([]byte(got), p.hbaLines())); again != got {
		t.Errorf("a second time it becomes\n%s", again)
	}
	for text, want := range map[string]string{"": "", "# only a comment": "# only a comment\n", "local all all peer": ""} {
		if got := string(withHBA([]byte(text), p.hbaLines())); !strings.HasPrefix(got, want+hbaComment) {
			t.Errorf("%q becomes\n%s", text, got)
		}
	}
}

func TestHBAQuotesNames(t *testing.T) {
	p := Plan{Replication: "192.0.2.1:5432", OtherReplication: "192.0.2.1:5433", Replicator: `a"b c`, Database: "all"}
	if got, want := p.hbaLines()[1], `host  "all"  "a""b c"  192.0.2.1/32  scram-sha-256`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestListens(t *testing.T) {
	for _, c := range []struct {
		addresses, host string
		want            bool
	}{
		{"*", "192.0.2.1", true},
		{"localhost", "192.0.2.1", false},
		{"localhost, 192.0.2.1", "192.0.2.1", true},
		{"0.0.0.0", "192.0.2.1", true},
		{"0.0.0.0", "2001:db8::1", false},
		{"::", "2001:db8::1", true},
		{"", "192.0.2.1", false},
	} {
		if got := listens(c.addresses, c.host); got != c.want {
			t.Errorf("%q for %s: %t", c.addresses, c.host, got)
		}
	}
}

func TestPassfileHasBothServers(t *testing.T) {
	p := Plan{Replication: "[2001:db8::1]:5432", OtherReplication: "db2:5433", Replicator: "r"}
	if got, want := p.passfile(`a:\`), `2001\:db8\:\:1:5432:*:r:a\:\\`+"\n"+`db2:5433:*:r:a\:\\`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What the second server gets is what this one goes by, wherever the operator has put it.
func TestThePasswordThatIsHandedOut(t *testing.T) {
	s := authority(t)
	site := filepath.Join(t.TempDir(), "pass")
	text, err := os.ReadFile(s.path(config.ServerFile))
	ok(t, err)
	ok(t, os.WriteFile(s.path(config.ServerFile), []byte(strings.ReplaceAll(string(text), `"pgpass"`, fmt.Sprintf("%q", site))), 0o600))
	for lines, want := range map[string]string{
		"# see: there\n127.0.0.1:1:*:r:new\n127.0.0.2:1:*:r:new\n": "new",
		"127.0.0.2:1:replication:r:new\n":                          "new",
		"*:*:*:*:new\n":                                            "new",
		"127.0.0.1:1:*:r:old\n127.0.0.2:1:*:r:new\n":               site + " has one password of r for 127.0.0.1:1 and another for 127.0.0.2:1, but it is one role: write the one that is in force into both lines",
		"127.0.0.1:1:*:s:new\n":                                    site + " has no password for r at 127.0.0.1, port 1; write it there: 127.0.0.1:1:*:r:PASSWORD",
	} {
		ok(t, os.WriteFile(site, []byte(lines), 0o600))
		c, err := config.Load(s.Dir)
		ok(t, err)
		got, err := password(c)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", lines, got, want)
		}
	}
}

func TestToken(t *testing.T) {
	now := time.Now()
	token := Token{Address: "192.0.2.1:27540", CA: make([]byte, 32), Secret: "s", Pair: "p", By: "server1", Name: "server2", Ends: now.Add(time.Minute).Round(0)}
	back, err := ParseToken("  "+token.String()+"\n", now)
	ok(t, err)
	if back.String() != token.String() {
		t.Errorf("read back %+v, want %+v", back, token)
	}
	if _, err := ParseToken(token.String(), now.Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "the token ended at") {
		t.Errorf("an hour later: %v", err)
	}
	for _, text := range []string{"", "hello", token.String()[:30], tokenPrefix + "e30"} {
		if _, err := ParseToken(text, now); !errors.Is(err, ErrNoToken) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// authority is a first server's directory as far as an arbiter's token needs it, which
// is no PostgreSQL.
func authority(t *testing.T) *Setup {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	address := ln.Addr().String()
	ok(t, ln.Close())
	s := quiet(t.TempDir())
	s.state = state{Kind: First, Plan: Plan{
		Pair: "p", Name: "server1", Other: "server2", Admin: address, Replication: "127.0.0.1:1", OtherAdmin: "127.0.0.2:2", OtherReplication: "127.0.0.2:1",
		ArbiterKind: "none", DataDirectory: "/nowhere", Bin: "/bin", Socket: "/tmp", User: "u", Database: "d", Replicator: "r",
	}}
	for _, step := range []func(context.Context) error{
		func(context.Context) error { return s.directories("tls", caDir) }, s.certify, s.writeFiles,
	} {
		ok(t, step(t.Context()))
	}
	ok(t, s.finish())
	return s
}

func quiet(dir string) *Setup {
	return &Setup{Dir: dir, Now: time.Now, Say: func(string) {}, Agree: func(context.Context, string, string) (bool, error) { return false, nil }}
}

// serve waits for an arbiter; the outcome comes over the channel.
func serve(t *testing.T, s *Setup, life time.Duration) (Token, <-chan error) {
	t.Helper()
	tokens, ended := make(chan Token, 1), make(chan error, 1)
	go func() {
		ended <- s.Serve(t.Context(), ServeOptions{Arbiter: true, Life: life, Token: func(t Token) { tokens <- t }})
	}()
	select {
	case token := <-tokens:
		return token, ended
	case err := <-ended:
		t.Fatal(err)
		panic("not reached")
	}
}

func ask(t *testing.T, token Token, dir string, save func(*Material) error) error {
	t.Helper()
	request, err := wire.NewRequest(dir, arbiterName)
	ok(t, err)
	_, err = token.ask(t.Context(), request, time.Now().Add(time.Minute), save)
	return err
}

func TestATokenServesOneHost(t *testing.T) {
	token, ended := serve(t, authority(t), time.Minute)
	first, other := t.TempDir(), t.TempDir()
	keep := func(*Material) error { return nil }

	wrong := token
	wrong.Secret = "guessed"
	if err := ask(t, wrong, other, keep); err == nil || !strings.Contains(err.Error(), "the token is not the one that is waited for") {
		t.Errorf("with a wrong secret: %v", err)
	}
	cut := errors.New("cut off")
	if err := ask(t, token, first, func(*Material) error { return cut }); !errors.Is(err, cut) {
		t.Errorf("cut off: %v", err)
	}
	if err := ask(t, token, other, keep); err == nil || !strings.Contains(err.Error(), "the token was used by another host already") {
		t.Errorf("another host: %v", err)
	}
	err := ask(t, token, first, func(m *Material) error {
		if m.Password != "" || m.SystemID != 0 {
			t.Error("an arbiter is told of PostgreSQL")
		}
		return wire.SaveCertificate(first, arbiterName, m.Certificate, m.Authority)
	})
	ok(t, err)
	ok(t, <-ended)
	own, err := wire.LoadTLS(filepath.Join(first, "ca.crt"), filepath.Join(first, "arbiter.crt"), filepath.Join(first, "arbiter.key"))
	ok(t, err)
	if own.Own != (wire.Identity{Name: arbiterName}) {
		t.Errorf("the certificate is %s's", own.Own)
	}
	if err := ask(t, token, first, keep); err == nil {
		t.Error("it serves on")
	}
}

// A guest that was cut off between saving what it got and saying so is not waited for
// until the token ends: called again, it says so.
func TestThanksAreSaidAgain(t *testing.T) {
	token, ended := serve(t, authority(t), time.Minute)
	guest, cut := quiet(t.TempDir()), errors.New("cut off")
	guest.state = state{Kind: Arbiter, Owed: &token}
	err := guest.ask(t.Context(), token, func(m *Material) error {
		guest.state.Material = m
		return errors.Join(guest.save(), cut)
	})
	if !errors.Is(err, cut) {
		t.Fatal(err)
	}
	again := quiet(guest.Dir)
	ok(t, again.MakeArbiter(t.Context(), Token{}, Plan{}))
	ok(t, <-ended)
	if again.state.Owed != nil {
		t.Error("the token's secret is kept")
	}
}

// What would only show when somebody has come is looked at before a token is shown.
func TestNoTokenWithoutTheAuthority(t *testing.T) {
	s := authority(t)
	away := filepath.Join(t.TempDir(), "safe")
	ok(t, os.Rename(s.path(caDir), away))
	err := s.Serve(t.Context(), ServeOptions{Arbiter: true, Life: time.Minute, Token: func(Token) { t.Error("a token is shown") }})
	if err == nil || !strings.Contains(err.Error(), "bring the pair's authority back there, or say where it is with --ca") {
		t.Error(err)
	}
	ok(t, os.Rename(away, s.path(caDir)))
}

// The token says the address that was named, and the supervisor's for all of this host.
func TestATokenSaysWhereItIsWaitedFor(t *testing.T) {
	for listen, want := range map[string]string{"127.0.0.9:0": "127.0.0.9", "0.0.0.0:0": "127.0.0.1", "": "127.0.0.1"} {
		s := authority(t)
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Serve(ctx, ServeOptions{Arbiter: true, Life: time.Minute, Listen: listen, Token: func(token Token) {
			if host, _ := split(token.Address); host != want {
				t.Errorf("--listen %s: the token says %s", listen, token.Address)
			}
			cancel()
		}})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// Where postgresql.conf was moved since, a copy has none, which is to be said before it is made.
func TestATokenKnowsOfFilesThatWereMoved(t *testing.T) {
	s := authority(t)
	moved := filepath.Join(t.TempDir(), "postgresql.conf")
	text, err := os.ReadFile(s.path(config.ServerFile))
	ok(t, err)
	ok(t, os.WriteFile(moved, nil, 0o600))
	ok(t, os.WriteFile(s.path(config.ServerFile), fmt.Appendf(nil, "config_file = %q\n%s", moved, text), 0o600))
	_, ended := serve(t, s, 10*time.Millisecond)
	if err := <-ended; !errors.Is(err, ErrTokenEnded) || s.state.Plan.ConfigFile != moved || s.state.Plan.HBAFile != "" {
		t.Errorf("%v; it takes %q and %q for apart", err, s.state.Plan.ConfigFile, s.state.Plan.HBAFile)
	}
}

func TestATokenEnds(t *testing.T) {
	_, ended := serve(t, authority(t), 10*time.Millisecond)
	if err := <-ended; !errors.Is(err, ErrTokenEnded) {
		t.Error(err)
	}
}

// Who answers at the address without the authority's key learns no secret.
func TestATokenIsShownToNobodyElse(t *testing.T) {
	real, other := authority(t), authority(t)
	identity, fingerprint, err := wire.Introduce(real.path("tls", "ca.crt"), real.path("tls", "server1.crt"), real.path("tls", "server1.key"))
	ok(t, err)
	forged, err := tls.LoadX509KeyPair(other.path("tls", "server1.crt"), other.path("tls", "server1.key"))
	ok(t, err)
	// The authority's certificate is public: showing it proves nothing.
	forged.Certificate = append(forged.Certificate, identity.Certificates[0].Certificate[1])
	honest, _, err := wire.Introduce(other.path("tls", "ca.crt"), other.path("tls", "server1.crt"), other.path("tls", "server1.key"))
	ok(t, err)
	// Members of the same authority are not the server that waits.
	others := map[string]*tls.Config{}
	for _, who := range []wire.Identity{{Name: arbiterName}, {Pair: "q", Name: "server1"}, {Pair: "p", Name: "server2"}} {
		dir := t.TempDir()
		ok(t, wire.NewCertificate(real.path(caDir), who.Pair, who.Name, dir))
		others[who.String()], _, err = wire.Introduce(real.path("tls", "ca.crt"), filepath.Join(dir, who.Name+".crt"), filepath.Join(dir, who.Name+".key"))
		ok(t, err)
	}
	others["another authority"] = honest
	others["a forged chain"] = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{forged}}
	for what, config := range others {
		ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
		ok(t, err)
		heard := make(chan int, 1)
		go func() {
			conn, err := ln.Accept()
			if err != nil {
				heard <- -1
				return
			}
			defer conn.Close()
			n, _ := conn.Read(make([]byte, 100))
			heard <- n
		}()
		token := Token{Address: ln.Addr().String(), CA: fingerprint[:], Secret: "secret", Pair: "p", By: "server1", Name: arbiterName}
		if err := ask(t, token, t.TempDir(), func(*Material) error { return nil }); err == nil {
			t.Errorf("%s was believed", what)
		}
		if n := <-heard; n > 0 {
			t.Errorf("%s heard %d bytes", what, n)
		}
		ok(t, ln.Close())
	}
}

// An authority of another pair would sign what nobody of this one accepts.
func TestATokenIsOfThePairsOwnAuthority(t *testing.T) {
	s, other := authority(t), authority(t)
	opt := ServeOptions{Arbiter: true, Life: time.Minute, CA: other.path(caDir), Token: func(Token) { t.Error("a token was shown") }}
	if err := s.Serve(t.Context(), opt); err == nil || !strings.Contains(err.Error(), "is another one than this server's certificate is from") {
		t.Error(err)
	}
}

func TestAnArbiterByItsAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "arbiter")
	s := quiet(dir)
	if err := s.MakeArbiter(t.Context(), Token{}, Plan{}); !errors.Is(err, ErrNoAuthority) {
		t.Errorf("without an authority: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it has begun")
	}
	ok(t, s.MakeArbiter(t.Context(), Token{}, Plan{CA: authority(t).path(caDir)}))
	if _, err := wire.LoadTLS(s.path("tls", "ca.crt"), s.path("tls", "arbiter.crt"), s.path("tls", "arbiter.key")); err != nil {
		t.Error(err)
	}
}
