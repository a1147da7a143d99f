package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/config"
	"mcctl/pkg/record"
)

// arbiterNeeds lists the flags that the kind of the arbiter cannot do without. What a
// kind is that nobody knows, package config says.
func (p Plan) arbiterNeeds() []string {
	switch config.ArbiterKind(p.ArbiterKind) {
	case "", config.Witness:
		return []string{"arbiter-address"}
	case config.Etcd:
		return []string{"arbiter-endpoints"}
	case config.Command:
		return []string{"arbitration-command", "fencing-command"}
	}
	return nil
}

// arbiterTOML is what pair.toml says of the arbiter.
func (p Plan) arbiterTOML() string {
	texts, endpoints := map[string]string{}, []string(nil)
	v := reflect.ValueOf(p)
	for i := range v.NumField() {
		if key := v.Type().Field(i).Tag.Get("key"); key != "" {
			texts[key] = v.Field(i).String()
		}
	}
	delete(texts, "etcd.endpoints")
	for e := range strings.SplitSeq(p.Endpoints, ",") {
		if e = strings.TrimSpace(e); e != "" {
			endpoints = append(endpoints, e)
		}
	}
	return config.ArbiterTOML(config.ArbiterKeys(p.ArbiterKind, texts, endpoints))
}

// etcdFile is a file that pair.toml names: one path for both servers.
type etcdFile struct{ key, path string }

func etcdFiles(dir string, of config.EtcdOf) (all []etcdFile) {
	for _, f := range []etcdFile{{"ca", of.CA}, {"certificate", of.Certificate}, {"key", of.Key}, {"password_file", of.PasswordFile}} {
		if f.path != "" && !filepath.IsAbs(f.path) {
			f.path = filepath.Join(dir, f.path)
		}
		if f.path != "" {
			all = append(all, etcdFile{"arbiter.etcd." + f.key, f.path})
		}
	}
	return all
}

// unreadable are those of the files that are not here for this user. Their modes and
// owners are package config's to judge, which does not mind that a file is missing.
func unreadable(files []etcdFile) (errs []error) {
	for _, f := range files {
		if _, err := os.ReadFile(f.path); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.key, err))
		}
	}
	return errs
}

// hasEtcdFiles looks for the files on the first server, whatever else is wrong with the
// plan.
func (p Plan) hasEtcdFiles(dir string) error {
	files := etcdFiles(dir, config.EtcdOf{CA: p.EtcdCA, Certificate: p.EtcdCertificate, Key: p.EtcdKey, PasswordFile: p.EtcdPasswordFile})
	errs := unreadable(files)
	for i := range errs {
		errs[i] = fmt.Errorf("%w; bring it there first (a relative path is meant from the management directory, in which tls may be before)", errs[i])
	}
	own := append(certificateFiles(p.Name), certificateFiles(p.Other)...)
	for _, f := range files {
		if slices.ContainsFunc(own, func(name string) bool { return filepath.Join(dir, name) == filepath.Clean(f.path) }) {
			errs = append(errs, fmt.Errorf("%s: %s is what mcctl init makes itself; give etcd's file another name", f.key, f.path))
		}
	}
	return errors.Join(errs...)
}

// lacks tells what the second server has not, though the arbiter needs it on both.
func (s *Setup) lacks(of config.ArbiterOf) error {
	switch of.Kind {
	case config.Command:
		if p := s.state.Plan; p.Arbitration == "" || p.Fencing == "" {
			return errors.New("the arbiter of this pair is commands, which both servers need: run the same command with --arbitration-command FILE --fencing-command FILE, which are on this host")
		}
	case config.Etcd:
		if missing := unreadable(etcdFiles(s.Dir, of.Etcd)); missing != nil {
			return fmt.Errorf("pair.toml names files for etcd that this host has not:\n%w\nbring them to these places as the first server has them, keys and passwords with mode 0600 (a certificate and its key may be this server's own), then run the same command again; its token has served", errors.Join(missing...))
		}
	}
	return nil
}

// tryEtcd says if etcd does not answer. It need not, before the pair starts.
func (s *Setup) tryEtcd(ctx context.Context, c *config.Config) (holds record.Record) {
	if c.Pair.Arbiter.Kind != config.Etcd {
		return holds
	}
	holds, err := arbiter.TryEtcd(ctx, arbiter.EtcdOf(c))
	if err != nil {
		s.Say(fmt.Sprintf("WARNING: %v; the pair needs it: mend that before mcctl start", err))
	}
	return holds
}

// isNewToEtcd refuses a pair whose name another one has there: it would go by that one's
// record.
func (s *Setup) isNewToEtcd(ctx context.Context, c *config.Config) error {
	if holds := s.tryEtcd(ctx, c); holds.Exists() {
		return fmt.Errorf("use %s: it holds a record of a pair %s already: %s; name the pair or the prefix otherwise or, if nobody goes by that record, remove it there", &c.Pair.Arbiter, c.Pair.Name, holds)
	}
	return nil
}
