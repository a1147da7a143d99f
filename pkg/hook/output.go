package hook

import (
	"bytes"
	"fmt"
	"strings"
)

// How much of a command's output is handed on. What comes beyond is counted and
// read slowly, so that a command that floods is slowed down and the supervisor is
// not kept busy by it.
const (
	linesMax = 200
	lineMax  = 1000 // bytes
)

// output cuts what a command prints into lines and hands them on.
type output struct {
	hand  func(string)
	rest  []byte
	bytes int
	count int
	left  int // lines that were not handed on
}

func (o *output) write(p []byte) {
	o.bytes += len(p)
	for {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			break
		}
		o.keep(p[:end])
		o.line()
		p = p[end+1:]
	}
	o.keep(p)
}

// keep adds to the line that is being read, whose length is bounded.
func (o *output) keep(p []byte) {
	o.rest = append(o.rest, p[:min(len(p), lineMax-len(o.rest))]...)
}

func (o *output) line() {
	text := strings.ToValidUTF8(strings.TrimRight(string(o.rest), "\r"), "?")
	o.rest = o.rest[:0]
	if o.count++; o.count > linesMax {
		o.left++
	} else if text != "" {
		o.hand(text)
	}
}

// flooded: more came than is handed on.
func (o *output) flooded() bool { return o.count > linesMax || o.bytes > linesMax*lineMax }

// end hands on what had no newline, and tells what was left out.
func (o *output) end() {
	if len(o.rest) > 0 {
		o.line()
	}
	if o.left > 0 {
		o.hand(fmt.Sprintf("(%d more lines are left out)", o.left))
	}
}
