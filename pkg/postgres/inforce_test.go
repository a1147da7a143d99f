package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFactProbe(t *testing.T) {
	in := newServer(t)
	conf := filepath.Join(in.Data, "postgresql.conf")
	start(t, in)
	s := connect(t, in)
	base, err := os.ReadFile(conf)
	ok(t, err)
	for _, add := range []string{"", "work_mem = 1 2\n", "nosuch = 1\n", "include 'none'\n", "work_mem = 'x'\n", "max_connections = 77\n", "work_mem='5MB'\nsynchronous_standby_names = 'a b'\n", "include 'postgresql.conf'\n", "my.ext = 1\n", "primary_slot_name = 'A-B'\n"} {
		ok(t, os.WriteFile(conf, append(slices.Clone(base), add...), 0o600))
		refused, faults, err := s.FileFaults(within(t))
		fmt.Printf("%q: %v %v %v\n", add, refused, faults, err)
	}
	_ = strings.Join
}
