package settings

import (
	"fmt"
	"strings"

	"mcctl/pkg/majors"
	"mcctl/pkg/pgconf"
)

// Gate is the pg_hba.conf that stands while a restarted primary is gated.
type Gate struct {
	Text []byte
	// Own are the places, file:line, of the site's lines of which one decides about the
	// supervisor's own connection.
	Own []string
}

// GateHBA makes the gate (docs/protocol.md, T6) out of the site's own lines. It has
// every line of them that may be the first to match the supervisor over the local
// socket, for its user and its database alone, so that the method is that of the
// site's file; and the replication lines, which nobody can use to read rows.
//
// Who is in a group, or what a regular expression matches, only PostgreSQL can tell:
// these words stay, and let in whom they mean, to the supervisor's database.
func GateHBA(user, database string, site []pgconf.HBALine, major int) Gate {
	who := supervisor{user: user, database: database, patterns: majors.Of(major).HBAIncludes}
	var out strings.Builder
	out.WriteString("# Written by mcctl: the primary waits for its standby before it lets clients in.\n")
	var g Gate
	for decided, i := false, 0; i < len(site); i++ {
		l := site[i]
		if len(l.Columns) < 4 {
			continue // PostgreSQL would refuse it, and tells so when the gate opens
		}
		write := func(database, user string) {
			fmt.Fprintf(&out, "# %s:%d\n%s %s %s", l.File, l.Line, join(l.Columns[0]), database, user)
			for _, c := range l.Columns[3:] {
				out.WriteString(" " + join(c))
			}
			out.WriteString("\n")
		}
		if has(l.Columns[1], "replication") {
			write("replication", join(l.Columns[2]))
		}
		if l.Columns[0][0].Text != "local" || decided {
			continue
		}
		databases, sureOfDatabase := narrow(l.Columns[1], database, who.meansDatabase)
		users, sureOfUser := narrow(l.Columns[2], user, who.meansUser)
		if databases != "" && users != "" {
			write(databases, users)
			g.Own = append(g.Own, fmt.Sprintf("%s:%d", l.File, l.Line))
			decided = sureOfDatabase && sureOfUser
		}
	}
	g.Text = []byte(out.String())
	return g
}

// supervisor is whom the gate lets in.
type supervisor struct {
	user, database string
	patterns       bool // what begins with a slash is a regular expression
}

// meaning is whether a word means the supervisor.
type meaning int

const (
	no meaning = iota
	maybe
	yes
)

// narrow leaves of a column what may mean the supervisor: its name if the column
// surely does, else the words that may, else nothing.
func narrow(column []pgconf.HBAWord, name string, means func(pgconf.HBAWord) meaning) (words string, sure bool) {
	var left []pgconf.HBAWord
	for _, w := range column {
		switch means(w) {
		case yes:
			return pgconf.HBAWord{Text: name, Quoted: true}.String(), true
		case maybe:
			left = append(left, w)
		}
	}
	return join(left), false
}

// meansUser goes by check_role in hba.c, 13 to 18.
func (s supervisor) meansUser(w pgconf.HBAWord) meaning {
	switch {
	case !w.Quoted && strings.HasPrefix(w.Text, "+"), s.pattern(w):
		return maybe
	case w.Is("all"), w.Text == s.user:
		return yes
	}
	return no
}

// meansDatabase goes by check_db in hba.c, 13 to 18.
func (s supervisor) meansDatabase(w pgconf.HBAWord) meaning {
	switch {
	case w.Is("samerole"), w.Is("samegroup"), s.pattern(w):
		return maybe
	case w.Is("all"), w.Is("sameuser") && s.user == s.database:
		return yes
	case w.Is("sameuser"), w.Is("replication"), w.Text != s.database:
		return no
	}
	return yes
}

func (s supervisor) pattern(w pgconf.HBAWord) bool {
	return s.patterns && strings.HasPrefix(w.Text, "/")
}

func join(column []pgconf.HBAWord) string {
	words := make([]string, len(column))
	for i, w := range column {
		words[i] = w.String()
	}
	return strings.Join(words, ",")
}

// has reports whether a column has the keyword: unlike it, a quoted "replication" is
// a database of that name.
func has(column []pgconf.HBAWord, keyword string) bool {
	for _, w := range column {
		if w.Is(keyword) {
			return true
		}
	}
	return false
}
