package first

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// cut runs a block that is one command and kills it with SIGKILL when it says something
// that is new, before it can say more. It tells what that was, or that the command came
// to its end first.
func (h *hosts) cut(host, stdin, text string, isNew func(said string) bool) (at string, ended bool) {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	said, says := stepwise(h.T)
	defer said.Close()
	cmd := h.shell(ctx, host, "exec "+text)
	cmd.Stdin, cmd.Stdout = strings.NewReader(stdin), says
	var complaints strings.Builder
	cmd.Stderr = &complaints
	h.ok(cmd.Start())
	h.ok(says.Close())
	for at = h.peek(said); at != "" && !isNew(at); at = h.peek(said) {
		h.take(said)
	}
	h.ok(cmd.Process.Kill())
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return at, false
	}
	if err != nil {
		h.Fatalf("on %s:\n%s\n%v\n%s", host, text, err, complaints.String())
	}
	return at, true
}

// stepwise is a pipe with room for one message: a second one waits until the first was
// heard (O_DIRECT in pipe(2), F_SETPIPE_SZ in fcntl(2)). Who speaks into it cannot run
// ahead of who listens, however short its steps are.
func stepwise(t *testing.T) (said, says *os.File) {
	t.Helper()
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_DIRECT|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(ends[0]), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(ends[0]), "said"), os.NewFile(uintptr(ends[1]), "says")
}

// peek waits for a message and leaves it where it is; there is none at the end.
func (h *hosts) peek(said *os.File) string {
	h.Helper()
	r, w, err := os.Pipe()
	h.ok(err)
	defer r.Close()
	defer w.Close()
	n, err := unix.Tee(int(said.Fd()), int(w.Fd()), os.Getpagesize(), 0)
	h.ok(err)
	if n == 0 {
		return ""
	}
	return h.take(r)
}

// take takes one message.
func (h *hosts) take(said *os.File) string {
	h.Helper()
	message := make([]byte, os.Getpagesize())
	n, err := said.Read(message)
	h.ok(err)
	return string(message[:n])
}
