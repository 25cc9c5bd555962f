package posts

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"laurel/score"
)

// readAll reads a whole stream.
func readAll(r io.Reader) (events []score.Event, last *score.Result) {
	in := newEventReader(r)
	defer in.free()
	for {
		c := in.next()
		events = append(events, c.events...)
		if c.ended {
			return events, c.last
		}
	}
}

func TestChunkIsBounded(t *testing.T) {
	long := alert("a", strings.Repeat("x", 4000))
	for _, line := range []string{alert("a", ""), long} {
		in := newEventReader(strings.NewReader(strings.Repeat(line+"\n", 3*MaxChunk)))
		seen := 0
		for {
			c := in.next()
			if n := len(c.events); n > MaxChunk || n*len(line) > maxChunkBytes+score.MaxEventBytes {
				t.Fatalf("a chunk of %d events of %d bytes", n, len(line))
			}
			seen += len(c.events)
			if c.ended {
				break
			}
		}
		if seen != 3*MaxChunk {
			t.Errorf("%d events came out of %d", seen, 3*MaxChunk)
		}
		in.free()
	}
}

func TestLineOfExactlyTheLimitIsTaken(t *testing.T) {
	line := alert("a", "")
	line += strings.Repeat(" ", score.MaxEventBytes-len(line)-1)
	line = strings.Replace(line, "{", "{ ", 1)
	for end, ok := range map[string]bool{"": true, "\n": true, "\r\n": true, " \r\n": false} {
		events, last := readAll(strings.NewReader(line + end))
		if ok != (len(events) == 1 && last == nil) {
			t.Errorf("ending %q: %d events, %+v", end, len(events), last)
		}
	}
}

func TestCompleteLinesDoNotWaitForAnUnfinishedOne(t *testing.T) {
	out, w := io.Pipe()
	in := newEventReader(out)
	go func() { _, _ = io.WriteString(w, alert("a", "")+"\n"+alert("b", "")+"\n"+`{"id":"c`) }()
	if c := in.next(); len(c.events) != 2 || c.ended {
		t.Errorf("got %d events, ended %v", len(c.events), c.ended)
	}
	w.Close()
}

// FuzzEventReader checks that, however the bytes arrive, the events are those of the lines, up to
// the first line that is not an event.
func FuzzEventReader(f *testing.F) {
	f.Add([]byte(alert("a", "")+"\n\n"+alert("b", "")+"\r\n"+alert("c", "")), true)
	f.Add([]byte(alert("a", "")+"\n{\n"+alert("b", "")), false)
	for _, line := range []string{
		"", "null", "7", "[]", "{", "{}", `{"type":"x"}`, `{"type":"alert","contest_id":"A/1","data":{}}`,
	} {
		f.Add([]byte(line+"\n"+alert("z", "")), true)
	}
	f.Fuzz(func(t *testing.T, stream []byte, slowly bool) {
		var want []score.Event
		clean := true
		for line := range bytes.SplitSeq(stream, []byte("\n")) {
			if line = bytes.Trim(line, " \t\r\n"); len(line) == 0 {
				continue
			}
			e, p := score.Decode(line)
			if p != nil {
				clean = false
				break
			}
			want = append(want, e)
		}
		var r io.Reader = bytes.NewReader(stream)
		if slowly {
			r = iotest.OneByteReader(r)
		}
		got, last := readAll(r)
		if len(got) != len(want) || clean != (last == nil) {
			t.Fatalf("got %d events, %+v; want %d, clean %v", len(got), last, len(want), clean)
		}
		for i := range got {
			if got[i].ID != want[i].ID || got[i].Type != want[i].Type || got[i].ContestID != want[i].ContestID {
				t.Fatalf("event %d is %+v; want %+v", i, got[i], want[i])
			}
		}
		if last != nil && (last.Problem == nil || last.Problem.Index == nil || *last.Problem.Index != len(want)) {
			t.Fatalf("ended with %+v", last)
		}
	})
}
