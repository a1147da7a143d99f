package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// insideEnv is set in the process that runs inside, to the name of the run.
const insideEnv = "MCCTL_HOSTS_RUN"

// imageEnv tells it the root file system of the hosts, which is made outside: to
// make it takes the machine's network.
const imageEnv = "MCCTL_HOSTS_IMAGE"

// prefix begins the name of every run, its directory below /tmp and its cgroups.
const prefix = "mcctl-hosts-"

func enclosed() bool { return os.Getenv(insideEnv) != "" && os.Getpid() != 1 }

// runName tells whose the run is: the process, and when that began, because
// numbers of processes come back.
func runName() string { return fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), startOf(os.Getpid())) }

// startOf is when a process began, in ticks since boot; "" if it has ended.
func startOf(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if fields[0] == "Z" || fields[0] == "X" { // nobody has asked how it ended
		return ""
	}
	return fields[19] // starttime, proc_pid_stat(5)
}

// enclose runs this program once more in process, mount and network namespaces of
// its own, below a process 1 that reaps, and returns its exit status. When either dies,
// the kernel ends all processes below, and with the last of them go mounts, loop devices
// and network. Directory and cgroups are removed here, or by the next run.
func enclose() int {
	if os.Getenv(insideEnv) != "" {
		return reap()
	}
	if err := able(); err != nil {
		fmt.Fprintln(os.Stderr, "test/hosts:", err)
		return 1
	}
	root, err := image()
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/hosts:", err)
		return 1
	}
	sweep()
	runtime.LockOSThread() // the child is killed when this thread ends
	name := runName()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideEnv+"="+name, imageEnv+"="+root)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
	}
	if err := startAndPassSignals(cmd); err != nil {
		fmt.Fprintln(os.Stderr, "test/hosts: make namespaces:", err)
		return 1
	}
	err = cmd.Wait()
	clearAway(name)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "test/hosts:", err)
	return 1
}

// image finds or makes the root file system of the hosts.
func image() (string, error) {
	script, err := findUp("test/hosts/image")
	if err != nil {
		return "", err
	}
	cmd := exec.Command(script)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("make the image of the hosts: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// able says what this machine lacks, and the command that mends it.
func able() error {
	if os.Geteuid() != 0 {
		return errors.New("real hosts need root; run: sudo make hosts")
	}
	for _, program := range []string{"systemd-nspawn", "debootstrap", "nft", "ip", "tc", "mkfs.ext4", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is missing; run: sudo apt-get install -y systemd-container debootstrap nftables iproute2 e2fsprogs util-linux", program)
		}
	}
	if _, err := cgroups(); err != nil {
		return err
	}
	for _, kind := range []string{"overlay", "ext4"} {
		known, _ := os.ReadFile("/proc/filesystems")
		if !strings.Contains(string(known), "\t"+kind+"\n") {
			return fmt.Errorf("the kernel does not know the file system %s; run: sudo modprobe %s", kind, kind)
		}
	}
	return nil
}

// sweep removes what runs have left whose process has gone. Others may be at work.
func sweep() {
	dirs, _ := filepath.Glob("/tmp/" + prefix + "*")
	groups, _ := cgroups()
	for _, g := range groups {
		more, _ := filepath.Glob(filepath.Join(g, prefix+"*"))
		dirs = append(dirs, more...)
	}
	for _, dir := range dirs {
		name := filepath.Base(dir)
		pid, start, _ := strings.Cut(strings.TrimPrefix(name, prefix), "-")
		n, err := strconv.Atoi(pid)
		if err == nil && startOf(n) != start {
			clearAway(name)
		}
	}
}

// clearAway removes the directory and the cgroups of a run that has ended. A process
// of it may hang in a write to a disk that was frozen: that is thawed.
func clearAway(name string) {
	groups, err := cgroups()
	if err != nil {
		return
	}
	top := filepath.Join(groups[0], name)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		left := processes(top)
		if len(left) == 0 {
			break
		}
		for _, pid := range left {
			for _, place := range []string{"/var/lib/postgresql", "/var/lib/mcctl", "/var/lib/log", "/var/lib/space"} {
				_ = thawDisk(fmt.Sprintf("/proc/%d/root%s", pid, place))
			}
		}
		_ = os.WriteFile(filepath.Join(top, "cgroup.kill"), []byte("1"), 0)
	}
	for _, g := range groups {
		removeGroups(filepath.Join(g, name))
	}
	_ = os.RemoveAll("/tmp/" + name)
}

// furnish makes the namespaces that this process was started in its own.
func furnish(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/run/netns", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /run/netns: %w", err)
	}
	// In memory, so that what others do to the machine's disk is no fault of ours. Shared,
	// so that an umount here also reaches the copies that hosts booted later have of it:
	// otherwise they would hold a disk that has lost its power.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=6g,mode=755"); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	return unix.Mount("", dir, "", unix.MS_SHARED, "")
}
