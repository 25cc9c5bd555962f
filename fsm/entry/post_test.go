package entry

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
)

// alert returns a valid event with a seq.
func alert(seq uint64) score.Event {
	return score.Event{
		ID: fmt.Sprint("e", seq), IDGiven: true, Source: "bard/a", Seq: seq, Type: score.TypeAlert,
		Time: time.Date(2026, 2, 9, 12, 0, 0, 0, time.UTC), ContestID: "G", Data: &score.Alert{Text: "rain"},
	}
}

func encodePost(t testing.TB, events ...score.Event) EncodedPost {
	t.Helper()
	p, err := EncodePost(score.Post{Events: events})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAForwardedPostIsUnchanged(t *testing.T) {
	early, late := alert(1), alert(2)
	late.Time = early.Time.Add(time.Hour)
	sent := encodePost(t, early, late)
	got, latest, err := ParsePost(sent.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got.Events != 2 || got.Size() != sent.Size() || !bytes.Equal(got.Bytes(), sent.Bytes()) ||
		!latest.Equal(late.Time) {
		t.Errorf("got %+v, latest %s", got, latest)
	}
	command, err := Decode(Encode([]EncodedPost{got}))
	if err != nil || len(command.Posts) != 1 || len(command.Posts[0].Events) != 2 {
		t.Fatalf("decoded %+v, %v", command, err)
	}
	if e := command.Posts[0].Events[1]; e.ID != "e2" || string(e.JSON) != `{"text":"rain"}` {
		t.Errorf("decoded %+v", e)
	}
}

func TestAPostIsByOneToken(t *testing.T) {
	one, none, another := alert(1), alert(2), alert(3)
	one.Token, another.Token = "5fb7000000000001", "5fb7000000000002"
	sent := encodePost(t, none, one, none)
	if got, _, err := ParsePost(sent.Bytes()); err != nil || got.Token != one.Token || sent.Token != one.Token {
		t.Errorf("got token %q of %q, %v", got.Token, sent.Token, err)
	}
	if _, err := EncodePost(score.Post{Events: []score.Event{one, none, another}}); err == nil {
		t.Error("a post by two tokens is encoded")
	}
	// A corrupt frontend may still send one.
	first, second := encodePost(t, one).Bytes(), encodePost(t, another).Bytes()
	if got, _, err := ParsePost(slices.Concat(first, second)); err == nil {
		t.Errorf("a post by two tokens is accepted: %+v", got)
	}
}

// An event that cannot be applied would stop every frontend once it is in the log.
func TestAPostThatCannotBeAppliedIsNotEncoded(t *testing.T) {
	for name, spoil := range map[string]func(e *score.Event){
		"no id":       func(e *score.Event) { e.ID = "" },
		"no source":   func(e *score.Event) { e.Source = "" },
		"zero byte":   func(e *score.Event) { e.Source = "a\x00b" },
		"no contest":  func(e *score.Event) { e.ContestID = "" },
		"bad contest": func(e *score.Event) { e.ContestID = "a//b" },
		"far future":  func(e *score.Event) { e.Time = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"no data":     func(e *score.Event) { e.Data = nil },
		"not UTF-8":   func(e *score.Event) { e.Data = &score.Alert{Text: "\xff"} },
		"invalid start": func(e *score.Event) {
			e.Data = &score.ContestDefine{StartTime: time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := alert(1)
			spoil(&e)
			if _, err := EncodePost(score.Post{Events: []score.Event{e}}); err == nil {
				t.Error("the post was encoded")
			}
		})
	}
	if _, err := EncodePost(score.Post{}); err == nil {
		t.Error("a post without events was encoded")
	}
}

func TestAForwardedPostThatCannotBeAppliedIsRefused(t *testing.T) {
	good := encodePost(t, alert(1)).Bytes()
	event := func(kind, data string) []byte {
		e := alert(1)
		e.Type = score.Type(kind)
		b := protowire.AppendVarint(protowire.AppendTag(nil, fieldPostMode, protowire.VarintType), 0)
		b = protowire.AppendTag(b, fieldPostEvent, protowire.BytesType)
		return protowire.AppendBytes(b, appendUnsigned(nil, &e, []byte(data)))
	}
	stored := AppendStored(nil, &Event{Event: alert(1), JSON: []byte(`{"text":"x"}`), Voids: 7})
	for name, wire := range map[string][]byte{
		"nothing":       {},
		"stored event":  protowire.AppendBytes(protowire.AppendTag(nil, fieldPostEvent, protowire.BytesType), stored),
		"no events":     good[:2],
		"truncated":     good[:len(good)-1],
		"trailing":      append(bytes.Clone(good), 0xff),
		"unknown field": protowire.AppendVarint(protowire.AppendTag(bytes.Clone(good), 9, protowire.VarintType), 1),
		"unknown mode":  append([]byte{good[0], 7}, good[2:]...),
		"wrong wire":    protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte("x")),
		"unknown type":  event("alarm", `{"text":"x"}`),
		"no JSON":       event("alert", `{"text":`),
		"new member":    event("alert", `{"text":"x","loud":true}`),
		"no object":     event("alert", `7`),
		"null":          event("score.play", `null`),
		"no delta":      event("score.play", `{"competitor":"A"}`),
		"lookalike":     event("score.play", `{"competitor":"A ","delta":1}`),
		"huge length": append(protowire.AppendTag(nil, 2, protowire.BytesType),
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
	} {
		t.Run(name, func(t *testing.T) {
			if p, _, err := ParsePost(wire); err == nil {
				t.Errorf("the post was accepted: %+v", p)
			}
		})
	}
	if _, _, err := ParsePost(event("alert", `{"text":"x"}`)); err != nil {
		t.Errorf("a valid post was refused: %v", err)
	}
}

// raft-wal writes an entry of more than 64 MiB, and then cannot read its file any more.
func TestAPostThatIsTooLargeForTheLogIsRefused(t *testing.T) {
	large := bytes.Repeat([]byte{0}, MaxPost+1)
	if _, _, err := ParsePost(large); err == nil || !strings.Contains(err.Error(), "the limit is") {
		t.Errorf("a post of %d bytes: %v", len(large), err)
	}
	empty := bytes.Repeat([]byte{2<<3 | 2, 0}, 1<<20) // must be refused before memory is allocated for it
	if _, _, err := ParsePost(empty); !errors.Is(err, ErrFormat) {
		t.Errorf("a post of empty events: %v", err)
	}
}

// An entry of 32 MiB could otherwise have all frontends take 5 GB, whenever they start.
func TestTheMessagesOfAnEntryAreBounded(t *testing.T) {
	field := func(n protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), content)
	}
	post := func(events int) []byte {
		return field(fieldPost, bytes.Repeat(field(fieldPostEvent, nil), events))
	}
	for what, messages := range map[string]func(n int) []byte{
		"posts":           func(n int) []byte { return bytes.Repeat(post(0), n) },
		"events":          post,
		"events of posts": func(n int) []byte { return append(post(n/2), post(n-n/2)...) },
	} {
		most := append([]byte{firstVersion}, messages(maxEvents)...)
		if _, err := Decode(most); err != nil {
			t.Errorf("%d %s: %v", maxEvents, what, err)
		}
		if n := testing.AllocsPerRun(10, func() { Check(most) }); n > 0 {
			t.Errorf("checking %s takes %v allocations", what, n)
		}
		if _, err := Decode(append([]byte{firstVersion}, messages(maxEvents+1)...)); !errors.Is(err, ErrFormat) {
			t.Errorf("%d %s: %v", maxEvents+1, what, err)
		}
	}
	events := make([]score.Event, maxEvents+1)
	for i := range events {
		events[i] = alert(uint64(i) + 1)
	}
	if _, err := EncodePost(score.Post{Events: events}); err == nil {
		t.Error("a post with too many events was encoded")
	}
}

// A frontend that cannot make a round must not make another one instead.
func TestASealOfAnswersInAnUnknownFormatIsNotParsed(t *testing.T) {
	for format, known := range map[uint64]bool{
		OldestAnswers - 1: false, AnswersFormat: true, AnswersFormat + 1: false, 1 << 40: false,
	} {
		seal := protowire.AppendVarint([]byte{fieldSealNumber << 3, 7, fieldSealFormat << 3}, format)
		c, err := Decode(appendText([]byte{firstVersion}, fieldSeal, seal))
		if (err == nil) != known || known && (c.Seal != 7 || c.Answers != format) {
			t.Errorf("format %d: %+v, %v", format, c, err)
		}
	}
	if c, err := Decode(EncodeSeal(7)); err != nil || c.Answers != AnswersFormat {
		t.Errorf("the seal of this version is %+v, %v", c, err)
	}
}

func TestAnEntryOfAnotherVersionIsNotDecoded(t *testing.T) {
	encoded := Encode([]EncodedPost{encodePost(t, alert(1))})
	for _, version := range []byte{0, 1, 2, 5, 255} {
		_, err := Decode(append([]byte{version}, encoded[1:]...))
		if err == nil || !strings.Contains(err.Error(), "newer version") {
			t.Errorf("version %d: %v", version, err)
		}
	}
}
