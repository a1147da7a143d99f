package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

const (
	// maxFrame bounds what a peer can make us hold, in bytes.
	maxFrame = 1 << 20
	// wordSize is the length word in front of every frame.
	wordSize = 4
	// bare and asking are the length words of heartbeats: without and with the wish
	// for one in return.
	bare   uint32 = 0
	asking uint32 = 1 << 31
)

// envelope is the JSON of every frame. A kind makes it a request, a code an error.
type envelope struct {
	ID    uint64          `json:"id"`
	Kind  string          `json:"kind,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
	Error string          `json:"error,omitempty"`
	Code  string          `json:"code,omitempty"`
}

// nudge reports that the answer to a heartbeat is: there is news.
func (e envelope) nudge() bool { return e.ID == 0 && e.Kind == "" }

// encode makes a frame of e with body inside. A frame leaves in one write, so that
// frames of several goroutines cannot mix.
func encode(e envelope, body any) ([]byte, error) {
	var err error
	if body != nil {
		if e.Body, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("encode %T: %w", body, err)
		}
	}
	text, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	if len(text) > maxFrame {
		return nil, fmt.Errorf("encode %T: it needs %d bytes, a frame holds %d", body, len(text), maxFrame)
	}
	frame := make([]byte, wordSize, wordSize+len(text))
	binary.BigEndian.PutUint32(frame, uint32(len(text)))
	return append(frame, text...), nil
}

// readWord reads the length word of the next frame into head, which the caller
// keeps so that a heartbeat costs no memory.
func readWord(r io.Reader, head []byte) (uint32, error) {
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, err
	}
	word := binary.BigEndian.Uint32(head)
	return word, checkWord(word)
}

// checkWord refuses a length that no frame has.
func checkWord(word uint32) error {
	if word != asking && word > maxFrame {
		return fmt.Errorf("read frame: it claims %d bytes, the limit is %d; the other side does not speak this protocol", word, maxFrame)
	}
	return nil
}

// readEnvelope reads the rest of a frame whose length word was word.
func readEnvelope(r io.Reader, word uint32) (e envelope, err error) {
	text := make([]byte, word)
	if _, err := io.ReadFull(r, text); err != nil {
		return e, err
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("read frame: %w", err)
	}
	return e, nil
}
