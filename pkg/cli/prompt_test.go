package cli

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"mcctl/pkg/setup"
	"mcctl/pkg/wire"
)

// screen calls shown as soon as something that ends like a question was written.
type screen struct {
	bytes.Buffer
	once  sync.Once
	shown func()
}

func (s *screen) Write(b []byte) (int, error) {
	if text := string(b); strings.HasSuffix(text, "[y/N] ") || strings.HasSuffix(text, ": ") {
		s.once.Do(s.shown)
	}
	return s.Buffer.Write(b)
}

// interruptedAt runs a command on a terminal at which nobody types until Ctrl-C.
func interruptedAt(t *testing.T, typed string, args ...string) shot {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	keys, terminal := io.Pipe()
	defer terminal.Close()
	go func() { // what is typed stays there until it is read
		<-ctx.Done()
		_, _ = io.WriteString(terminal, typed)
	}()
	var complaints bytes.Buffer
	out := &screen{shown: cancel}
	env := testEnv(nil, &complaints)
	env.Stdout, env.Stdin, env.Asking = out, keys, true
	ended := make(chan exitStatus, 1)
	go func() { ended <- exitStatus(Main(ctx, env, args)) }()
	select {
	case status := <-ended:
		return shot{status, out.String(), complaints.String()}
	case <-time.After(10 * time.Second):
		t.Fatalf("%v waits for an answer after Ctrl-C", args)
	}
	return shot{}
}

// Ctrl-C at a question ends the command, also when a yes comes after it.
func TestCtrlCAtAQuestion(t *testing.T) {
	for _, typed := range []string{"", "y\n"} {
		r := newRebuilding(t, copyPlan(), "done")
		interruptedAt(t, typed, "rebuild", "-M", r.mcdir).wants(t, exitFailed, "[y/N] \n", "mcctl: rebuild: interrupted\nhint: nothing was changed\n")
		if r.job.ID != "" {
			t.Error("the rebuild was begun")
		}
		dir := t.TempDir()
		interruptedAt(t, typed, "init", "-M", dir+"/mc").wants(t, exitFailed, "mcctl: init: interrupted\nhint: nothing was changed\n")
		interruptedAt(t, typed, "init", "--join", "-M", dir+"/mc").wants(t, exitFailed, "mcctl: init: interrupted\nhint: nothing was changed\n")
	}
	u := updating(t, asStandby(), false, updateCheck)
	interruptedAt(t, "", "rolling-update", "-M", u.mcdir).wants(t, exitFailed, "Begin? [y/N] \n", "mcctl: rolling-update: interrupted\nhint: nothing was changed\n")
	if n := u.count(wire.KindStop); n != 0 {
		t.Error("a server was stopped")
	}
}

// A question about a restart that is broken off is not answered with no.
func TestCtrlCIsNoAnswerToWhatIsAgreedTo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	env := testEnv(&bytes.Buffer{}, &bytes.Buffer{})
	env.Asking = true
	a := newAsker(env, &initOptions{})
	if agreed, err := a.agree(ctx, setup.ForRestart, "restart PostgreSQL now?"); agreed || err == nil {
		t.Errorf("got %t, %v", agreed, err)
	}
}
