package pgconf

import "bytes"

// token is a kind of word of the file format, as in guc-file.l.
type token int

const (
	end    token = iota // of the line; a comment counts as end
	name                // ID
	dotted              // QUALIFIED_ID: a name, but not a value
	word                // UNQUOTED_STRING, INTEGER or REAL: a value, but not a name
	quoted              // STRING
	equals
	junk // GUC_ERROR
)

// parseLine takes apart one line as ParseConfigFp does (guc-file.l, 15): a name, an
// optional "=", a value, and nothing else but a comment. Any other line sets
// nothing; PostgreSQL refuses the file for its sake, which is not for us to mend.
func parseLine(text []byte) line {
	nothing := line{lead: text}
	nameAt, nameEnd, kind := next(text, 0)
	if kind != name && kind != dotted {
		return nothing
	}
	valueAt, valueEnd, kind := next(text, nameEnd)
	if kind == equals {
		valueAt, valueEnd, kind = next(text, valueEnd)
	}
	if kind != name && kind != word && kind != quoted {
		return nothing
	}
	if _, _, kind := next(text, valueEnd); kind != end {
		return nothing
	}
	return line{
		lead:  text[:nameAt],
		name:  text[nameAt:nameEnd],
		sep:   text[nameEnd:valueAt],
		value: text[valueAt:valueEnd],
		tail:  text[valueEnd:],
	}
}

// next finds the token at or behind position at: where it starts, where it stops,
// and what it is. A carriage return is white space anywhere.
func next(text []byte, at int) (start, stop int, kind token) {
	start = at + span(text[at:], isSpace)
	rest := text[start:]
	if len(rest) == 0 {
		return start, start, end
	}
	switch c := rest[0]; {
	case c == '\n' || c == '#':
		return start, start, end
	case c == '=':
		return start, start + 1, equals
	case c == '\'':
		n, kind := scanQuoted(rest)
		return start, start + n, kind
	case isLetter(c):
		n, kind := scanWord(rest)
		return start, start + n, kind
	}
	if n := scanNumber(rest); n > 0 {
		return start, start + n, word
	}
	return start, start + 1, junk
}

// scanWord tells a name, a qualified name and an unquoted string apart: the longest
// of the three counts, and of equally long ones the first.
func scanWord(b []byte) (n int, kind token) {
	id := span(b, isLetterOrDigit)
	n = span(b, func(c byte) bool { return isLetterOrDigit(c) || bytes.IndexByte([]byte("-._:/"), c) >= 0 })
	if n == id {
		return n, name
	}
	if rest := b[id+1 : n]; b[id] == '.' && len(rest) > 0 && isLetter(rest[0]) && span(rest, isLetterOrDigit) == len(rest) {
		return n, dotted
	}
	return n, word
}

// scanQuoted reads a quoted string; a quote in it is doubled or has a backslash
// before it. It cannot go over the end of the line. A zero byte would end
// PostgreSQL's copy of the string at an odd place, so nothing with one is read.
func scanQuoted(b []byte) (n int, kind token) {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\n', 0:
			return 1, junk
		case '\\':
			i++
			if i < len(b) && (b[i] == '\n' || b[i] == 0) {
				return 1, junk
			}
		case '\'':
			if i+1 == len(b) || b[i+1] != '\'' {
				return i + 1, quoted
			}
			i++
		}
	}
	return 1, junk
}

// scanNumber is the length of an integer with its unit or of a real number, which
// has none, whichever is longer.
func scanNumber(b []byte) int {
	sign := 0
	if b[0] == '-' || b[0] == '+' {
		sign = 1
	}
	rest := b[sign:]
	digits := span(rest, isDigit)
	longest := 0
	if digits > 0 {
		longest = digits + span(rest[digits:], isUnit)
	}
	if bytes.HasPrefix(rest, []byte("0x")) {
		if hex := span(rest[2:], isHex); hex > 0 {
			longest = max(longest, 2+hex+span(rest[2+hex:], isUnit))
		}
	}
	if digits < len(rest) && rest[digits] == '.' {
		n := digits + 1
		n += span(rest[n:], isDigit)
		longest = max(longest, n+scanExponent(rest[n:]))
	}
	if longest == 0 {
		return 0
	}
	return sign + longest
}

func scanExponent(b []byte) int {
	if len(b) == 0 || b[0] != 'e' && b[0] != 'E' {
		return 0
	}
	n := 1
	if n < len(b) && (b[n] == '-' || b[n] == '+') {
		n++
	}
	digits := span(b[n:], isDigit)
	if digits == 0 {
		return 0
	}
	return n + digits
}

// span counts the bytes at the start of b that belong to a class.
func span(b []byte, class func(byte) bool) (n int) {
	for n < len(b) && class(b[n]) {
		n++
	}
	return n
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isUnit(c byte) bool  { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isHex(c byte) bool   { return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }

// isLetter: every byte above ASCII is a letter, valid UTF-8 or not.
func isLetter(c byte) bool        { return isUnit(c) || c == '_' || c >= 0x80 }
func isLetterOrDigit(c byte) bool { return isLetter(c) || isDigit(c) }
