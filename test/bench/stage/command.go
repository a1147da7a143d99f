package stage

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"mcctl/pkg/pair"
)

// A command that takes longer has failed, whatever it is waiting for.
const commandTimeout = 2 * time.Minute

// Run lets a server's operator run one mcctl command to its end and returns what
// it printed. Ctrl-C on the terminal does not reach it: the end of ctx kills it.
func (s *Stage) Run(ctx context.Context, server pair.Server, command string, flags ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	args := append([]string{command, "-M", s.Lab.Mcdir(server)}, flags...)
	cmd := exec.CommandContext(ctx, s.Lab.Mcctl(), args...)
	cmd.Dir = s.Lab.Dir
	cmd.Env = []string{"HOME=" + os.Getenv("HOME"), "LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("run mcctl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}
