package pgconf

import (
	"bytes"
	"strings"
)

// Quote writes a value so that PostgreSQL's configuration files read it back: in
// single quotes, with quotes and backslashes doubled as ALTER SYSTEM does, and line
// breaks as escapes. This is not SQL: E'…' is not understood there. A value ends
// before its first zero byte, which no parameter can hold.
func Quote(value string) string {
	value, _, _ = strings.Cut(value, "\x00")
	escaped := strings.NewReplacer(`'`, `''`, `\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(value)
	return "'" + escaped + "'"
}

// unquote is the value of a word as written, as DeescapeQuotedString reads it
// (guc-file.l, 15).
func unquote(raw []byte) string {
	if len(raw) < 2 || raw[0] != '\'' {
		return string(raw)
	}
	var b bytes.Buffer
	for rest := raw[1 : len(raw)-1]; len(rest) > 0; {
		c, n := rest[0], 1
		switch {
		case c == '\\':
			c, n = unescape(rest)
		case c == '\'':
			n = 2
		}
		b.WriteByte(c)
		rest = rest[n:]
	}
	value, _, _ := bytes.Cut(b.Bytes(), []byte{0}) // \000 ends a C string
	return string(value)
}

// unescape reads what a backslash begins: the byte meant and the length written.
func unescape(b []byte) (c byte, n int) {
	if i := bytes.IndexByte([]byte("bfnrt"), b[1]); i >= 0 {
		return "\b\f\n\r\t"[i], 2
	}
	octal := 0
	for n = 1; n < len(b) && n <= 3 && '0' <= b[n] && b[n] <= '7'; n++ {
		octal = octal<<3 + int(b[n]-'0')
	}
	if n > 1 {
		return byte(octal), n // \400 wraps around, as it does in PostgreSQL
	}
	return b[1], 2
}
