package postgres

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mcctl/pkg/pgconf"
)

// onDisk is where pgconf.ReadHBA reads in these tests.
type onDisk struct{}

func (onDisk) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }
func (onDisk) List(string) ([]string, error)        { return nil, nil }
func (onDisk) IsDir(string) (bool, error)           { return false, nil }
func (onDisk) Writable(string) bool                 { return true }

// rule is what the server makes of a line (pg_hba_file_rules, 13 to 18).
type rule struct {
	line             int
	databases, users string
}

func rulesOf(t *testing.T, conn *pgx.Conn) (rules []rule) {
	t.Helper()
	rows, err := conn.Query(within(t), `select line_number, array_to_string(database, '|'), array_to_string(user_name, '|')
from pg_hba_file_rules where error is null`)
	ok(t, err)
	rules, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r rule, err error) {
		return r, row.Scan(&r.line, &r.databases, &r.users)
	})
	ok(t, err)
	return rules
}

// The gate is made of lines as we read and write them: PostgreSQL must read these alike.
func TestPostgresReadsHBAAlike(t *testing.T) {
	in := newServer(t)
	start(t, in)
	conn := client(t, in)
	major, err := in.Version(within(t))
	ok(t, err)
	hba := filepath.Join(in.Data, "pg_hba.conf")
	for name, text := range map[string]string{"names": "one, \"two three\" # comment\n@more\n", "more": "fo\"u r\"\n", "none": "\n"} {
		write(t, filepath.Join(in.Data, name), text)
	}
	r, judged := rand.New(rand.NewPCG(7, 8)), 0
	for range 1000 {
		text := randomHBA(r)
		write(t, hba, text)
		lines, err := pgconf.ReadHBA(onDisk{}, hba, major)
		ok(t, err)
		var again strings.Builder
		rules := rulesOf(t, conn)
		for _, want := range rules {
			columns := columnsAt(lines, want.line)
			if len(columns) < 4 || texts(columns[1]) != want.databases || texts(columns[2]) != want.users {
				t.Fatalf("%q, line %d: PostgreSQL reads %v, we %v", text, want.line, want, columns)
			}
			for _, c := range columns {
				again.WriteString(asWritten(c) + " ")
			}
			again.WriteString("\n")
		}
		write(t, hba, again.String())
		for i, got := range rulesOf(t, conn) {
			if got.databases != rules[i].databases || got.users != rules[i].users {
				t.Fatalf("%q, written again as %q: PostgreSQL reads %v, not %v", text, again.String(), got, rules[i])
			}
			judged++
		}
	}
	t.Logf("%d rules", judged)
	if judged < 100 {
		t.Errorf("only %d rules were fit to judge by", judged)
	}
}

func columnsAt(lines []pgconf.HBALine, line int) [][]pgconf.HBAWord {
	for _, l := range lines {
		if l.Line == line {
			return l.Columns
		}
	}
	return nil
}

func texts(column []pgconf.HBAWord) string {
	var all []string
	for _, w := range column {
		all = append(all, w.Text)
	}
	return strings.Join(all, "|")
}

func asWritten(column []pgconf.HBAWord) string {
	var all []string
	for _, w := range column {
		all = append(all, w.String())
	}
	return strings.Join(all, ",")
}

// randomHBA makes files with every twist that the format has.
func randomHBA(r *rand.Rand) string {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	column := func() string {
		return pick("all", `"all"`, "app", `"a b"`, `a"b c"d`, `"x""y"`, `""`, "@names", `@"names"`, `"@names"`, "@none", "a,b", "a, b", "a ,b", `"a",`, "+ops",
			"#x", `\`, "\t", "\r", ",", "z#y", `"#",q`, `q"`)
	}
	var b strings.Builder
	for range 1 + r.IntN(4) {
		b.WriteString("local " + column() + " " + pick("", "\\\n", "\\\\\n", "\\\n\n") + column() + pick(" ", "\t", " \\\n  ", " \\\r\n", ""))
		b.WriteString(pick(" trust\n", " peer map=\"x y\" # why\n", " trust\r\n", " reject\\\\\n\n", " trust # \\\ntrust\n"))
	}
	return b.String()
}
