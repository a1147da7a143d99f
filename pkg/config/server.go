package config

import (
	"cmp"
	"path/filepath"
)

// Server is server.toml: what holds on one server only. After Load every path is
// absolute; a relative one is meant from the management directory.
type Server struct {
	// Name is which server of the pair this is.
	Name string `toml:"server"`
	// DataDirectory is PostgreSQL's, BinDirectory where its programs are.
	DataDirectory string `toml:"data_directory"`
	BinDirectory  string `toml:"bin_directory"`
	// ConfigFile, HBAFile and IdentFile are in the data directory unless said
	// otherwise. PostgreSQL takes the last two from hba_file and ident_file in its own
	// configuration; here they matter only if that does not say them.
	ConfigFile string `toml:"config_file"`
	HBAFile    string `toml:"hba_file"`
	IdentFile  string `toml:"ident_file"`
	// LogFile takes what PostgreSQL writes to its standard error; empty for
	// log/postgresql.log in the management directory.
	LogFile     string      `toml:"log_file"`
	Postgres    Postgres    `toml:"postgres"`
	Replication Replication `toml:"replication"`
	TLS         TLS         `toml:"tls"`
	Commands    Commands    `toml:"commands"`
}

// Postgres says how the supervisor connects to its own PostgreSQL.
type Postgres struct {
	// SocketDirectory is one of PostgreSQL's unix_socket_directories.
	SocketDirectory string `toml:"socket_directory"`
	// Port is the one that the socket is named after.
	Port int `toml:"port"`
	// User is a superuser.
	User string `toml:"user"`
	// Database is any that User may connect to.
	Database string `toml:"database"`
	// Passfile is a libpq password file; empty where none is needed.
	Passfile string `toml:"passfile"`
}

// Replication says how this server's standby connects to the other server.
type Replication struct {
	// User is a role with the attribute REPLICATION.
	User string `toml:"user"`
	// Passfile is a libpq password file, mode 0600; empty where none is needed.
	Passfile string `toml:"passfile"`
	// Options holds further libpq keywords, such as "sslmode=verify-full", but no secret: it can
	// be read in many places. A rewind or a copy
	// gives up a source whose host has been gone for a minute, by libpq's keepalives and
	// tcp_user_timeout; those named here win.
	Options string `toml:"options"`
}

// TLS names the files by which the supervisors and the arbiter know each other,
// all in PEM. Renewed ones count from the next connection on, without a restart.
type TLS struct {
	// CA is the authority's certificate.
	CA string `toml:"ca"`
	// Certificate is this server's or arbiter's own.
	Certificate string `toml:"certificate"`
	// Key belongs to Certificate; mode 0600, owned by the user that runs mcctl.
	Key string `toml:"key"`
}

func defaultServer() Server {
	return Server{Postgres: Postgres{User: "postgres", Database: "postgres"}, Commands: defaultCommands()}
}

// resolve fills in the paths that follow from others and makes all of them absolute.
func (s *Server) resolve(dir string) {
	absolute(dir, &s.DataDirectory, &s.BinDirectory, &s.ConfigFile, &s.HBAFile, &s.IdentFile, &s.LogFile,
		&s.Postgres.SocketDirectory, &s.Postgres.Passfile, &s.Replication.Passfile)
	s.TLS.resolve(dir)
	s.Commands.resolve(dir)
	s.ConfigFile = cmp.Or(s.ConfigFile, filepath.Join(s.DataDirectory, "postgresql.conf"))
	s.HBAFile = cmp.Or(s.HBAFile, filepath.Join(s.DataDirectory, "pg_hba.conf"))
	s.IdentFile = cmp.Or(s.IdentFile, filepath.Join(s.DataDirectory, "pg_ident.conf"))
	s.LogFile = cmp.Or(s.LogFile, filepath.Join(dir, "log", "postgresql.log"))
}

func (t *TLS) resolve(dir string) { absolute(dir, &t.CA, &t.Certificate, &t.Key) }

// absolute puts dir before every path that is relative; an empty one stays empty.
func absolute(dir string, paths ...*string) {
	for _, path := range paths {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
}

// socketPathMax is what sockaddr_un holds on Linux, less the closing zero byte.
const socketPathMax = 107

func (s *Server) check(at *source) {
	at.require("server", s.Name)
	at.require("data_directory", s.DataDirectory)
	at.require("bin_directory", s.BinDirectory)
	s.Postgres.check(at)
	at.require("replication.user", s.Replication.User)
	s.Replication.checkOptions(at)
	at.secret("replication.passfile", s.Replication.Passfile)
	s.TLS.check(at)
	s.Commands.check(at)
}

func (p *Postgres) check(at *source) {
	at.require("postgres.socket_directory", p.SocketDirectory)
	at.require("postgres.user", p.User)
	at.require("postgres.database", p.Database)
	if !at.has("postgres.port") {
		at.require("postgres.port", "")
	} else if p.Port < 1 || p.Port > 65535 {
		at.complain("postgres.port", "%d is not a port; write a number from 1 to 65535", p.Port)
	}
	if n := len(filepath.Join(p.SocketDirectory, ".s.PGSQL.65535")); n > socketPathMax {
		at.complain("postgres.socket_directory", "the socket's path would have %d bytes, but a socket allows %d; choose a shorter directory", n, socketPathMax)
	}
	at.secret("postgres.passfile", p.Passfile)
}

func (t *TLS) check(at *source) {
	at.require("tls.ca", t.CA)
	at.require("tls.certificate", t.Certificate)
	at.require("tls.key", t.Key)
	at.secret("tls.key", t.Key)
}

// checkName compares the name with those in pair.toml, unless that could not be read.
func (s *Server) checkName(at *source, p Pair, pairs *source) {
	if _, known := p.Servers[s.Name]; known || pairs.broken || s.Name == "" {
		return
	}
	at.complain("server", "%q is not in %s, which has %q", s.Name, PairFile, p.Names())
}
