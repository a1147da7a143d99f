// Package fault makes faults that are real for every process that a test starts: a disk
// that is full, and a network that is gone. A test that asks for them runs as a process
// of its own in namespaces of its own, as whoever runs the tests; nothing of it is seen
// outside. The tests of whole commands use it. A disk that hangs is one for a test alone.
package fault

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const variable = "MCCTL_TEST_INSIDE"

// Inside tells whether the test runs in namespaces of its own. Where it does not, it is
// run so, to its end, and there is nothing left for the caller to do.
func Inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(variable) == t.Name() {
		enter(t)
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "14m")
	cmd.Env = append(os.Environ(), variable+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if t.Logf("%s", out); err != nil {
		t.Fatalf("in namespaces of its own (sysctl kernel.unprivileged_userns_clone=1 allows them): %v", err)
	}
	return false
}

// enter makes the namespaces fit to work in.
func enter(t *testing.T) {
	t.Helper()
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatalf("part mounts: %v", err)
	}
	Network(t, true)
}

// Network lets everything that runs inside reach each other by TCP, or drops it all:
// nobody is told that connections are gone.
func Network(t *testing.T, up bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(0)
	if up {
		lo.SetUint16(unix.IFF_UP)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatalf("set the loopback device up=%v: %v", up, err)
	}
}

// Disk is a small file system of its own, in memory.
type Disk struct {
	*testing.T
	Dir  string
	size int64
}

// NewDisk mounts one at a new directory.
func NewDisk(t *testing.T, size int64) *Disk {
	t.Helper()
	dir, err := os.MkdirTemp("", "mcdisk")
	if err != nil {
		t.Fatal(err)
	}
	d := &Disk{T: t, Dir: dir, size: size}
	if err := unix.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("mode=0700,size=%d", size)); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() { _ = errors.Join(unix.Unmount(dir, unix.MNT_DETACH), os.Remove(dir)) })
	return d
}

// Grow makes it larger.
func (d *Disk) Grow(by int64) {
	d.Helper()
	d.size += by
	if err := d.resize(d.size); err != nil {
		d.Fatalf("grow the disk: %v", err)
	}
}

// Fill leaves no byte: the disk becomes as small as what is on it, until Free.
func (d *Disk) Fill() { d.Leave(0) }

// Shrink is Fill for good: Grow goes on from there.
func (d *Disk) Shrink() { d.size = d.leave(0) }

// Leave leaves so many bytes: a file that needs more is not written to its end.
func (d *Disk) Leave(room int64) { d.leave(room) }

func (d *Disk) leave(room int64) (size int64) {
	d.Helper()
	for {
		var is unix.Statfs_t
		if err := unix.Statfs(d.Dir, &is); err != nil {
			d.Fatal(err)
		}
		size = int64(is.Blocks-is.Bfree)*is.Bsize + room
		err := d.resize(size)
		if err == nil {
			return size
		}
		if !errors.Is(err, unix.EINVAL) { // somebody has written meanwhile
			d.Fatalf("fill the disk: %v", err)
		}
	}
}

// Free makes room again.
func (d *Disk) Free() { d.Grow(0) }

func (d *Disk) resize(size int64) error {
	return unix.Mount("none", d.Dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("mode=0700,size=%d", size))
}

// Replace puts the disk in the place of a directory, with all that is in it.
func (d *Disk) Replace(dir string) {
	d.Helper()
	if out, err := exec.Command("cp", "-a", dir+"/.", d.Dir).CombinedOutput(); err != nil {
		d.Fatalf("copy to the small disk: %v\n%s", err, out)
	}
	if err := errors.Join(os.RemoveAll(dir), os.Symlink(d.Dir, dir)); err != nil {
		d.Fatal(err)
	}
}
