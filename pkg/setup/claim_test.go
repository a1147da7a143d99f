package setup

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// Below /etc only root may make a directory: what it has to do is said.
func TestDirectoryThatOnlyRootMayMake(t *testing.T) {
	s := &Setup{Dir: "/etc/mcctl/orders"}
	said := s.byRoot(&fs.PathError{Op: "mkdir", Path: "/etc/mcctl", Err: syscall.EACCES})
	if !strings.HasPrefix(said, "; have root make it: install -d -o ") || !strings.HasSuffix(said, " -m 0700 /etc/mcctl/orders") {
		t.Errorf("said %q", said)
	}
	if said := s.byRoot(errors.New("no space left")); said != "" {
		t.Errorf("said %q of something that root cannot mend either", said)
	}
}
