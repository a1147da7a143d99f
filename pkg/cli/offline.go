package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"mcctl/pkg/config"
	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/shell"
)

// offline is what can be known of a server without its supervisor.
type offline struct {
	Pair    string      `json:"pair,omitempty"`
	Local   pair.Server `json:"local,omitempty"`
	Offline bool        `json:"offline"`
	Healthy bool        `json:"healthy"` // never: nobody supervises
	// Record is this server's copy: it may be old.
	Record record.Record `json:"record"`
	// Postgres is "running", "not running" or "unknown".
	Postgres   string `json:"postgres"`
	Postmaster int    `json:"postmaster,omitempty"` // its pid
	NextStep   string `json:"next_step"`
}

func showOffline(env *Env, o *statusOptions) error {
	st, err := lookOffline(env, o.Mcdir)
	if err != nil {
		return err
	}
	if o.Output == formJSON {
		err = writeJSON(env.Stdout, st)
	} else {
		err = writeOffline(env.Stdout, st)
	}
	if err != nil {
		return err
	}
	return quietly(exitNotRunning)
}

func lookOffline(env *Env, mcdir string) (offline, error) {
	st := offline{Offline: true, Postgres: "unknown", NextStep: "mcctl start -M " + shell.Word(mcdir)}
	if err := durable.ReadJSON(recordOf(mcdir), &st.Record); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return st, failed(exitNotRunning, fmt.Errorf("status: no supervisor is running here, and its copy of the record cannot be read: %w", err), "copy no record from the other server; ask for mcctl status there")
	}
	c, err := loadConfig(mcdir)
	if err != nil {
		return st, failed(exitNotRunning, fmt.Errorf("status: no supervisor is running here (own copy of the record: %s); %w", st.Record, err), "mend the lines above, then: %s", st.NextStep)
	}
	st.Pair, st.Local = c.Pair.Name, c.Me()
	pid, running := instanceOf(c).Postmaster()
	if running {
		st.Postgres, st.Postmaster = "running", pid
	} else if mayJudge(env.Euid(), c) {
		st.Postgres = "not running"
	}
	return st, nil
}

// mayJudge: only the owner sees whether a process works in the data directory. A
// directory that does not exist is in nobody's use.
func mayJudge(euid int, c *config.Config) bool {
	owner, err := ownerOf(c.Server.DataDirectory)
	return err == nil && int(owner) == euid || errors.Is(err, fs.ErrNotExist)
}

func ownerOf(path string) (uint32, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Uid, nil
}

func writeOffline(w io.Writer, st offline) error {
	postgres := st.Postgres
	switch {
	case st.Postmaster != 0:
		postgres = fmt.Sprintf("running, pid %d, unsupervised", st.Postmaster)
	case st.Postgres == "unknown":
		postgres = "unknown: run this as the owner of the data directory"
	}
	t := newTable(w)
	t.row("pair", fmt.Sprintf("%s: no supervisor is running here, on %s", st.Pair, st.Local))
	t.row("record", st.Record.String()+yes(st.Record.Exists(), " in this server's copy, which may be old", ""))
	t.row("postgres", postgres)
	t.row("next step", st.NextStep)
	return t.Flush()
}
