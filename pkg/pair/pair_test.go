package pair

import (
	"encoding/json"
	"testing"
	"testing/quick"
)

func TestLSNRoundTrips(t *testing.T) {
	law := func(n uint64) bool {
		b, err := json.Marshal(LSN(n))
		var back LSN
		return err == nil && json.Unmarshal(b, &back) == nil && back == LSN(n)
	}
	if err := quick.Check(law, nil); err != nil {
		t.Error(err)
	}
}

func TestParseLSN(t *testing.T) {
	for text, want := range map[string]LSN{"0/0": 0, "": 0, "16/B374D848": 0x16B374D848, "FFFFFFFF/FFFFFFFF": ^LSN(0)} {
		if got, err := ParseLSN(text); err != nil || got != want {
			t.Errorf("ParseLSN(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"16", "/", "g/0", "1/2/3", "100000000/0", "-1/0"} {
		if _, err := ParseLSN(text); err == nil {
			t.Errorf("ParseLSN(%q) succeeded", text)
		}
	}
}

func TestBehind(t *testing.T) {
	if d := LSN(10).Behind(25); d != 15 {
		t.Errorf("10 lacks %d of 25, want 15", d)
	}
	if d := LSN(25).Behind(10); d != 0 {
		t.Errorf("25 lacks %d of 10, want 0", d)
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KB", 16 << 20: "16.0 MB", 3 << 40: "3.0 TB"} {
		if got := Size(bytes); got != want {
			t.Errorf("Size(%d) = %s, want %s", bytes, got, want)
		}
	}
}
