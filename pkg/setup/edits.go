package setup

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mcctl/pkg/conffiles"
	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/pgconf"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
)

// edits are what has to change in the files of a running PostgreSQL.
type edits struct {
	tree    *pgconf.Tree
	changes []change
	names   bool   // synchronous_standby_names is set and must not be
	hba     string // path
	was, is []byte // of pg_hba.conf
}

// change is a setting that must be another one.
type change struct {
	name, value, why string
	restart          bool
}

// least is the smallest number of walsenders and slots that a pair gets by with: the
// standby, a copy with its two connections, and one to spare.
const least = 4

// edits finds the least edits by what is in force. It changes nothing.
func (s *Setup) edits(ctx context.Context) (e edits, err error) {
	p := s.state.Plan
	have, err := s.describe(ctx)
	if err != nil {
		return e, err
	}
	major, err := s.instance().Version(ctx)
	if err != nil {
		return e, err
	}
	root := cmp.Or(p.ConfigFile, filepath.Join(p.DataDirectory, "postgresql.conf"))
	if e.tree, err = conffiles.Read(conffiles.Roots(root, p.DataDirectory, major)); err != nil {
		return e, err
	}
	// The supervisor's own sessions have another value.
	commit := postgres.Described{Value: "on"}
	if said, ok := e.tree.Get("synchronous_commit"); ok {
		commit.Value = said.Value
	}
	have["synchronous_commit"] = commit
	for name, d := range have {
		if said, ok := e.tree.Get(name); ok && d.Pending { // the files have the word after the restart
			d.Value = said.Value
			have[name] = d
		}
	}
	e.changes = p.changes(have)
	for _, c := range e.changes {
		e.tree.Set(c.name, c.value)
	}
	wanted := settings.Wanted{Other: pair.Server(p.Other)}
	e.names = !wanted.Hold(e.tree)
	wanted.Write(e.tree)
	e.hba = cmp.Or(p.HBAFile, filepath.Join(p.DataDirectory, "pg_hba.conf"))
	if e.was, err = os.ReadFile(e.hba); err != nil {
		return e, fmt.Errorf("read client authentication: %w", err)
	}
	e.is = withHBA(e.was, p.hbaLines())
	return e, nil
}

// describe tells what is in force of the settings that the changes go by.
func (s *Setup) describe(ctx context.Context) (map[string]postgres.Described, error) {
	session, err := s.instance().Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	return session.Describe(ctx, described())
}

// described are the settings that the changes go by.
func described() []string {
	return []string{
		"listen_addresses", "wal_level", "max_wal_senders", "max_replication_slots", "hot_standby", "wal_log_hints",
		"data_checksums", "full_page_writes", "fsync",
	}
}

// changes lists what stands in the way of a pair. The restrictions are those of the
// manual's chapters on streaming replication and on pg_rewind, 13 to 18.
func (p Plan) changes(have map[string]postgres.Described) (all []change) {
	want := func(unfit bool, name, value, why string) {
		if unfit {
			all = append(all, change{name, value, why, have[name].Restart})
		}
	}
	value := func(name string) string { return have[name].Value }
	number := func(name string) int { n, _ := strconv.Atoi(value(name)); return n }
	isOff := func(name string) bool {
		return slices.Contains([]string{"off", "false", "no", "0"}, strings.ToLower(value(name)))
	}
	host, _ := split(p.Replication)
	want(!listens(value("listen_addresses"), host), "listen_addresses", strings.TrimPrefix(value("listen_addresses")+","+host, ","), "the other server comes over "+host)
	want(strings.EqualFold(value("wal_level"), "minimal"), "wal_level", "replica", "a standby needs it")
	want(number("max_wal_senders") < least, "max_wal_senders", "10", "a standby and a copy need connections")
	want(number("max_replication_slots") < least, "max_replication_slots", "10", "each server keeps the log for the other in a slot")
	want(isOff("hot_standby"), "hot_standby", "on", "the supervisor looks into the standby")
	want(isOff("wal_log_hints") && isOff("data_checksums"), "wal_log_hints", "on", "an old primary comes back by pg_rewind, which needs it or checksums")
	want(isOff("full_page_writes"), "full_page_writes", "on", "pg_rewind needs it")
	want(isOff("fsync"), "fsync", "on", "what is acknowledged must be on the disk")
	want(!settings.CommitsWait(value("synchronous_commit")), "synchronous_commit", "on", "otherwise commits are acknowledged before the standby holds them")
	return all
}

// listens tells whether listen_addresses covers a host.
func listens(addresses, host string) bool {
	for _, a := range strings.Split(addresses, ",") {
		switch strings.TrimSpace(a) {
		case "*", host:
			return true
		case "0.0.0.0":
			if !strings.Contains(host, ":") {
				return true
			}
		case "::":
			if strings.Contains(host, ":") {
				return true
			}
		}
	}
	return false
}

func (e edits) empty() bool { return len(e.tree.Edits()) == 0 && bytes.Equal(e.was, e.is) }

// show is the diff, and for each edit whether it takes a restart.
func (e edits) show() string {
	var b strings.Builder
	b.WriteString("these edits are needed:\n" + e.tree.Diff() + pgconf.Diff(e.hba, e.was, e.is))
	for _, c := range e.changes {
		needs := "a reload"
		if c.restart {
			needs = "a RESTART"
		}
		fmt.Fprintf(&b, "\n%s = %s needs %s: %s", c.name, pgconf.Quote(c.value), needs, c.why)
	}
	if e.names {
		fmt.Fprintf(&b, "\n%s out of use needs a reload: mcctl sets it when the second server is there", settings.SyncNames)
	}
	if !bytes.Equal(e.was, e.is) {
		fmt.Fprintf(&b, "\n%s needs a reload: the servers let each other in, by password", filepath.Base(e.hba))
	}
	return b.String()
}

// applyEdits writes the edits, has PostgreSQL read them, and asks it whether it could: also
// when an earlier call has written them, since it may not have been able to then.
func (s *Setup) applyEdits(ctx context.Context) error {
	e, err := s.edits(ctx)
	if err == nil && !e.empty() {
		err = s.writeEdits(e)
	}
	if err != nil {
		return err
	}
	in := s.instance()
	pid, running := in.Postmaster()
	if !running {
		return fmt.Errorf("PostgreSQL in %s has stopped meanwhile", in.Data)
	}
	if err := in.Reload(pid); err != nil {
		return err
	}
	return s.proveRead(ctx)
}

func (s *Setup) writeEdits(e edits) error {
	if why := conffiles.Refusal(e.hba); why != "" && !bytes.Equal(e.was, e.is) {
		return fmt.Errorf("write %s: %s", e.hba, why)
	}
	if err := conffiles.Write(e.tree); err != nil {
		return err
	}
	s.Say("editing " + e.hba)
	return editFile(e.hba, func([]byte) []byte { return e.is })
}

// proveRead asks PostgreSQL for lines of its files that it cannot read: it would go
// on with the old ones and say so in its log only.
func (s *Setup) proveRead(ctx context.Context) error {
	session, err := s.instance().Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	refused, faults, err := session.FileFaults(ctx)
	if err != nil {
		return err
	}
	if refused {
		return fmt.Errorf("PostgreSQL does not read its configuration until this is mended: %s", faults[0])
	}
	bad, err := session.HBAFaults(ctx)
	if err == nil && len(bad) > 0 {
		err = fmt.Errorf("PostgreSQL does not read its pg_hba.conf until this is mended: %s", bad[0])
	}
	return err
}

func editFile(path string, change func([]byte) []byte) error {
	was, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("edit %s: %w", path, err)
	}
	is := change(was)
	if bytes.Equal(was, is) {
		return nil
	}
	_, err = durable.Replace(path, was, is, false)
	return err
}
