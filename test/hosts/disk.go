package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	ext4Shutdown  = 0x8004587d // EXT4_IOC_SHUTDOWN
	logFlush      = 1          // what is in the journal is written first
	noLogFlush    = 2          // nothing more is written, as when the power fails
	fsFreeze      = 0xc0045877 // FIFREEZE
	fsThaw        = 0xc0045878 // FITHAW
	diskSize      = 1200 << 20 // sparse
	smallDiskSize = 1000 << 20
	unmountWithin = 20 * time.Second
)

// disk is one of a host's disks: a file of the run with ext4 in it.
type disk struct {
	name         string // main, log or space
	image, mount string
	place        string // where it is inside the host
	size         int64
}

// disks are all that the host has. pg_wal and tablespaces are on main unless a scenario
// wants them on disks of their own.
func (h *host) disks() []disk {
	all := []disk{{"main", h.image(), h.disk(), h.place(), diskSize}}
	if !h.w.apart || h.name == "w" {
		return all
	}
	for _, name := range []string{"log", "space"} {
		all = append(all, disk{name, h.image() + "." + name, h.disk() + "." + name, "/var/lib/" + name, smallDiskSize})
	}
	return all
}

func (h *host) diskNamed(name string) (disk, error) {
	all := h.disks()
	i := slices.IndexFunc(all, func(d disk) bool { return d.name == name })
	if i < 0 {
		return disk{}, fmt.Errorf("host %s has no disk %s: the scenario needs the line disks apart", h.name, name)
	}
	return all[i], nil
}

func ioctl(path string, request uintptr, arg *uint32) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(arg))); errno != 0 {
		return errno
	}
	return nil
}

func thawDisk(path string) error {
	var none uint32
	return ioctl(path, fsThaw, &none)
}

// mounted looks at the table of mounts: stat fails on a disk without power.
func mounted(path string) bool {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	return strings.Contains(string(mounts), " "+path+" ")
}

// plugIn mounts the host's disks. A fault of an earlier life has been healed by then.
func (h *host) plugIn() error {
	for _, d := range h.disks() {
		if err := d.plugIn(); err != nil {
			return err
		}
	}
	return nil
}

func (d disk) plugIn() error {
	if mounted(d.mount) {
		return nil
	}
	if err := os.MkdirAll(d.mount, 0o755); err != nil {
		return err
	}
	if err := run("e2fsck", "-p", d.image); err != nil && !strings.Contains(err.Error(), "exit status 1:") { // 1: mended
		return err
	}
	return run("mount", "-o", "loop,errors=remount-ro", d.image, d.mount)
}

// unplug takes the disks away from a host that is down.
func (h *host) unplug() error {
	for _, d := range h.disks() {
		if err := d.unplug(); err != nil {
			return err
		}
	}
	return nil
}

func (d disk) unplug() error {
	var err error
	for end := time.Now().Add(unmountWithin); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if !mounted(d.mount) {
			return nil
		}
		if err = unix.Unmount(d.mount, 0); err == nil {
			return nil
		}
	}
	return fmt.Errorf("unmount disk %s: %w", d.mount, err)
}

// cutDisks is what a power cut does to disks: nothing more reaches them, and what was
// not synced is gone.
func (h *host) cutDisks() error {
	flag := uint32(noLogFlush)
	for _, d := range h.disks() {
		_ = thawDisk(d.mount) // one that hangs would not hear of it
		if err := ioctl(d.mount, ext4Shutdown, &flag); err != nil {
			return fmt.Errorf("cut the power of the disk %s: %w", d.mount, err)
		}
	}
	return nil
}

func (h *host) thawDisks() {
	for _, d := range h.disks() {
		_ = thawDisk(d.mount) // most are not frozen
	}
}

// make makes an empty disk.
func (d disk) make() error {
	_ = os.Remove(d.image)
	f, err := os.Create(d.image)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(d.size); err != nil {
		return err
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", d.image).CombinedOutput(); err != nil {
		return fmt.Errorf("make disk: %w: %s", err, out)
	}
	return nil
}

// spread gives a server that is down disks of their own for pg_wal and a tablespace.
func (h *host) spread() error {
	for _, d := range h.disks()[1:] {
		if err := d.make(); err != nil {
			return err
		}
	}
	if err := h.plugIn(); err != nil {
		return err
	}
	main := filepath.Join(h.disk(), "main")
	move := fmt.Sprintf("cp -a %[1]s/pg_wal %[2]s/ && rm -rf %[1]s/pg_wal && ln -s /var/lib/log/pg_wal %[1]s/pg_wal && mkdir %[3]s/space && chown --reference=%[1]s %[3]s/space && sync",
		main, h.disk()+".log", h.disk()+".space")
	return run("sh", "-ec", move)
}
