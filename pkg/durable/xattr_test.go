package durable

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// list is an access list in the kernel's form (struct posix_acl_xattr_entry): the
// owner and user 12345 may read and write, nobody else anything.
func list() []byte {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, uint32(2))
	for _, e := range []struct {
		Tag, Perm uint16
		ID        uint32
	}{{0x01, 6, 0xffffffff}, {0x02, 6, 12345}, {0x04, 0, 0xffffffff}, {0x10, 6, 0xffffffff}, {0x20, 0, 0xffffffff}} {
		_ = binary.Write(&b, binary.LittleEndian, e)
	}
	return b.Bytes()
}

func TestWriteFileKeepsAccessListsAndAttributes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "old", 0o600)
	for name, value := range map[string][]byte{accessList: list(), "user.note": []byte("ours"), "user.empty": nil} {
		if err := syscall.Setxattr(path, name, value, 0); err != nil {
			t.Fatalf("set %s: %v; run the tests with TMPDIR on a file system that has access lists", name, err)
		}
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		write(t, path, "new", 0o600)
		for name, want := range map[string]string{accessList: string(list()), "user.note": "ours", "user.empty": ""} {
			if got, err := attribute(path, name); err != nil || string(got) != want {
				t.Errorf("%s is %q, %v; want %q", name, got, err, want)
			}
		}
		if after, err := os.Stat(path); err != nil || after.Mode() != before.Mode() {
			t.Errorf("mode %v, %v; was %v", after.Mode(), err, before.Mode())
		}
	}
	// The directory's default list is for new files, not for one that had none.
	plain := filepath.Join(dir, "plain")
	write(t, plain, "old", 0o640)
	if err := syscall.Setxattr(dir, "system.posix_acl_default", list(), 0); err != nil {
		t.Fatal(err)
	}
	write(t, plain, "new", 0o640)
	if got, err := attribute(plain, accessList); err == nil {
		t.Errorf("a file without a list got %q", got)
	}
	if info, err := os.Stat(plain); err != nil || info.Mode() != 0o640 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
}
