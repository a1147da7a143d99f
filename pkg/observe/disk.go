package observe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/wire"
)

// Disk watches the data directory's disk through a child process that writes and
// syncs. The child may hang in the kernel where no signal reaches it; then it is
// abandoned, and its silence is the verdict.
type Disk struct {
	Board          *board.Board
	Program        string // mcctl itself
	Dir            string
	Every, Timeout time.Duration
}

// ProbeCommand is the hidden command that runs IOProbe.
const ProbeCommand = "io-probe"

// Watch keeps a child running and notes its verdicts until ctx ends.
func (d *Disk) Watch(ctx context.Context) error {
	for ctx.Err() == nil {
		d.watchChild(ctx)
		sleep(ctx, d.Every)
	}
	return ctx.Err()
}

func (d *Disk) watchChild(ctx context.Context) {
	read, write, err := os.Pipe()
	if err != nil {
		return
	}
	defer func() { _ = read.Close() }()
	cmd := exec.Command(d.Program, ProbeCommand, d.Dir, d.Every.String())
	cmd.Stdout = write
	cmd.Env = []string{"GOMAXPROCS=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = write.Close()
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = read.SetReadDeadline(time.Now()) })
	defer stop()
	lines := bufio.NewScanner(read)
	for ctx.Err() == nil {
		_ = read.SetReadDeadline(time.Now().Add(d.Every + d.Timeout))
		if !lines.Scan() {
			break
		}
		d.note(lines.Text())
	}
	if os.IsTimeout(lines.Err()) && ctx.Err() == nil {
		d.note(fmt.Sprintf("no write came to an end within %s", d.Timeout))
	}
	_ = cmd.Process.Kill()
	reap(cmd, d.Timeout)
}

// reap collects the child if it can end at all.
func reap(cmd *exec.Cmd, patience time.Duration) {
	for began := time.Now(); time.Since(began) < patience; time.Sleep(5 * time.Millisecond) {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WNOHANG, nil)
		if pid != 0 || err != nil {
			break
		}
	}
	_ = cmd.Process.Release()
}

const probeOK = "ok"

func (d *Disk) note(line string) {
	failed := line != probeOK
	if s := d.Board.Read(); s.DiskFailed == failed {
		return
	}
	d.Board.Note(func(s *board.Sight) {
		s.DiskFailed, s.DiskError = failed, ""
		if failed {
			s.DiskError = line
		}
	})
}

// IOProbe is the child: it writes and syncs a small file again and again and says
// how it went, until its parent has gone. A full disk is not a failed one.
func IOProbe(dir string, every time.Duration, out io.Writer) error {
	for parent := os.Getppid(); os.Getppid() == parent; {
		verdict := probeOK
		if err := writeAndSync(filepath.Join(dir, "mcctl_io_probe")); err != nil && !isFull(err) {
			verdict = err.Error()
		}
		if _, err := fmt.Fprintln(out, verdict); err != nil {
			return fmt.Errorf("tell verdict: %w", err)
		}
		time.Sleep(wire.ToTick(every))
	}
	return nil
}

func isFull(err error) bool {
	return os.IsNotExist(err) || // the directory is being swapped
		isErrno(err, syscall.ENOSPC) || isErrno(err, syscall.EDQUOT)
}
