package fsm

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
)

func TestAPostTravelsBetweenFrontendsAsItIs(t *testing.T) {
	early, late := decode(t, alert, 1, 1, "one"), decode(t, alert, 2, 2, "two")
	late.Time = early.Time.Add(time.Hour)
	sent := encodePost(t, score.Post{Events: []score.Event{early, late}})
	got, latest, err := ParsePost(sent.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got.Events != 2 || got.Size() != sent.Size() || !bytes.Equal(got.Bytes(), sent.Bytes()) || !latest.Equal(late.Time) {
		t.Errorf("got %+v, latest %s", got, latest)
	}
	m := newMachine(t)
	outcome, err := m.Apply([]Entry{{1, EncodeEntry([]EncodedPost{got})}}, 1)
	if err != nil || outcome[0][0][1].Revision != 2 {
		t.Errorf("got %+v, %v", outcome, err)
	}
}

// What cannot be applied would stop every frontend once it is in the log.
func TestAPostThatCouldNotBeAppliedIsNotEncoded(t *testing.T) {
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
			e := decode(t, alert, 1, 1, "one")
			spoil(&e)
			if _, err := EncodePost(one(e)); err == nil {
				t.Error("it was encoded")
			}
		})
	}
	if _, err := EncodePost(score.Post{}); err == nil {
		t.Error("a post without events was encoded")
	}
}

func TestAForwardedPostThatCouldNotBeAppliedIsRefused(t *testing.T) {
	good := encodePost(t, one(decode(t, alert, 1, 1, "one"))).Bytes()
	event := func(kind, data string) []byte {
		e := decode(t, alert, 1, 1, "one")
		e.Type = score.Type(kind)
		b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 0)
		return protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), appendEvent(nil, &e, []byte(data)))
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
		"huge length":   append(protowire.AppendTag(nil, 2, protowire.BytesType), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
	} {
		t.Run(name, func(t *testing.T) {
			if p, _, err := ParsePost(wire); err == nil {
				t.Errorf("it was taken: %+v", p)
			}
		})
	}
	if _, _, err := ParsePost(event("alert", `{"text":"x"}`)); err != nil {
		t.Errorf("a good one was refused: %v", err)
	}
}

func TestAnEntryOfAnotherVersionIsNotRead(t *testing.T) {
	entry := entryOf(t, one(decode(t, alert, 1, 1, "one")))
	for _, version := range []byte{0, 3, 255} {
		if _, err := decodeEntry(append([]byte{version}, entry[1:]...)); err == nil || !strings.Contains(err.Error(), "newer version") {
			t.Errorf("version %d: %v", version, err)
		}
	}
}
