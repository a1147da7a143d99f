package postgres

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"mcctl/pkg/pair"
)

// Lacks tells from where on the log is not here that data needs which was copied or
// rewound and has yet to become consistent; 0 for any other data. Until PostgreSQL gets
// that log it lets nobody in who could ask it. It reads the files of a server that may
// run, and asks whoever looks twice whether it is still so.
func (in *Instance) Lacks() (pair.LSN, error) {
	begin, err := in.beginsAt()
	if err != nil || begin == 0 {
		return 0, err
	}
	starts, size, err := in.segmentStarts()
	if err != nil || size == 0 {
		return begin, err
	}
	for at := begin - begin%size; ; at += size {
		if !starts[at] {
			return max(at, begin), nil
		}
	}
}

var labelStart = regexp.MustCompile(`(?m)^START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+) `)

// beginsAt is where recovery of such data begins: what the label says until PostgreSQL has
// read it and the checkpoint that it names, then what pg_control says (StartupXLOG in
// xlog.c, read_backup_label; 13 to 18).
func (in *Instance) beginsAt() (pair.LSN, error) {
	if unproven, err := in.unproven(); err != nil || !unproven {
		return 0, err
	}
	label, err := os.ReadFile(filepath.Join(in.Data, "backup_label"))
	if m := labelStart.FindSubmatch(label); err == nil && m != nil {
		return pair.ParseLSN(string(m[1]))
	}
	c, err := in.Control()
	return c.Redo, err
}

// segmentStarts are the positions at which a file of pg_wal begins that is in use, of
// whatever timeline, and how long each is.
func (in *Instance) segmentStarts() (starts map[pair.LSN]bool, size pair.LSN, err error) {
	dir := filepath.Join(in.Data, "pg_wal")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, fmt.Errorf("look for log that is missing: %w", err)
	}
	starts = map[pair.LSN]bool{}
	for _, e := range entries {
		m := segmentName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		if begin, long, used := firstPage(filepath.Join(dir, e.Name()), m); used {
			starts[begin], size = true, long
		}
	}
	return starts, size, nil
}

// firstPage is what the first page of a segment says, and whether that fits its name: see
// segments.
func firstPage(path string, name []string) (begin, size pair.LSN, used bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, false
	}
	defer f.Close()
	header := make([]byte, 40)
	if n, _ := f.ReadAt(header, 0); n < len(header) {
		return 0, 0, false
	}
	long := uint64(binary.NativeEndian.Uint32(header[32:]))
	if long == 0 {
		return 0, 0, false
	}
	begin = pair.LSN((number(name[2])*(1<<32/long) + number(name[3])) * long)
	return begin, pair.LSN(long), pair.LSN(binary.NativeEndian.Uint64(header[8:])) == begin
}
