package durable

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// accessList is where Linux keeps the POSIX access list of a file (acl(5)).
const accessList = "system.posix_acl_access"

// keepAttributes gives temp the extended attributes of the file at path: access lists
// (system.posix_acl_access), an SELinux label, what users have set. It comes after
// chmod, which would change the list's mask. A label that only the system may set is
// left as the directory gives it.
func keepAttributes(temp *os.File, path string) error {
	names, err := listAttributes(path)
	if errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOENT) {
		return nil // no attributes here, or no file yet
	}
	if err != nil {
		return fmt.Errorf("list its attributes: %w", err)
	}
	if !slices.Contains(names, accessList) {
		_ = syscall.Removexattr(temp.Name(), accessList) // the directory's default, if it has one
	}
	for _, name := range names {
		value, err := attribute(path, name)
		if err == nil {
			err = syscall.Setxattr(temp.Name(), name, value, 0)
		}
		switch {
		case err == nil, errors.Is(err, syscall.ENODATA):
		case name != accessList && !strings.HasPrefix(name, "user."):
		default:
			return fmt.Errorf("keep its attribute %s: %w", name, err)
		}
	}
	return nil
}

func listAttributes(path string) (names []string, err error) {
	n, err := syscall.Listxattr(path, nil)
	if err != nil || n == 0 {
		return nil, err
	}
	list := make([]byte, n)
	if n, err = syscall.Listxattr(path, list); err != nil {
		return nil, err
	}
	for name := range bytes.SplitSeq(bytes.TrimSuffix(list[:n], []byte{0}), []byte{0}) {
		names = append(names, string(name))
	}
	return names, nil
}

func attribute(path, name string) ([]byte, error) {
	n, err := syscall.Getxattr(path, name, nil)
	if err != nil || n == 0 {
		return nil, err
	}
	value := make([]byte, n)
	n, err = syscall.Getxattr(path, name, value)
	if err != nil {
		return nil, err
	}
	return value[:n], nil
}
