package lab

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// account is the user that everything in the lab runs as and belongs to.
type account struct {
	user.User
	// become is set when we are root and must turn into that user.
	become *syscall.Credential
}

// findAccount takes the name from Options; "" means ourselves or, as root, the
// first of postgres and mcctl that exists: PostgreSQL refuses to run as root.
func findAccount(name string) (account, error) {
	if os.Geteuid() != 0 {
		me, err := user.Current()
		if err != nil {
			return account{}, fmt.Errorf("find out who we are: %w", err)
		}
		if name != "" && name != me.Username {
			return account{}, fmt.Errorf("become user %s: we are %s; only root can do that, so run it as root or as %s", name, me.Username, name)
		}
		return account{User: *me}, nil
	}
	candidates := []string{"postgres", "mcctl"}
	if name != "" {
		candidates = []string{name}
	}
	for _, n := range candidates {
		if u, err := user.Lookup(n); err == nil {
			return becoming(u)
		}
	}
	return account{}, fmt.Errorf("find user %s: PostgreSQL does not run as root and needs a user of its own; make one with: useradd --system --create-home %s",
		strings.Join(candidates, " or "), candidates[len(candidates)-1])
}

func becoming(u *user.User) (account, error) {
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if errUID != nil || errGID != nil || uid == 0 {
		return account{}, fmt.Errorf("become user %s: need a user other than root", u.Username)
	}
	c := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	ids, err := u.GroupIds()
	if err != nil {
		return account{}, fmt.Errorf("find groups of user %s: %w", u.Username, err)
	}
	for _, id := range ids {
		if g, err := strconv.ParseUint(id, 10, 32); err == nil {
			c.Groups = append(c.Groups, uint32(g))
		}
	}
	return account{User: *u, become: c}, nil
}

// own gives everything below path to the account. Links are not followed.
func (a account) own(path string) error {
	if a.become == nil {
		return nil
	}
	err := filepath.WalkDir(path, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, int(a.become.Uid), int(a.become.Gid))
	})
	if err != nil {
		return fmt.Errorf("give %s to %s: %w", path, a.Username, err)
	}
	return nil
}

// mkdir makes a directory of the account's own.
func (a account) mkdir(path string, mode fs.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	if a.become == nil {
		return nil
	}
	return os.Lchown(path, int(a.become.Uid), int(a.become.Gid))
}

// command prepares a program to run as the account, in dir, with a small clean
// environment: nothing of the caller's PG* variables or locale gets in.
func (a account) command(ctx context.Context, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + a.HomeDir, "USER=" + a.Username, "LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.become}
	return cmd
}

// do runs a program of ours to its end, feeding it input; it dies with us. The
// error carries the last lines of what it wrote.
func (a account) do(ctx context.Context, dir, input, program string, args ...string) error {
	// Pdeathsig is about the thread that started the child, so it must not end.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var out bytes.Buffer
	cmd := a.command(ctx, dir, program, args...)
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.Stdin = strings.NewReader(input)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w%s", filepath.Base(program), err, lastLines(out.String(), 8))
	}
	return nil
}

// lastLines is the end of a program's output, indented below an error.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	if len(lines) == 1 && lines[0] == "" {
		return ""
	}
	return "\n  " + strings.Join(lines, "\n  ")
}

// can asks as the account itself whether a path may be used ("-x", "-r"): modes,
// owners and every directory above it count, so the kernel is the one to answer.
func (a account) can(ctx context.Context, flag, path string) bool {
	return a.do(ctx, "/", "", "test", flag, path) == nil
}

// mustOwn refuses a path that is not a directory of the account's own.
func (a account) mustOwn(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	uid := uint32(os.Geteuid())
	if a.become != nil {
		uid = a.become.Uid
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || st.Uid != uid {
		return fmt.Errorf("use %s: it is not a directory of user %s; remove it", dir, a.Username)
	}
	return nil
}
