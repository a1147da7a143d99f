package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/setup"
)

// asker is who runs mcctl init: at a terminal, or flags alone.
type asker struct {
	env *Env
	in  *bufio.Reader
	o   *initOptions
}

func newAsker(env *Env, o *initOptions) *asker {
	return &asker{env: env, in: bufio.NewReader(env.Stdin), o: o}
}

func (a *asker) say(text string) { _, _ = fmt.Fprintln(a.env.Stdout, text) }

// answers asks for what the flags leave open, or names all the flags that are missing.
func (a *asker) answers(ctx context.Context, kind string) error {
	p := &a.o.Plan
	if missing := p.Needed(kind); len(missing) > 0 && !a.env.Asking {
		return misuse(a.o.cmd, "init: these flags are missing: --%s", strings.Join(missing, ", --"))
	}
	if !a.env.Asking {
		return nil
	}
	choosing := kind == setup.First && p.OpenArbiter()
	for _, q := range questions() {
		wanted := slices.Contains(p.Needed(kind), q.flag)
		if q.when != nil {
			wanted = choosing && *p.Answer(q.flag) == "" && q.when(*p)
		}
		if !wanted {
			continue
		}
		if err := a.ask(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

func (a *asker) ask(ctx context.Context, q question) error {
	likely := ""
	if q.likely != nil {
		likely = q.likely(a.o.Plan)
	}
	for {
		answer, err := a.read(ctx, q.text+yes(likely != "", " ["+likely+"]", "")+yes(q.optional, " [none]", "")+": ")
		if err != nil {
			return err
		}
		if answer == "" {
			answer = likely
		}
		if answer != "" && q.check != nil {
			if err := q.check(answer); err != nil {
				a.say(err.Error())
				continue
			}
		}
		if answer != "" || q.optional {
			*a.o.Plan.Answer(q.flag) = answer
			return nil
		}
	}
}

func (a *asker) read(ctx context.Context, question string) (string, error) {
	line, err := prompt(ctx, a.env.Stdout, a.in, question)
	if errors.Is(err, errInterrupted) {
		return "", explainInit(a.o, err)
	}
	if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
		return "", failed(exitUsage, fmt.Errorf("init: read answer: %w", err), "nothing was changed; give the answers by flags, see mcctl init --help")
	}
	return strings.TrimSpace(line), nil
}

// agree takes --yes for the edits and --restart for a restart, each for nothing else.
// Input that ends is a no.
func (a *asker) agree(ctx context.Context, about, question string) (bool, error) {
	if about == setup.ForEdit && a.o.Yes || about == setup.ForRestart && a.o.Restart {
		return true, nil
	}
	if !a.env.Asking {
		return false, nil
	}
	answer, err := prompt(ctx, a.env.Stdout, a.in, question+" [y/N]: ")
	if errors.Is(err, errInterrupted) {
		return false, err
	}
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y"), nil
}

// token reads the token where one is needed: never from an argument, which other users
// of the machine could see.
func (a *asker) token(ctx context.Context, s *setup.Setup) (t setup.Token, err error) {
	if !a.o.Join && a.o.JoinFile == "" || !s.NeedsToken() {
		return t, nil
	}
	var text string
	switch {
	case a.o.JoinFile != "":
		b, err := os.ReadFile(a.o.JoinFile)
		if err != nil {
			return t, failed(exitUsage, fmt.Errorf("init: read token: %w", err), "mcctl init --serve-token prints it on the first server")
		}
		text = string(b)
	case a.env.Asking:
		if text, err = a.read(ctx, "token: "); err != nil {
			return t, err
		}
	default:
		if text, err = readLine(ctx, a.in); errors.Is(err, errInterrupted) {
			return t, explainInit(a.o, err)
		} else if err != nil && !errors.Is(err, io.EOF) {
			return t, failed(exitUsage, fmt.Errorf("init: read token: %w", err), "give it on standard input or with --join-file")
		}
	}
	if t, err = setup.ParseToken(text, time.Now()); err != nil {
		return t, failed(exitUsage, fmt.Errorf("init: %w", err), "nothing was changed")
	}
	return t, nil
}

// showToken prints the token alone on its line, so that a script finds it.
func (a *asker) showToken(t setup.Token) {
	flags := yes(a.o.Arbiter, "--arbiter --join", "--join")
	_, _ = fmt.Fprintf(a.env.Stderr, "waiting at %s until %s for %s; there run: mcctl init %s, and give it this token, a secret:\n",
		t.Address, t.Ends.Local().Format(time.TimeOnly), t.Name, flags)
	a.say(t.String())
}

// progress tells of each tenth of a copy.
func (a *asker) progress() func(done, total int64) {
	told := int64(-1)
	return func(done, total int64) {
		if total <= 0 || done*10/total == told {
			return
		}
		told = done * 10 / total
		a.say(fmt.Sprintf("copied %d %% of %s", min(100, done*100/total), pair.Size(uint64(total))))
	}
}
