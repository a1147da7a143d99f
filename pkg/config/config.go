// Package config reads the management directory: pair.toml, the same on both
// servers; server.toml, of this server; arbiter.toml, on an arbiter's host. It
// gives defaults, refuses whatever it does not know, checks how the timings stand
// to each other, and tells all problems at once with file and line.
//
// It does not look whether PostgreSQL, certificates or peers are really there:
// whoever uses them says so. A Config never changes after Load, but for what Timings
// and Policy tell after a reload (Adopt). Called by cli, agent and witness; handed read-only to the stages.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/BurntSushi/toml"

	"mcctl/pkg/pair"
)

// Names of the files in a management directory.
const (
	PairFile    = "pair.toml"
	ServerFile  = "server.toml"
	ArbiterFile = "arbiter.toml"
)

// Config is everything an operator has said about one server and its pair.
type Config struct {
	Dir    string // the management directory, absolute
	Pair   Pair
	Server Server

	adopted *atomic.Pointer[Pair] // what a reload has brought into force
}

// Defaults is a configuration in which everything that can be left out has been.
// It is not valid as it stands: the required keys are empty.
func Defaults() Config {
	return Config{Pair: defaultPair(), Server: defaultServer(), adopted: &atomic.Pointer[Pair]{}}
}

// Load reads and checks a server's management directory. The paths in the result
// are absolute. The error joins one Problem for everything that must be mended;
// a missing file is fs.ErrNotExist as well.
func Load(dir string) (*Config, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find management directory %s: %w", dir, err)
	}
	c := Defaults()
	c.Dir = dir
	pairs, server := open(c.Path(PairFile)), open(c.Path(ServerFile))
	if err := c.read(pairs, server); err != nil {
		return nil, err
	}
	return &c, nil
}

// Check tells what Load would say of a management directory whose files had these
// texts.
func Check(dir, pairText, serverText string) (*Config, error) {
	c := Defaults()
	c.Dir = dir
	if err := c.read(parse(PairFile, pairText), parse(ServerFile, serverText)); err != nil {
		return nil, err
	}
	return &c, nil
}

func (c *Config) read(pairs, server *source) error {
	c.Pair.Timings = pairs.profile()
	pairs.fill(&c.Pair)
	c.Pair.Arbiter.Etcd.resolve(c.Dir)
	c.Pair.check(pairs)
	server.fill(&c.Server)
	c.Server.resolve(c.Dir)
	c.Server.check(server)
	c.Server.checkName(server, c.Pair, pairs)
	c.Server.checkArbitration(server, c.Pair)
	return errors.Join(pairs.err(), server.err())
}

// Path is the path of something below the management directory.
func (c *Config) Path(elements ...string) string {
	return filepath.Join(append([]string{c.Dir}, elements...)...)
}

// Me is this server.
func (c *Config) Me() pair.Server { return pair.Server(c.Server.Name) }

// Other is the other server of the pair.
func (c *Config) Other() pair.Server {
	for name := range c.Pair.Servers {
		if s := pair.Server(name); s != c.Me() {
			return s
		}
	}
	return "" // not after Load, which demands two
}

// Endpoint holds the addresses of one server; they are empty for a server that is
// not of this pair.
func (c *Config) Endpoint(s pair.Server) Endpoint { return c.Pair.Servers[string(s)] }

// TLS tells where this server's certificates are, as absolute paths.
func (c *Config) TLS() TLS { return c.Server.TLS }

// Encode writes a Pair, Server or Arbiter in the form in which Load reads it, every
// key with its value in force.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := toml.NewEncoder(&b)
	enc.Indent = ""
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	return b.Bytes(), nil
}
