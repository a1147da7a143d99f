package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type sample struct {
	Term uint64 `json:"term"`
	Name string `json:"name"`
}

func TestJSONRoundTrips(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	want := sample{Term: 1<<64 - 1, Name: "a<b>&\"ü"}
	if err := WriteJSON(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	var got sample
	if err := ReadJSON(path, &got); err != nil || got != want {
		t.Errorf("read %+v, %v; want %+v", got, err, want)
	}
	wantContent(t, path, "{\n  \"term\": 18446744073709551615,\n  \"name\": \"a<b>&\\\"ü\"\n}\n")
}

func TestReadJSONRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for content, want := range map[string]string{
		``:                          "it is empty",
		`{"term": 1`:                "unexpected EOF",
		`{"term": 1} {}`:            "something follows",
		`{"term": 1}}`:              "something follows",
		`{"term": 1, "turm": 2}`:    `unknown field "turm"`,
		`{"term": "one"}`:           "cannot unmarshal",
		"{\"term\": 1}\x00\x00\x00": "something follows",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := ReadJSON(path, new(sample))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("ReadJSON(%q) = %v, want %q", content, err, want)
		}
	}
}

func TestReadJSONMissing(t *testing.T) {
	err := ReadJSON(filepath.Join(t.TempDir(), "f"), new(sample))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadJSON of a missing file = %v, want fs.ErrNotExist", err)
	}
}

func TestWriteJSONKeepsTheOldOnFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "old", 0o600)
	if err := WriteJSON(path, func() {}, 0o600); err == nil {
		t.Error("a function was encoded")
	}
	wantContent(t, path, "old")
}
