package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// confirm asks a question on a terminal; a script must have said --yes. The hint writes no
// command: one without the options that were given would do something else.
func confirm(ctx context.Context, env *Env, command, question string, said bool, output string) error {
	switch {
	case said:
		return nil
	case !env.Asking || output == formJSON:
		return failed(exitRefused, fmt.Errorf("%s: not done without --yes", command), "if that is right, repeat the command with --yes")
	}
	answer, err := prompt(ctx, env.Stdout, bufio.NewReader(env.Stdin), question+" [y/N] ")
	switch {
	case errors.Is(err, errInterrupted):
		return failed(exitFailed, fmt.Errorf("%s: %w", command, err), "nothing was changed")
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("%s: read the answer: %w", command, err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return failed(exitRefused, fmt.Errorf("%s: not confirmed", command), "nothing was changed")
	}
	return nil
}
