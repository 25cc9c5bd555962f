package entry

import (
	"bytes"
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
	for name, wire := range map[string][]byte{
		"nothing":       {},
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
	if _, _, err := ParsePost(empty); err == nil {
		t.Error("a post of empty events was accepted")
	}
}

func TestAnEntryOfAnotherVersionIsNotDecoded(t *testing.T) {
	encoded := Encode([]EncodedPost{encodePost(t, alert(1))})
	for _, version := range []byte{0, 1, 2, 4, 255} {
		_, err := Decode(append([]byte{version}, encoded[1:]...))
		if err == nil || !strings.Contains(err.Error(), "newer version") {
			t.Errorf("version %d: %v", version, err)
		}
	}
}
