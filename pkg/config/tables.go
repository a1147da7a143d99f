package config

import (
	"fmt"
	"strings"
)

// table is where a table of a TOML file stands, by offsets into its text.
type table struct {
	// begin is that of its header, with an empty line above it; header is behind it.
	begin, header int
	// end is behind its last key, or its header: what is added goes there.
	end  int
	keys []assignment
	bare bool // it has no comments of its own
}

// assignment is a key and its value, which may take several lines.
type assignment struct {
	name            string
	line, lineEnd   int // from the beginning of its line to that of the next
	value, valueEnd int
	commented       bool // behind the value
}

// scanTables finds the tables of a TOML file that is sound; what is not is told by
// whoever decodes it. Values are found, not understood.
func scanTables(text string) (map[string]*table, error) {
	found := map[string]*table{"": {bare: true}}
	of := found[""]
	for at := 0; at < len(text); {
		end := lineEnd(text, at)
		line := strings.TrimSpace(text[at:end])
		switch {
		case line == "":
		case line[0] == '#':
			of.bare = false
		case line[0] == '[':
			of = &table{begin: blankAbove(text, at), header: end, end: end, bare: true}
			name, _, _ := strings.Cut(strings.Trim(line, "["), "]")
			found[strings.Join(strings.Fields(name), "")] = of
		default:
			a, err := scanAssignment(text, at)
			if err != nil {
				return nil, err
			}
			of.keys, end = append(of.keys, a), a.lineEnd
			of.end = end
		}
		at = end
	}
	return found, nil
}

func blankAbove(text string, at int) int {
	if strings.HasSuffix(text[:at], "\n\n") {
		return at - 1
	}
	return at
}

// lineEnd is the beginning of the next line.
func lineEnd(text string, at int) int {
	if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(text)
}

func scanAssignment(text string, at int) (assignment, error) {
	equals := strings.IndexByte(text[at:lineEnd(text, at)], '=')
	if equals < 0 {
		return assignment{}, fmt.Errorf("line %d holds no key", 1+strings.Count(text[:at], "\n"))
	}
	value := at + equals + 1
	for value < len(text) && (text[value] == ' ' || text[value] == '\t') {
		value++
	}
	end := valueEnd(text, value)
	next := lineEnd(text, end)
	return assignment{strings.TrimSpace(text[at : at+equals]), at, next, value, end, strings.Contains(text[end:next], "#")}, nil
}

// valueEnd is behind the value that begins at an offset.
func valueEnd(text string, at int) int {
	depth := 0
	for at < len(text) {
		switch c := text[at]; {
		case c == '"' || c == '\'':
			at = stringEnd(text, at)
			continue
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == '#' && depth > 0:
			at = lineEnd(text, at)
			continue
		case depth == 0 && strings.IndexByte(" \t\r\n#", c) >= 0:
			return at
		}
		at++
	}
	return at
}

// stringEnd is behind the string that begins at an offset, of any of TOML's four kinds.
func stringEnd(text string, at int) int {
	quote := text[at : at+1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(text[at:], long) {
		quote = long
	}
	for at += len(quote); at < len(text); at++ {
		switch {
		case text[at] == '\\' && quote[0] == '"':
			at++
		case strings.HasPrefix(text[at:], quote):
			return at + len(quote)
		}
	}
	return len(text)
}
