package settings

import (
	"bytes"
	"strings"
)

// GateHBA makes the pg_hba.conf that stands while a restarted primary is gated
// (docs/protocol.md, T6): the supervisor's user over the local socket, and the
// replication lines of the site's own file, which nobody else can use to read.
// The authentication methods stay the site's. The site's file itself is never
// touched: PostgreSQL is started with hba_file naming a link that is turned from
// this text to the site's file when the gate opens.
func GateHBA(user string, site []byte) []byte {
	var out bytes.Buffer
	out.WriteString("# Written by mcctl: the primary waits for its standby before it lets clients in.\n")
	for l := range strings.Lines(string(site)) {
		f := columns(l)
		switch {
		case len(f) < 4 || strings.HasPrefix(f[0], "#"):
		case has(f[1], "replication"):
			out.WriteString(strings.Join(append([]string{f[0], "replication"}, f[2:]...), " ") + "\n")
		case f[0] == "local":
			out.WriteString(strings.Join(append([]string{"local", f[1], `"` + user + `"`}, f[3:]...), " ") + "\n")
		}
	}
	return out.Bytes()
}

// columns splits a line of pg_hba.conf at white space outside of quotes.
func columns(line string) []string {
	quoted := false
	return strings.FieldsFunc(strings.TrimRight(line, "\r\n"), func(c rune) bool {
		if c == '"' {
			quoted = !quoted
		}
		return !quoted && (c == ' ' || c == '\t')
	})
}

// has reports whether a comma-separated column of pg_hba.conf names the word
// itself: unlike "all", a quoted "replication" is a database of that name.
func has(column, word string) bool {
	for _, w := range strings.Split(column, ",") {
		if w == word {
			return true
		}
	}
	return false
}
