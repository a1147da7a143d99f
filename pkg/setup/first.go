package setup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mcctl/pkg/config"
	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// ErrDeclined tells that the edits were shown and not agreed to. Nothing was changed.
var ErrDeclined = errors.New("the edits were not agreed to; nothing was changed")

// First makes the directory of a pair's first server: with a new cluster where the
// data directory is missing or empty, else over the PostgreSQL that runs there. It
// ends with PostgreSQL running. The names of the settings that wait for a restart to
// which nobody has agreed come back.
func (s *Setup) First(ctx context.Context, plan Plan) (waiting []string, err error) {
	kind, _, _, err := s.Load()
	if err == nil {
		err = plan.absolute()
	}
	if err == nil {
		err = s.isUnsupervised(plan)
	}
	if err != nil {
		return nil, err
	}
	switch kind {
	case "":
		plan, err = s.study(ctx, plan)
	case First:
		err = s.restudy(plan)
	}
	if err != nil {
		return nil, err
	}
	release, err := s.claim()
	if err != nil {
		return nil, err
	}
	defer release()
	free, err := s.claimData(plan)
	if err != nil {
		return nil, err
	}
	defer free()
	if err := s.begin(First, plan); err != nil {
		return nil, err
	}
	err = s.run(ctx, []step{
		{"", func(context.Context) error { return s.directories("run", "log", "tls", caDir) }},
		{"making the certificates", s.certify},
		{"writing the configuration of mcctl", s.writeFiles},
		{"making sure that PostgreSQL runs", s.ensureRunning},
		{"editing the configuration of PostgreSQL", s.applyEdits},
		{"", func(ctx context.Context) (err error) { waiting, err = s.restart(ctx); return err }},
		{"making the role for replication", s.ensureRole},
		{"writing the first record", s.firstRecord},
		{"", func(context.Context) error { return s.finish() }},
	})
	return waiting, err
}

// study completes a plan and finds out, without changing anything, whether it can be
// carried out. Over a running PostgreSQL it shows the edits and asks for consent.
func (s *Setup) study(ctx context.Context, p Plan) (Plan, error) {
	if err := p.complete(); err != nil {
		return p, err
	}
	c, err := p.checkAnswers(s.Dir)
	if err == nil {
		err = errors.Join(s.certificatesAreFree(p.Name), p.hasAuthority())
	}
	if err == nil {
		err = s.isNewToEtcd(ctx, c)
	}
	if err != nil {
		return p, err
	}
	entries, err := os.ReadDir(p.DataDirectory)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return p, fmt.Errorf("use data directory: %w", err)
	case len(entries) == 0:
		p.New = true
		if err := p.findPlaces(); err != nil {
			return p, err
		}
		return p, p.feasible(ctx)
	}
	if _, err := os.Stat(filepath.Join(p.DataDirectory, "PG_VERSION")); err != nil {
		return p, fmt.Errorf("use data directory %s: it is neither empty nor PostgreSQL's; name another one", p.DataDirectory)
	}
	if err := isFreeBeside(dataDirectory, p.DataDirectory); err != nil {
		return p, err
	}
	if err := p.meet(ctx); err != nil {
		return p, err
	}
	s.state.Plan = p
	e, err := s.edits(ctx)
	if err != nil {
		return p, err
	}
	if e.empty() {
		s.Say("the configuration of PostgreSQL serves as it is")
		return p, nil
	}
	s.Say(e.show())
	agreed, err := s.Agree(ctx, ForEdit, "make these edits, and have PostgreSQL read them?")
	if err == nil && !agreed {
		err = ErrDeclined
	}
	return p, err
}

// restudy measures what is answered only now like the rest before it.
func (s *Setup) restudy(given Plan) error {
	p := s.state.Plan
	if len(p.merge(given)) > 0 {
		return nil // begin refuses what differs
	}
	_, err := p.checkAnswers(s.Dir)
	return err
}

// ErrAnswers tells that a plan contradicts itself. Nothing was changed.
var ErrAnswers = errors.New("these answers do not make a pair")

// What consent is asked for.
const (
	ForEdit    = "edit"
	ForRestart = "restart"
)

// checkAnswers has package config judge the files that the answers would make.
func (p Plan) checkAnswers(dir string) (*config.Config, error) {
	_, port := split(p.Replication)
	q := p
	for _, text := range []*string{&q.Bin, &q.Socket} {
		if *text == "" {
			*text = "/" // found out later
		}
	}
	c, err := config.Check(dir, q.pairTOML(), q.serverTOML(port))
	if err := errors.Join(err, p.hasEtcdFiles(dir)); err != nil {
		return nil, fmt.Errorf("%w:\n%w", ErrAnswers, err)
	}
	return c, nil
}

func (s *Setup) instance() *postgres.Instance {
	p := s.state.Plan
	_, port := split(p.Replication)
	return &postgres.Instance{
		Data: p.DataDirectory, Bin: p.Bin, ConfigFile: p.ConfigFile, LogFile: s.path("log", "postgresql.log"),
		Socket: p.Socket, Port: port, User: p.User, Database: p.Database,
	}
}

func (s *Setup) certify(context.Context) error {
	p, ca := s.state.Plan, s.path(caDir)
	if _, err := os.Stat(filepath.Join(ca, "ca.crt")); err != nil {
		// A key without its certificate was left by a call that was cut off.
		if err := durable.Remove(filepath.Join(ca, "ca.key")); err != nil {
			return err
		}
		if p.CA != "" {
			err = wire.CopyCA(p.CA, ca)
		} else {
			err = wire.NewCA(ca)
		}
		if err != nil {
			return err
		}
	}
	if _, err := wire.LoadTLS(s.path("tls", "ca.crt"), s.path("tls", p.Name+".crt"), s.path("tls", p.Name+".key")); err == nil {
		return nil
	}
	return wire.NewCertificate(ca, p.Pair, p.Name, s.path("tls"))
}

func (s *Setup) writeFiles(context.Context) error {
	_, port := split(s.state.Plan.Replication)
	if err := s.write(config.PairFile, s.state.Plan.pairTOML()); err != nil {
		return err
	}
	if err := s.write(config.ServerFile, s.state.Plan.serverTOML(port)); err != nil {
		return err
	}
	return s.write("pgpass", s.state.Plan.passfile(rand.Text()))
}

// ensureRunning makes a new cluster if that was planned, and starts PostgreSQL if it
// is down through us: it is new, or a restart was cut off.
func (s *Setup) ensureRunning(ctx context.Context) error {
	in, p := s.instance(), s.state.Plan
	if _, err := os.Stat(filepath.Join(p.DataDirectory, "PG_VERSION")); err != nil && p.New {
		s.Say("creating the cluster in " + p.DataDirectory)
		if err := in.Create(ctx, postgres.CreateOptions{Locale: p.Locale, Configure: p.configureNew}); err != nil {
			return err
		}
	}
	pid, running := in.Postmaster()
	if running && s.state.Restarting && !in.Accepts(pid) { // in the middle of stopping
		if err := in.Stop(ctx, pid, postgres.Fast); err != nil {
			return err
		}
		running = false
	}
	if !running {
		if !p.New && !s.state.Restarting {
			return fmt.Errorf("no PostgreSQL is running in %s; start it, then run mcctl init again", p.DataDirectory)
		}
		return s.start(ctx)
	}
	err := untilReady(ctx, in, letInLimit) // an earlier call may have just started it
	if _, running := in.Postmaster(); err != nil && !running && s.state.Restarting && ctx.Err() == nil {
		return s.start(ctx) // or had just told it to stop, which it says only when it sets about it
	}
	return err
}

func (s *Setup) start(ctx context.Context) error {
	s.Say("starting PostgreSQL")
	in := s.instance()
	if _, err := in.Start(postgres.StartOptions{}); err != nil {
		return err
	}
	err := untilReady(ctx, in, letInLimit)
	if _, running := in.Postmaster(); err != nil && running && ctx.Err() == nil && !errors.Is(err, errKeptOut) {
		// An earlier call was cut off right after its start, and that one came first.
		return untilReady(ctx, in, letInLimit)
	}
	return err
}

// ensureRole gives the role the password of the passfile, which was written first: so
// there is never a role whose password nobody has.
func (s *Setup) ensureRole(ctx context.Context) error {
	p := s.state.Plan
	host, port := split(p.Replication)
	password, err := postgres.Source{Host: host, Port: port, User: p.Replicator, Passfile: s.path("pgpass")}.Password()
	if err != nil {
		return err
	}
	session, err := s.instance().Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	return session.EnsureReplicationRole(ctx, p.Replicator, password)
}

func (s *Setup) firstRecord(context.Context) error {
	if _, err := os.Lstat(s.path("record.json")); err == nil {
		return nil
	}
	return durable.WriteJSON(s.path("record.json"), record.First(s.state.Plan.Pair, pair.Server(s.state.Plan.Name)), 0o600)
}
