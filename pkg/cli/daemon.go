package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// daemon is a watch that this command has started in the background.
type daemon struct {
	mcdir  string
	watch  *exec.Cmd
	failed chan string // how the first child failed; closed when that can no longer happen
}

// launch starts this program again with args, a watch command, in a session of its
// own, with its output in the management directory's log.
func launch(env *Env, mcdir string, args ...string) (*daemon, error) {
	program, err := env.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	log, err := openLog(mcdir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	hear, tell, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer func() { _ = tell.Close() }()
	cmd := exec.Command(program, append(args, "--tell")...)
	cmd.Dir = mcdir // not where the operator stands: that may be unmounted one day
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{tell}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		_ = hear.Close()
		return nil, fmt.Errorf("start in the background: %w", err)
	}
	d := &daemon{mcdir: mcdir, watch: cmd, failed: make(chan string, 1)}
	go d.listen(hear)
	return d, nil
}

func openLog(mcdir string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(logOf(mcdir)), 0o700); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	log, err := os.OpenFile(logOf(mcdir), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return log, nil
}

// listen hears of the first child's failure, or of the watch's own end.
func (d *daemon) listen(hear io.ReadCloser) {
	line, err := bufio.NewReader(hear).ReadString('\n')
	_ = hear.Close()
	if err != nil { // nothing was said: the watch has ended
		if err = d.watch.Wait(); err == nil {
			err = errors.New("it ended at once, in good order")
		}
		line = err.Error()
	}
	d.failed <- strings.TrimSpace(line)
}

// until waits until up says yes. Asked over and over, up tells what it waits for,
// which is passed on to say. If the first child fails meanwhile, the watch is
// ended too: an operator who is told that the start failed must not find it
// running later.
func (d *daemon) until(ctx context.Context, logFrom int64, up func(context.Context) (ok bool, waiting string), say func(string)) error {
	before := ""
	for {
		ok, waiting := up(ctx)
		if ok {
			return nil
		}
		if waiting != "" && waiting != before {
			say(waiting)
			before = waiting
		}
		select {
		case why := <-d.failed:
			_ = d.watch.Process.Signal(syscall.SIGTERM)
			if words := d.lastWords(logFrom); words != "" {
				why = "it did not come up and said:" + words
			}
			return failed(exitFailed, fmt.Errorf("start: %s", why), "mend that and start again; all of the log is in %s", logOf(d.mcdir))
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lastWords is what the log has got since this command began, its last lines.
func (d *daemon) lastWords(from int64) string {
	text, err := os.ReadFile(logOf(d.mcdir))
	if err != nil || int64(len(text)) <= from {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text[from:])), "\n")
	// That it would be started again is no longer true.
	lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" || strings.HasPrefix(line, "watch: ") })
	if len(lines) == 0 {
		return ""
	}
	return "\n  " + strings.Join(lines[max(0, len(lines)-6):], "\n  ")
}

// logLength is how long the log is now; 0 when there is none.
func logLength(mcdir string) int64 {
	info, err := os.Stat(logOf(mcdir))
	if err != nil {
		return 0
	}
	return info.Size()
}
