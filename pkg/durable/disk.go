package durable

import "io/fs"

// Disk is where small files lie: this machine's file system, or the simulator's.
type Disk interface {
	ReadJSON(path string, v any) error
	WriteJSON(path string, v any, mode fs.FileMode) error
	Remove(path string) error
	Sync(path string) error
}

// Machine is this machine's file system: the functions of this package.
var Machine Disk = machine{}

type machine struct{}

func (machine) ReadJSON(path string, v any) error { return ReadJSON(path, v) }

func (machine) WriteJSON(path string, v any, mode fs.FileMode) error {
	return WriteJSON(path, v, mode)
}

func (machine) Remove(path string) error { return Remove(path) }

func (machine) Sync(path string) error { return Sync(path) }
