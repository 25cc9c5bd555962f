package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"laurel/fsm/entry"
	"laurel/score"
)

func alertPost(t tester, source string, seq int, text string) score.Post {
	return singlePost(decodeEvent(t, `{"id":"%s-%d","source":"%s","seq":%d,"type":"alert",`+
		`"time":"2026-02-09T10:00:00Z","contest_id":"OG50BC/rain","data":{"text":"%s"}}`, source, seq, source, seq, text))
}

func TestEqualLogsHaveEqualDigestsAndOthersHaveNot(t *testing.T) {
	one, two, other := newMachine(t), newMachine(t), newMachine(t)
	entries := func(text string) (list []Entry) {
		for seq := 1; seq <= 20; seq++ {
			what := "rain"
			if seq == 7 {
				what = text
			}
			list = append(list, Entry{uint64(seq), encodeEntry(t, alertPost(t, "bard/a", seq, what))})
		}
		return list
	}
	for m, text := range map[*Machine]string{one: "snow", other: "hail"} {
		if _, err := m.Apply(entries(text), 20); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range entries("snow") {
		if _, err := two.Apply([]Entry{e}, e.Index); err != nil {
			t.Fatal(err)
		}
	}
	if one.State() != two.State() || one.State().Revision != 20 {
		t.Errorf("equal logs give %+v and %+v", one.State(), two.State())
	}
	for index := uint64(1); index <= 20; index++ {
		a, ok := one.StateAt(index)
		b, ok2 := other.StateAt(index)
		if !ok || !ok2 || a.Revision != index || (a == b) != (index < 7) {
			t.Errorf("after entry %d: %+v %t and %+v %t; entry 7 is another", index, a, ok, b, ok2)
		}
	}
	if s, known := one.StateAt(21); known {
		t.Errorf("it knows the state %+v of an entry that it has not applied", s)
	}
}

func TestDigestIsInTheSnapshotAndSurvivesARestart(t *testing.T) {
	m := newMachine(t)
	for seq := 1; seq <= 13; seq++ {
		applyPosts(t, m, alertPost(t, "bard/a", seq, "rain"))
	}
	before := m.State()
	restored := newMachine(t)
	if err := restored.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil || restored.State() != before {
		t.Fatalf("a snapshot gives %+v, %v; want %+v", restored.State(), err, before)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	reopened := openMachine(t, m.dir)
	defer reopened.Close()
	for _, m := range []*Machine{reopened, restored} {
		if at, known := m.StateAt(before.Applied); !known || at != before {
			t.Errorf("it continues with %+v, %t; want %+v", at, known, before)
		}
		if _, known := m.StateAt(before.Applied - 1); known {
			t.Error("it knows a state from before its database")
		}
		applyPosts(t, m, alertPost(t, "bard/a", 14, "rain"))
	}
	if reopened.State() != restored.State() {
		t.Errorf("they go on with %+v and %+v", reopened.State(), restored.State())
	}
}

func TestRefusedPostLeavesTheDigest(t *testing.T) {
	m := newMachine(t)
	applyPosts(t, m, alertPost(t, "bard/a", 1, "rain"))
	before := m.State()
	post := score.Post{Mode: score.AllOrNone}
	for _, seq := range []int{2, 3, 5} { // a gap
		post.Events = append(post.Events, alertPost(t, "bard/a", seq, "snow").Events...)
	}
	applyPosts(t, m, post)
	if after := m.State(); after.Digest != before.Digest || after.Revision != 1 || after.Applied != before.Applied+1 {
		t.Errorf("a refused post changes %+v to %+v", before, after)
	}
}

func TestDigestIsTheHashOfTheStoredEvents(t *testing.T) {
	m := newMachine(t)
	want := sha256.New()
	for seq := 1; seq <= 3; seq++ {
		e := alertPost(t, "bard/a", seq, "rain")
		applyPosts(t, m, e)
		stored := entry.AppendStored(nil, &entry.Event{Event: e.Events[0], JSON: []byte(`{"text":"rain"}`)})
		want.Write(binary.AppendUvarint(nil, uint64(len(stored))))
		want.Write(stored)
	}
	if got := m.State().Digest; !bytes.Equal(got[:], want.Sum(nil)) {
		t.Errorf("the digest is %x, want %x", got, want.Sum(nil))
	}
}

func TestStatesOfTheLastEntriesAreKnown(t *testing.T) {
	var r recent
	for i := uint64(1); i <= 5*maxRecent; i++ {
		r.add(point{index: 2 * i, revision: i})
		if len(r.points) > 2*maxRecent {
			t.Fatalf("it holds %d points", len(r.points))
		}
	}
	const last = uint64(5 * maxRecent)
	for _, back := range []uint64{0, 1, maxRecent - 1} {
		for _, index := range []uint64{2 * (last - back), 2*(last-back) + 1} {
			if p, ok := r.at(index); !ok || p.revision != last-back {
				t.Errorf("at %d it has %+v, %t; want revision %d", index, p, ok, last-back)
			}
		}
	}
	if p, ok := r.at(2 * (last - 2*maxRecent)); ok {
		t.Errorf("it still has %+v", p)
	}
	if p, ok := new(recent).at(1); ok {
		t.Errorf("an empty one has %+v", p)
	}
}
