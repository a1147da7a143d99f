package config

import (
	"testing"

	"mcctl/pkg/disk"
)

func TestShare(t *testing.T) {
	const gb = 1 << 30
	hundred := disk.Room{Total: 100 * gb}
	for text, least := range map[string]uint64{ // of 100 GB
		"10%": 10 * gb, "0%": 0, "20GB": 20 * gb, "10%, 20GB": 10 * gb, "30%,20GB": 20 * gb, "20GB, 10%": 10 * gb,
	} {
		var s Share
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		var again Share
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%s is written as %s, read as %v, %v", text, s, again, err)
		}
		below, at := hundred, hundred
		below.Free, at.Free = max(least, 1)-1, least
		if s.Over(at) || least > 0 && !s.Over(below) {
			t.Errorf("%s: with %d bytes %v, with one less %v", text, least, s.Over(at), s.Over(below))
		}
	}
	for _, text := range []string{"", "10", "x%", "-1%", "100%", "10% 20GB", "1.5%", "20 %"} {
		s := Share{}
		if err := s.UnmarshalText([]byte(text)); err == nil && text != "10" {
			t.Errorf("%q was read as %s", text, s)
		}
	}
}

func TestShareCountsFilesToo(t *testing.T) {
	r := disk.Room{Total: 1000, Free: 1000, Files: 1000, Left: 99}
	if s := (Share{Percent: 10}); !s.Over(r) {
		t.Error("a disk without inodes has room")
	}
	if s := (Share{Percent: 10}); s.Over(disk.Room{}) {
		t.Error("a disk that is not known is short of room")
	}
}
