package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mcctl/pkg/durable"
)

const fillerName = "filler"

// diskFault does one of the things that happen to disks.
func (h *host) diskFault(d disk, fault string) error {
	var none uint32
	switch fault {
	case "full":
		return d.fill(0)
	case "free": // not while fencing takes the host its disks and gives them back
		h.hands.Lock()
		defer h.hands.Unlock()
		return d.empty()
	case "hang":
		return ioctl(d.mount, fsFreeze, &none)
	case "thaw":
		return thawDisk(d.mount)
	case "slow":
		return d.stall()
	case "read-only": // what ext4 does by itself when it finds an error
		device, err := d.loop()
		if err != nil {
			return err
		}
		return os.WriteFile("/sys/fs/ext4/"+device+"/trigger_fs_error", []byte("1"), 0)
	case "error": // every access fails with EIO from now on
		flag := uint32(logFlush)
		return ioctl(d.mount, ext4Shutdown, &flag)
	case "lost":
		return h.loseDisk(d)
	}
	return fmt.Errorf("disk %q: want full, free, hang, thaw, slow, read-only, error or lost", fault)
}

// stall lets the disk stand still for a second, three times, with short breaks.
func (d disk) stall() error {
	var none uint32
	for range 3 {
		if err := ioctl(d.mount, fsFreeze, &none); err != nil {
			return err
		}
		time.Sleep(time.Second)
		if err := thawDisk(d.mount); err != nil {
			return err
		}
		time.Sleep(300 * time.Millisecond)
	}
	return nil
}

// loop is the name of the loop device below the disk.
func (d disk) loop() (string, error) {
	out, err := exec.Command("findmnt", "-n", "-o", "SOURCE", d.mount).Output()
	if err != nil {
		return "", fmt.Errorf("find the device of the disk %s: %w", d.mount, err)
	}
	return filepath.Base(strings.TrimSpace(string(out))), nil
}

// leave fills the disk until only so much of it is free, such as 5%.
func (d disk) leave(share string) error {
	percent, err := strconv.ParseUint(strings.TrimSuffix(share, "%"), 10, 7)
	if err != nil || percent > 100 {
		return fmt.Errorf("%q: want a share such as 5%%", share)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(d.mount, &st); err != nil {
		return err
	}
	return d.fill(st.Blocks * percent / 100 * uint64(st.Bsize))
}

// empty takes the filler away for good: a host that loses its power right afterwards would
// have it again.
func (d disk) empty() error {
	filler := filepath.Join(d.mount, fillerName)
	if _, err := os.Lstat(filler); err != nil {
		return err
	}
	return durable.Remove(filler)
}

// writtenFull is what is filled by writing: nobody can allocate the very last block.
const writtenFull = 16 << 20

// fill leaves so many bytes free; 0 is not one block.
func (d disk) fill(free uint64) error {
	f, err := os.OpenFile(filepath.Join(d.mount, fillerName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Statfs(d.mount, &st); err != nil {
		return err
	}
	now, rest := st.Bavail*uint64(st.Bsize), max(free, writtenFull)
	if now <= free {
		return errors.New("there is less room on the disk already")
	}
	if now > rest {
		end, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		if err := unix.Fallocate(int(f.Fd()), 0, end, int64(now-rest)); err != nil {
			return err
		}
	}
	for block := make([]byte, 1<<20); free == 0 && len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2] // smaller ones may still fit
		}
	}
	return nil
}

// loseDisk replaces the disk of a host that is down by an empty one.
func (h *host) loseDisk(d disk) error {
	if h.isUp() {
		return fmt.Errorf("disk %s lost: power the host off first", h.name)
	}
	if err := h.unplug(); err != nil {
		return err
	}
	return d.make()
}
