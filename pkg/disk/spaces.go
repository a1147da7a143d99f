package disk

import (
	"cmp"
	"fmt"
	"path/filepath"
)

// Space is a directory in which PostgreSQL writes, and the room there.
type Space struct {
	Path string `json:"path"`
	// Log: it is that of pg_wal; Tablespace: one outside the data directory.
	Log        bool `json:"log,omitempty"`
	Tablespace bool `json:"tablespace,omitempty"`
	Room
}

// Spaces measures, once, where PostgreSQL writes: the data directory, that of pg_wal, and the
// tablespaces, of which one may be just going. Like a try of Probe it may hang.
func Spaces(data string) ([]Space, error) {
	links, err := elsewhere(data)
	if err != nil {
		return nil, err
	}
	wal := filepath.Join(data, "pg_wal") // which may be a mount point
	log := cmp.Or(leads(wal), wal)
	all := []Space{{Path: data}, {Path: log, Log: true}}
	for _, path := range links {
		if path != log {
			all = append(all, Space{Path: path, Tablespace: true})
		}
	}
	for i := range all {
		s := &all[i]
		if s.Room = roomOf(s.Path); !s.Known() && !s.Tablespace {
			return nil, fmt.Errorf("the room of %s cannot be measured", s.Path)
		}
	}
	return all, nil
}
