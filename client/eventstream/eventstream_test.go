package eventstream

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestEventsAreReadWithTheirIDsAndDelays(t *testing.T) {
	r := NewReader(strings.NewReader(": hello\n\nretry: 700\n\nevent: score\ndata: {\ndata: }\nid: a-1\n\ndata:x\n\nevent: none\n\n"), 100)
	for _, want := range []Event{{"score", []byte("{\n}")}, {"message", []byte("x")}} {
		e, err := r.Next()
		if err != nil || e.Name != want.Name || string(e.Data) != string(want.Data) {
			t.Errorf("got %s %q, %v; want %s %q", e.Name, e.Data, err, want.Name, want.Data)
		}
	}
	if _, err := r.Next(); err != io.EOF || r.ID != "a-1" || r.Retry != 700*time.Millisecond {
		t.Errorf("got %v, the id %q and the delay %s", err, r.ID, r.Retry)
	}
}

func TestAnEventThatIsCutOffIsNotReceived(t *testing.T) {
	for _, cut := range []string{"data: x\nid: a-2\n", "data: x\nid: a-2", "data: x"} {
		if e, err := NewReader(strings.NewReader(cut), 100).Next(); err != io.EOF {
			t.Errorf("of %q: got %v, %v; want the end", cut, e, err)
		}
	}
}

func TestAnEventIsBounded(t *testing.T) {
	for _, long := range []string{"data: " + strings.Repeat("x", 200), strings.Repeat("data: "+strings.Repeat("x", 50)+"\n", 4)} {
		if _, err := NewReader(strings.NewReader(long+"\n\n"), 100).Next(); err == nil || err == io.EOF {
			t.Errorf("an event of %d bytes: got %v; want an error", len(long), err)
		}
	}
}

// FuzzReader checks that events do not depend on how their bytes arrive, and are bounded.
func FuzzReader(f *testing.F) {
	f.Add("retry: 700\n\nevent: score\ndata: {\ndata: }\nid: a-1\n\ndata:x\r\n\r\n:\n\nid\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		const max = 100
		whole, bytewise := NewReader(strings.NewReader(stream), max), NewReader(iotest.OneByteReader(strings.NewReader(stream)), max)
		for {
			e, err := whole.Next()
			other, otherErr := bytewise.Next()
			if e.Name != other.Name || string(e.Data) != string(other.Data) || (err == nil) != (otherErr == nil) {
				t.Fatalf("got %q %q, %v; byte by byte %q %q, %v", e.Name, e.Data, err, other.Name, other.Data, otherErr)
			}
			if err != nil {
				return
			}
			if len(e.Data) > max || whole.ID != bytewise.ID || whole.Retry != bytewise.Retry {
				t.Fatalf("got %d bytes, %q and %s; byte by byte %q and %s", len(e.Data), whole.ID, whole.Retry, bytewise.ID, bytewise.Retry)
			}
		}
	})
}
