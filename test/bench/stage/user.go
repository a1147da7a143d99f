package stage

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Workplace makes a new directory below /tmp, copies the mcctl program into it,
// and turns this process, if it is root, into the user that PostgreSQL can run as:
// RUN_AS, or else postgres or mcctl. The copy keeps a run from being disturbed by
// the next build, and is within that user's reach. Again turns the process back;
// everything that it starts in between has no way back.
func Workplace(mcctl string) (dir, program string, again func() error, err error) {
	dir, err = os.MkdirTemp("/tmp", "mcshow")
	if err != nil {
		return "", "", nil, fmt.Errorf("make a directory to work in: %w", err)
	}
	program = filepath.Join(dir, "mcctl")
	if err = copyProgram(mcctl, program); err == nil {
		again, err = becomeUser(dir)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
	}
	return dir, program, again, err
}

func copyProgram(from, to string) error {
	program, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, program, 0o755)
	}
	if err != nil {
		return fmt.Errorf("copy the mcctl program: %w; build it by: make build", err)
	}
	return nil
}

func becomeUser(dir string) (again func() error, err error) {
	if err := os.Chdir(dir); err != nil { // the present one may be out of the user's reach
		return nil, err
	}
	if os.Geteuid() != 0 {
		return func() error { return nil }, nil
	}
	uid, gid, err := unprivileged()
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		return nil, fmt.Errorf("give %s to its user: %w", dir, err)
	}
	groups, err := syscall.Getgroups()
	if err != nil {
		return nil, fmt.Errorf("ask for our groups: %w", err)
	}
	again = func() error {
		if err := syscall.Setresuid(0, 0, 0); err != nil {
			return fmt.Errorf("become root again: %w", err)
		}
		if err := syscall.Setresgid(0, 0, 0); err != nil {
			return fmt.Errorf("become root's group again: %w", err)
		}
		return syscall.Setgroups(groups)
	}
	if err := os.Setenv("HOME", dir); err != nil {
		return nil, err
	}
	// The saved ids stay root's, for again; a program that is started loses them.
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return nil, fmt.Errorf("leave root's groups: %w", err)
	}
	if err := syscall.Setresgid(gid, gid, 0); err != nil {
		return nil, fmt.Errorf("become group %d: %w", gid, err)
	}
	if err := syscall.Setresuid(uid, uid, 0); err != nil {
		return nil, fmt.Errorf("become user %d: %w", uid, err)
	}
	return again, nil
}

// unprivileged asks the id program: package os/user would remember that we are root.
func unprivileged() (uid, gid int, err error) {
	for _, name := range []string{os.Getenv("RUN_AS"), "postgres", "mcctl"} {
		if name == "" {
			continue
		}
		uid, errUID := idOf("-u", name)
		gid, errGID := idOf("-g", name)
		if errUID == nil && errGID == nil && uid != 0 {
			return uid, gid, nil
		}
	}
	return 0, 0, fmt.Errorf("find a user to run PostgreSQL as, which refuses root: run make setup")
}

func idOf(flag, name string) (int, error) {
	out, err := exec.Command("id", flag, name).Output()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}
