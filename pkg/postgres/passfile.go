package postgres

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// PassfileLine is a line of a libpq password file, for any database ("The Password File"
// in the PostgreSQL manual).
func PassfileLine(host string, port int, user, password string) string {
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace
	return fmt.Sprintf("%s:%d:*:%s:%s", escape(host), port, escape(user), escape(password))
}

// replicationDatabase is what a connection that streams or copies calls its database, which
// counts for the passfile alone (libpqwalreceiver.c, 13 to 18; streamutil.c, from 17 on where
// the connection string names no other).
const replicationDatabase = "replication"

// Password is what the source's passfile has for a connection that streams or copies.
func (s Source) Password() (string, error) {
	text, err := os.ReadFile(s.Passfile)
	if err != nil {
		return "", fmt.Errorf("read the password for replication: %w", err)
	}
	password := findPassword(string(text), s.Host, strconv.Itoa(s.Port), replicationDatabase, s.User)
	if password == "" {
		return "", fmt.Errorf("%s has no password for %s at %s, port %d; write it there: %s",
			s.Passfile, s.User, s.Host, s.Port, PassfileLine(s.Host, s.Port, s.User, "PASSWORD"))
	}
	return password, nil
}

// findPassword goes by the first line that fits, as passwordFromFile in libpq's fe-connect.c
// does (13 to 18).
func findPassword(text string, wanted ...string) string {
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if fields := passfileFields(strings.TrimRight(line, "\r")); fits(fields, wanted) {
			return unescaped(fields[len(wanted)])
		}
	}
	return ""
}

func fits(fields, wanted []string) bool {
	if len(fields) <= len(wanted) {
		return false
	}
	for i, want := range wanted {
		if fields[i] != "*" && unescaped(fields[i]) != want {
			return false
		}
	}
	return true
}

// passfileFields splits a line at the colons that no backslash stands before.
func passfileFields(line string) (fields []string) {
	begin := 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case ':':
			fields, begin = append(fields, line[begin:i]), i+1
		}
	}
	return append(fields, line[begin:])
}

// unescaped takes the backslash away before any character.
func unescaped(field string) string {
	var b strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+1 < len(field) {
			i++
		}
		b.WriteByte(field[i])
	}
	return b.String()
}
