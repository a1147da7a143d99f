package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	fillerName    = "filler"
	unmountWithin = 20 * time.Second
)

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

// plugIn mounts the host's disk. A fault of an earlier life has been healed by then.
func (h *host) plugIn() error {
	if mounted(h.disk()) {
		return nil
	}
	if err := run("e2fsck", "-p", h.image()); err != nil && !strings.Contains(err.Error(), "exit status 1:") { // 1: mended
		return err
	}
	if out, err := exec.Command("mount", "-o", "loop,errors=remount-ro", h.image(), h.disk()).CombinedOutput(); err != nil {
		return fmt.Errorf("mount disk of %s: %w: %s", h.name, err, out)
	}
	return nil
}

// unplug takes the disk away from a host that is down.
func (h *host) unplug() error {
	var err error
	for end := time.Now().Add(unmountWithin); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if !mounted(h.disk()) {
			return nil
		}
		if err = unix.Unmount(h.disk(), 0); err == nil {
			return nil
		}
	}
	return fmt.Errorf("unmount disk of %s: %w", h.name, err)
}

// cutDisk is what a power cut does to a disk: nothing more reaches it, and what was
// not synced is gone.
func (h *host) cutDisk() error {
	_ = thawDisk(h.disk()) // one that hangs would not hear of it
	flag := uint32(noLogFlush)
	if err := ioctl(h.disk(), ext4Shutdown, &flag); err != nil {
		return fmt.Errorf("cut the power of the disk of %s: %w", h.name, err)
	}
	return nil
}

// loop is the name of the loop device below the disk.
func (h *host) loop() (string, error) {
	out, err := exec.Command("findmnt", "-n", "-o", "SOURCE", h.disk()).Output()
	if err != nil {
		return "", fmt.Errorf("find the device of the disk of %s: %w", h.name, err)
	}
	return filepath.Base(strings.TrimSpace(string(out))), nil
}

// diskFault does one of the things that happen to disks.
func (h *host) diskFault(fault string) error {
	var none uint32
	switch fault {
	case "full":
		return h.fill()
	case "free":
		return os.Remove(filepath.Join(h.disk(), fillerName))
	case "hang":
		return ioctl(h.disk(), fsFreeze, &none)
	case "thaw":
		return thawDisk(h.disk())
	case "read-only": // what ext4 does by itself when it finds an error
		device, err := h.loop()
		if err != nil {
			return err
		}
		return os.WriteFile("/sys/fs/ext4/"+device+"/trigger_fs_error", []byte("1"), 0)
	case "error": // every access fails with EIO from now on
		flag := uint32(logFlush)
		return ioctl(h.disk(), ext4Shutdown, &flag)
	case "lost":
		return h.loseDisk()
	}
	return fmt.Errorf("disk %q: want full, free, hang, thaw, read-only, error or lost", fault)
}

// fill leaves no block free.
func (h *host) fill() error {
	f, err := os.OpenFile(filepath.Join(h.disk(), fillerName), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2] // smaller ones may still fit
		}
	}
	return nil
}

// loseDisk replaces the disk of a host that is down by an empty one.
func (h *host) loseDisk() error {
	if h.isUp() {
		return fmt.Errorf("disk %s lost: power the host off first", h.name)
	}
	if err := h.unplug(); err != nil {
		return err
	}
	return h.newDisk()
}

func (h *host) newDisk() error {
	_ = os.Remove(h.image())
	f, err := os.Create(h.image())
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(diskSize); err != nil {
		return err
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", h.image()).CombinedOutput(); err != nil {
		return fmt.Errorf("make disk: %w: %s", err, out)
	}
	return nil
}
