package config

import (
	"testing"
	"testing/quick"
)

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "17B": 17, "1kB": 1024, "16MB": 16 << 20, "16 MB": 16 << 20, "2GB": 2 << 30, "3TB": 3 << 40,
	} {
		var n Bytes
		if err := n.UnmarshalText([]byte(text)); err != nil || n != want {
			t.Errorf("%q is %d, %v; want %d", text, n, err, want)
		}
	}
	for _, text := range []string{"", "MB", "1M", "1mb", "1KB", "-1MB", "1.5GB", "1MBB", "1kMB", "1 B x", "99999999TB", "1k", "1 kB MB"} {
		if err := new(Bytes).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for a size", text)
		}
	}
}

func TestBytesRoundTrips(t *testing.T) {
	law := func(n Bytes, shift uint8) bool {
		n <<= shift % 64
		text, err := n.MarshalText()
		var back Bytes
		return err == nil && back.UnmarshalText(text) == nil && back == n
	}
	if err := quick.Check(law, nil); err != nil {
		t.Error(err)
	}
}

func TestDurationRoundTrips(t *testing.T) {
	law := func(n Duration) bool {
		text, err := n.MarshalText()
		var back Duration
		return err == nil && back.UnmarshalText(text) == nil && back == n
	}
	if err := quick.Check(law, nil); err != nil {
		t.Error(err)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"knid", "kind", 2}, {"admn", "admin", 1}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
