package disk

import (
	"cmp"
	"path/filepath"
)

// Space is a directory in which PostgreSQL writes, and the room there. Log: pg_wal is there.
type Space struct {
	Path string `json:"path"`
	Log  bool   `json:"log,omitempty"`
	Room
}

// Spaces measures, once, where PostgreSQL writes: in the data directory, where pg_wal leads
// to, and in the tablespaces. Like a try of Probe it may hang.
func Spaces(data string) (all []Space, err error) {
	links, err := elsewhere(data)
	if err != nil {
		return nil, err
	}
	log := cmp.Or(leads(filepath.Join(data, "pg_wal")), data)
	for _, path := range append([]string{data}, links...) {
		all = append(all, Space{Path: path, Log: path == log, Room: roomOf(path)})
	}
	return all, nil
}
