package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"mcctl/pkg/conffiles"
	"mcctl/pkg/config"
	"mcctl/pkg/pair"
	"mcctl/pkg/pgconf"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
	"mcctl/pkg/wire"
)

// NeedsToken tells whether a join that was cut off has not got its material yet.
func (s *Setup) NeedsToken() bool { return s.state.Material == nil }

// Join makes the directory of the second server, and its data directory as a copy of
// the first server's. PostgreSQL is not started: mcctl start does that.
func (s *Setup) Join(ctx context.Context, token Token, plan Plan) error {
	kind, _, _, err := s.Load()
	if err == nil {
		err = plan.absolute()
	}
	if err == nil {
		err = s.isUnsupervised(plan)
	}
	if err != nil {
		return err
	}
	switch {
	case kind == "":
		err = errors.Join(s.certificatesAreFree(token.Name), plan.mayJoin(ctx, token))
	case kind == Second && !s.state.Copying:
		err = s.mayGoOn(plan)
	}
	if err := errors.Join(err, plan.hasFiles()); err != nil {
		return err
	}
	release, err := s.claim()
	if err != nil {
		return err
	}
	defer release()
	free, err := s.claimData(plan)
	if err != nil {
		return err
	}
	defer free()
	if err := s.begin(Second, plan); err != nil {
		return err
	}
	return s.run(ctx, []step{
		{"", func(context.Context) error { return s.directories("run", "log", "tls") }},
		{"making a key, and asking the first server to sign it", func(ctx context.Context) error { return s.exchange(ctx, token) }},
		{"writing the configuration of mcctl", s.writeJoined},
		{"copying the data of the first server", s.copyData},
		{"", func(context.Context) error { return s.finish() }},
	})
}

// mayGoOn looks at the directories again: no copy was begun, and something else may have
// come there since.
func (s *Setup) mayGoOn(given Plan) error {
	p := s.state.Plan
	p.reconsider(given, true)
	p.merge(given)
	return errors.Join(emptied(isFree(dataDirectory, p.DataDirectory)), mayMake(dataDirectory, p.DataDirectory), p.mayLieElsewhere())
}

// emptied says what to do where another data directory cannot be named any more.
func emptied(err error) error {
	if errors.Is(err, ErrNotEmpty) {
		return fmt.Errorf("%w; or, since this was begun with it, empty it (pg_dropcluster removes a cluster of Debian's)", err)
	}
	return err
}

func (s *Setup) exchange(ctx context.Context, token Token) error {
	if s.state.Material != nil {
		s.thankAgain(ctx)
		return nil
	}
	if token.Name == "" {
		return ErrNoToken
	}
	return s.ask(ctx, token, func(m *Material) error {
		s.Say("got the certificate")
		s.state.Material, s.state.Owed, s.state.Plan.Name = m, &token, token.Name
		return s.save()
	})
}

// thankAgain ends the first server's wait where an earlier call was cut off after it had
// saved the material. Nothing here depends on it, and mostly nobody waits any more.
func (s *Setup) thankAgain(ctx context.Context) {
	if s.state.Owed != nil {
		_ = s.ask(ctx, *s.state.Owed, func(*Material) error { return nil })
	}
}

func (s *Setup) ask(ctx context.Context, token Token, save func(*Material) error) error {
	request, err := wire.NewRequest(s.path("tls"), token.Name)
	if err != nil {
		return err
	}
	heard, err := token.ask(ctx, request, s.Now().Add(exchangeLimit), save)
	if heard {
		s.state.Owed = nil
	}
	return err
}

// writeJoined writes the files that follow from the material.
func (s *Setup) writeJoined(ctx context.Context) error {
	m, p := s.state.Material, &s.state.Plan
	if err := wire.SaveCertificate(s.path("tls"), p.Name, m.Certificate, m.Authority); err != nil {
		return err
	}
	of, err := config.ReadPair(m.PairTOML)
	if err != nil {
		return err
	}
	err = s.lacks(of.Arbiter)
	if m.Apart && (p.ConfigFile == "" || p.HBAFile == "") {
		err = errors.Join(err, errors.New("the first server keeps postgresql.conf or pg_hba.conf apart from its data, or as a link there, so that a copy of the data does not have them in their place: bring copies of both files to this host, then run the same command with --config-file FILE --hba-file FILE (and --ident-file FILE)"))
	}
	if err != nil {
		return err
	}
	p.User, p.Database, p.Replicator = m.User, m.Database, m.Replicator
	if err := p.findLike(m); err != nil {
		return err
	}
	if m.WAL != "" && p.WAL == "" {
		s.Say("pg_wal of the first server lies in " + m.WAL + "; here it will lie in the data directory (--waldir DIR has it elsewhere)")
	}
	c, err := config.Check(s.Dir, m.PairTOML, p.serverTOML(1))
	if err != nil {
		return err
	}
	s.tryEtcd(ctx, c)
	here, there := c.Endpoint(c.Me()), c.Endpoint(c.Other())
	p.Pair, p.Other = c.Pair.Name, string(c.Other())
	p.Replication, p.OtherReplication = here.Replication, there.Replication
	if err := s.save(); err != nil {
		return err
	}
	_, port := split(p.Replication)
	if err := s.write(config.PairFile, m.PairTOML); err != nil {
		return err
	}
	if err := s.write(config.ServerFile, p.serverTOML(port)); err != nil {
		return err
	}
	return s.write("pgpass", p.passfile(m.Password))
}

// findLike finds programs of the first server's major version, and a place for the
// socket, preferably where the first server has them.
func (p *Plan) findLike(m *Material) error {
	for _, dir := range []string{m.Bin, fmt.Sprintf("/usr/lib/postgresql/%d/bin", m.Major), fmt.Sprintf("/usr/pgsql-%d/bin", m.Major)} {
		if _, err := os.Stat(filepath.Join(dir, "pg_basebackup")); err == nil && p.Bin == "" {
			p.Bin = dir
		}
	}
	const write = 2 // W_OK
	if p.Socket == "" && syscall.Access(m.Socket, write) == nil {
		p.Socket = m.Socket
	}
	return p.findPlaces()
}

// copyData makes the base backup beside the data directory, proves that it is one of
// the first server's cluster, and gives it its name.
func (s *Setup) copyData(ctx context.Context) error {
	in, m, p := s.instance(), s.state.Material, s.state.Plan
	if _, err := os.Stat(filepath.Join(in.Data, "PG_VERSION")); err == nil {
		return s.hasCopied()
	}
	fresh := &postgres.Instance{Data: in.Data + ".new", Bin: in.Bin}
	if _, err := os.Stat(fresh.Data); err != nil || !s.state.Copying {
		if err := s.copyBeside(ctx); err != nil {
			return err
		}
	}
	control, err := fresh.Control()
	if err != nil {
		return err
	}
	if control.SystemID != m.SystemID {
		return fmt.Errorf("the PostgreSQL at %s has another cluster (system identifier %d) than the first server (%d); check servers.%s.replication in pair.toml there", p.OtherReplication, control.SystemID, m.SystemID, p.Other)
	}
	s.Say("giving the copy its name")
	return in.Adopt(func(data string) error { return p.configureCopy(data, m.Major) })
}

// hasCopied proves that the data directory is the copy that an earlier call has made.
func (s *Setup) hasCopied() error {
	in := s.instance()
	control, err := in.Control()
	if err == nil && (!s.state.Copying || control.SystemID != s.state.Material.SystemID) {
		err = fmt.Errorf("use %s: %w", in.Data, ErrNotEmpty)
	}
	return emptied(err)
}

// hasWhole tells that a copy is whole: how it is laid out is settled then.
func (s *Setup) hasWhole() bool {
	if !s.state.Copying {
		return false
	}
	_, err := os.Stat(filepath.Join(s.state.Plan.DataDirectory, "PG_VERSION"))
	return err == nil || s.instance().HasCopy()
}

func (s *Setup) copyBeside(ctx context.Context) error {
	in, p := s.instance(), s.state.Plan
	host, port := split(p.OtherReplication)
	source := postgres.Source{Host: host, Port: port, User: p.Replicator, Database: p.Database, Passfile: s.path("pgpass"), ApplicationName: "mcctl_copy_" + p.Name}
	spaces, err := source.Tablespaces(ctx)
	if err != nil {
		return err
	}
	layout, err := p.layout(spaces)
	if err != nil {
		return err
	}
	if err := s.makeWay(spaces, layout); err != nil {
		return err
	}
	for _, dir := range append(slices.Collect(maps.Values(layout.Tablespaces)), in.Data, cmp.Or(layout.WAL, in.Data)) {
		if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
			return fmt.Errorf("copy data: %w", err)
		}
	}
	return in.BaseBackup(ctx, source, postgres.BackupOptions{Slot: settings.Slot(pair.Server(p.Name)), Known: layout, Progress: s.Progress})
}

// configureCopy makes the configuration that came with the copy this server's own.
func (p Plan) configureCopy(data string, major int) error {
	main := p.ConfigFile
	if main == "" {
		main = filepath.Join(data, "postgresql.conf")
	}
	t, err := conffiles.Read(conffiles.Roots(main, data, major))
	if err != nil {
		return err
	}
	host, port := split(p.Replication)
	setUnless(t, "port", strconv.Itoa(port), "5432", func(v string) bool { return v == strconv.Itoa(port) })
	setUnless(t, "unix_socket_directories", p.Socket, "", func(v string) bool { return v == p.Socket })
	if said, ok := t.Get("cluster_name"); ok && said.Value == p.Other {
		t.Set("cluster_name", p.Name)
	}
	// A copy of the first server's file may name that one's places.
	for name, place := range map[string]string{"data_directory": p.DataDirectory, "hba_file": p.HBAFile, "ident_file": p.IdentFile} {
		if said, ok := t.Get(name); ok && place != "" && said.Value != place {
			t.Set(name, place)
		}
	}
	addresses := "localhost"
	if said, ok := t.Get("listen_addresses"); ok {
		addresses = said.Value
	}
	if !listens(addresses, host) {
		t.Set("listen_addresses", "localhost,"+host)
	}
	if err := conffiles.Write(t); err != nil {
		return err
	}
	hba := p.HBAFile
	if hba == "" {
		hba = filepath.Join(data, "pg_hba.conf")
	}
	return editFile(hba, func(text []byte) []byte { return withHBA(text, p.hbaLines()) })
}

// setUnless sets a parameter unless what is said of it, or its default, serves.
func setUnless(t *pgconf.Tree, name, value, byDefault string, serves func(string) bool) {
	is := byDefault
	if said, ok := t.Get(name); ok {
		is = said.Value
	}
	if !serves(is) {
		t.Set(name, value)
	}
}
