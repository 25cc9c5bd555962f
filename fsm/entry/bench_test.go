package entry

import (
	"fmt"
	"testing"

	"laurel/score"
)

// decoded returns an event of a client.
func decoded(t testing.TB, text string) score.Event {
	t.Helper()
	e, p := score.Decode([]byte(text))
	if p != nil {
		t.Fatal(p)
	}
	return e
}

// run returns an encoded entry of n plays, or marks, of one stream.
func run(t testing.TB, n int, data string) []byte {
	t.Helper()
	var events []score.Event
	for i := range n {
		events = append(events, decoded(t, fmt.Sprintf(`{"id":"og50bc-%06d","source":"bard/og50bc","seq":%d,`+
			`"time":"2026-02-09T09:19:00Z","contest_id":"OG50BC/M-01",%s}`, i+1, i+1, data)))
	}
	return Encode([]EncodedPost{encodePost(t, events...)})
}

const (
	playData = `"type":"score.play","data":{"action":"GOAL","athlete":"Asterix","clock":"19'","competitor":"GAU",` +
		`"delta":1,"period":"H1","result":{"ROM":0,"GAU":1},"stats_delta":{"corners":1}}`
	markData = `"type":"result.set","data":{"category":"M","competitor":"W20","mark":8.87,"organisation":"GAU",` +
		`"split":"5k"}`
)

// BenchmarkEvent measures what every state machine does with an event before it is applied,
// for each event of a post of 64.
func BenchmarkEvent(b *testing.B) {
	const events = 64
	for _, data := range []struct{ name, text string }{{"play", playData}, {"mark", markData}} {
		entry := run(b, events, data.text)
		step := func(name string, f func(e *Event)) {
			b.Run(data.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				var c Command
				for i := 0; b.Loop(); i++ {
					if i%events == 0 {
						var err error
						if c, err = Decode(entry); err != nil {
							b.Fatal(err)
						}
					}
					f(&c.Posts[0].Events[i%events])
				}
			})
		}
		step("decode", func(*Event) {})
		b.Run(data.name+"/check", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%events == 0 && Check(entry) != nil {
					b.Fatal("the entry cannot be parsed")
				}
			}
		})
		step("envelope", func(e *Event) {
			if p := e.CheckEnvelope(); p != nil {
				b.Fatal(p)
			}
		})
		step("digest", func(e *Event) { DigestOf(&e.Event, e.JSON) })
		step("parse", func(e *Event) {
			if p := e.ParseData(); p != nil {
				b.Fatal(p)
			}
		})
		step("data", func(e *Event) {
			if p := e.ParseData(); p != nil {
				b.Fatal(p)
			}
			if p := e.CheckData(); p != nil {
				b.Fatal(p)
			}
		})
	}
}

// BenchmarkEncodePost measures encoding a post of one play.
func BenchmarkEncodePost(b *testing.B) {
	e := decoded(b, `{"id":"a","source":"bard/a","seq":1,"time":"2026-02-09T09:19:00Z","contest_id":"A/1",`+playData+`}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EncodePost(score.Post{Events: []score.Event{e}}); err != nil {
			b.Fatal(err)
		}
	}
}

// Events of a post that follow each other in one contest need memory for their ids alone.
func TestDecodingAllocatesLittle(t *testing.T) {
	const events = 64
	entry := run(t, events, playData)
	const whole = 8 // for the list of posts, that of the events, and the texts of the first event
	if n := testing.AllocsPerRun(100, func() { Decode(entry) }); n > events+whole {
		t.Errorf("decoding %d events takes %v allocations; want %d", events, n, events+whole)
	}
	c, err := Decode(entry)
	if err != nil {
		t.Fatal(err)
	}
	e := &c.Posts[0].Events[1]
	if n := testing.AllocsPerRun(100, func() { e.CheckEnvelope(); DigestOf(&e.Event, e.JSON) }); n > 0 {
		t.Errorf("checking the envelope and the digest take %v allocations", n)
	}
}
