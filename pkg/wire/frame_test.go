package wire

import (
	"bytes"
	"testing"
)

// Whatever arrives, a frame is read whole or refused, and never more than its limit.
func FuzzFrame(f *testing.F) {
	frame, err := encode(envelope{ID: 7, Kind: "read"}, map[string]int{"a": 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame)
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0x80, 0, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, '{', '}'})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		word, err := readWord(r, make([]byte, wordSize))
		if err != nil || word == bare || word == asking {
			return
		}
		if word > maxFrame {
			t.Fatalf("a frame of %d bytes was let in", word)
		}
		e, err := readEnvelope(r, word)
		if err != nil {
			return
		}
		again, err := encode(e, nil)
		if err != nil {
			t.Fatalf("%+v was read but cannot be written: %v", e, err)
		}
		back, err := readEnvelope(bytes.NewReader(again[wordSize:]), uint32(len(again)-wordSize))
		if err != nil || back.ID != e.ID || back.Kind != e.Kind || back.Error != e.Error || back.Code != e.Code {
			t.Fatalf("%+v came back as %+v, %v", e, back, err)
		}
	})
}
