package check

import (
	"os/exec"
	"strings"
	"testing"

	"mcctl/pkg/config"
	"mcctl/pkg/postgres"
)

// What is to be copied into a shell is one command there, whatever a directory, a role or
// a database is called: who may make those is not who copies it.
func TestAMendIsOneCommand(t *testing.T) {
	const data, role, database = `/srv/it's/new data`, `a"; drop b; --'; echo bad; '`, `d'$(echo bad)`
	c := config.Defaults()
	c.Server.DataDirectory, c.Server.Postgres = data, config.Postgres{SocketDirectory: "/run/a b", Port: 1, User: "o'user", Database: "x;y"}
	c.Server.Replication.User = `o'"r`
	me := &Side{Config: c, Mcdir: data, Postgres: &postgres.Inspection{SyncCommits: []postgres.RoleSetting{{Role: role, Database: database, Value: "off"}}}}
	me.Connects.Lacks = []string{"f(text)"}
	sql := `alter role "a""; drop b; --'; echo bad; '" in database "d'$(echo bad)" reset synchronous_commit`
	for mend, want := range map[string][]string{
		"chmod 0700 {path}": {"chmod", "0700", data},
		"mcctl stop -M {mcdir} && mcctl start -M {mcdir}": {"mcctl", "stop", "-M", data, "mcctl", "start", "-M", data},
		"ls {data}/pg_wal":                        {"ls", data + "/pg_wal"},
		"psql -c {grant}":                         {"psql", "-c", "grant execute on function pg_catalog.f(text) to \"o'\"\"r\""},
		syncCommit(View{Me: me})[0].Fill["reset"]: {"psql", "-h", "/run/a b", "-p", "1", "-U", "o'user", "-d", "x;y", "-c", sql},
	} {
		text := told(mend, fill("path", data), rewindRights(View{Me: me})[0].Fill, me.words())
		script := `mcctl() { printf '%s\n' mcctl "$@"; }; chmod() { printf '%s\n' chmod "$@"; }; ls() { printf '%s\n' ls "$@"; }; psql() { printf '%s\n' psql "$@"; }` + "\n" + text
		got, err := exec.Command("sh", "-c", script).CombinedOutput()
		if err != nil || string(got) != strings.Join(want, "\n")+"\n" {
			t.Errorf("%s: %v\n%s", text, err, got)
		}
	}
}
