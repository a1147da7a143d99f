package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
)

// errInterrupted is Ctrl-C at a question.
var errInterrupted = errors.New("interrupted")

// prompt asks and reads a line.
func prompt(ctx context.Context, out io.Writer, in *bufio.Reader, question string) (string, error) {
	_, _ = fmt.Fprint(out, question)
	line, err := readLine(ctx, in)
	if errors.Is(err, errInterrupted) {
		_, _ = fmt.Fprintln(out) // what comes next begins a line
	}
	return line, err
}

// readLine reads a line until ctx ends; one that comes only then is no answer any more. The
// read itself cannot be broken off: it ends with the process.
func readLine(ctx context.Context, in *bufio.Reader) (string, error) {
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := in.ReadString('\n')
		answers <- answer{line, err}
	}()
	var a answer
	select {
	case a = <-answers:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return "", errInterrupted
	}
	return a.line, a.err
}
