package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"mcctl/pkg/pair"
)

// Tail is the log that is here beyond the point where two histories part.
type Tail struct {
	Timeline pair.Timeline // on which they part
	From     pair.LSN
	Segments []Segment // in order
}

// Segment is a file of the log that is in use.
type Segment struct {
	Path     string
	Timeline pair.Timeline
	Bytes    int64
	Begin    pair.LSN
	// End is the end of the last page that was written to.
	End pair.LSN
	// Stamp changes when the file is written to.
	Stamp string
}

// End is where the log ends, to the page.
func (t Tail) End() (end pair.LSN) {
	for _, s := range t.Segments {
		end = max(end, s.End)
	}
	return end
}

// Begin is where the log of one of its timelines begins. What comes before, back to where
// the histories part, PostgreSQL has removed.
func (t Tail) Begin(on pair.Timeline) pair.LSN {
	for _, s := range t.Segments {
		if s.Timeline == on {
			return s.Begin
		}
	}
	return 0
}

// Bytes is what the files take.
func (t Tail) Bytes() (n int64) {
	for _, s := range t.Segments {
		n += s.Bytes
	}
	return n
}

// Timelines are those that the tail goes over, from where the histories part.
func (t Tail) Timelines() (all []pair.Timeline) {
	for _, s := range t.Segments {
		if !slices.Contains(all, s.Timeline) {
			all = append(all, s.Timeline)
		}
	}
	return all
}

// Stamp tells one state of these files from another.
func (t Tail) Stamp() string {
	var all []string
	for _, s := range t.Segments {
		all = append(all, s.Stamp)
	}
	return strings.Join(all, " ")
}

var segmentName = regexp.MustCompile(`^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$`)

// TailBeyond finds the log of the stopped server that another history lacks: forks
// are its forks, on its timeline, which is written to at insert. A tail without
// segments is none. It reads pg_wal only, and only the headers of its pages.
func (in *Instance) TailBeyond(forks []Fork, on pair.Timeline, insert pair.LSN) (Tail, error) {
	all, err := in.segments()
	if err != nil {
		return Tail{}, fmt.Errorf("look for log that is only here: %w", err)
	}
	var newest pair.Timeline
	for _, s := range all {
		newest = max(newest, s.Timeline)
	}
	own, err := in.History(newest)
	if err != nil && !errors.Is(err, ErrNoHistory) {
		return Tail{}, fmt.Errorf("look for log that is only here: %w", err)
	}
	t := Tail{}
	t.Timeline, t.From = part(append(slices.Clone(own), Fork{newest, ^pair.LSN(0)}), append(slices.Clone(forks), Fork{on, insert}))
	for _, s := range all {
		if s.Timeline >= t.Timeline && s.End > t.From {
			t.Segments = append(t.Segments, s)
		}
	}
	if len(t.Segments) == 1 && t.Segments[0].blankFrom(t.From) {
		t.Segments = nil
	}
	return t, nil
}

// blankFrom: what is left of the last page is zeros, as PostgreSQL writes pages.
func (s Segment) blankFrom(at pair.LSN) bool {
	rest := make([]byte, min(s.End-at, 1<<16))
	f, err := os.Open(s.Path)
	if err != nil || s.End-at > pair.LSN(len(rest)) {
		return false
	}
	defer f.Close()
	n, _ := f.ReadAt(rest, int64(uint64(at)%uint64(s.Bytes)))
	return n == len(rest) && len(bytes.Trim(rest, "\x00")) == 0
}

// part is the last timeline that two histories have in common, and where the first of
// them leaves it. Each ends with the timeline that it is on and its present end.
// Without a common timeline everything is only here.
func part(a, b []Fork) (on pair.Timeline, at pair.LSN) {
	for i := range min(len(a), len(b)) {
		if a[i].Timeline != b[i].Timeline {
			break
		}
		on, at = a[i].Timeline, min(a[i].LSN, b[i].LSN)
		if a[i].LSN != b[i].LSN {
			break
		}
	}
	return on, at
}

// segments are the files of pg_wal that are in use, in the order of their names. Those
// that were recycled for later, or only made, do not begin with the page that their
// name says (XLogPageHeaderData, src/include/access/xlog_internal.h, 13 to 18).
func (in *Instance) segments() (all []Segment, err error) {
	dir := filepath.Join(in.Data, "pg_wal")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		m := segmentName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		s, err := readSegment(filepath.Join(dir, e.Name()), m)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if s.End != 0 {
			all = append(all, s)
		}
	}
	return all, nil
}

// readSegment looks at the pages of one file. Its End is 0 when it is not in use.
func readSegment(path string, name []string) (Segment, error) {
	s := Segment{Path: path, Timeline: pair.Timeline(number(name[1]))}
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return s, err
	}
	s.Bytes, s.Stamp = info.Size(), fmt.Sprintf("%s:%d:%d", name[0], info.Size(), info.ModTime().UnixNano())
	long := make([]byte, 40)
	if n, _ := f.ReadAt(long, 0); n < len(long) {
		return s, nil
	}
	size, page := uint64(binary.NativeEndian.Uint32(long[32:])), uint64(binary.NativeEndian.Uint32(long[36:]))
	if size == 0 || page < 1024 || uint64(s.Bytes) != size {
		return s, nil
	}
	begin := (number(name[2])*(1<<32/size) + number(name[3])) * size
	for at := uint64(0); at < size; at += page {
		if n, _ := f.ReadAt(long[:16], int64(at)); n < 16 || binary.NativeEndian.Uint64(long[8:]) != begin+at {
			break
		}
		s.Begin, s.End = pair.LSN(begin), pair.LSN(begin+at+page)
	}
	return s, nil
}
