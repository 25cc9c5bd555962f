package fsm

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	stored "laurel/fsm/head"
	"laurel/fsm/view"
	"laurel/score"
)

// fuzzLimit bounds the inputs: larger ones take time and find nothing else.
const fuzzLimit = 1 << 14

// FuzzApplyEntry checks that applying any bytes does not panic, and that a snapshot has
// the resulting access control.
func FuzzApplyEntry(f *testing.F) {
	one := decodeEvent(f, alert, 1, 1, "one")
	define := decodeEvent(f, `{"id":"d","type":"contest.define","contest_id":"G/1",`+
		`"data":{"kind":"ranked","sport":"race","splits":["a"]}}`)
	f.Add(encodeEntry(f, score.Post{Events: []score.Event{one, define}},
		score.Post{Events: []score.Event{one}, Mode: score.UntilRefused}))
	f.Add([]byte{3})
	f.Add([]byte{3, 2 << 3, 2})
	f.Add(entry.EncodeSeal(1))
	for _, c := range allChanges() {
		f.Add(encodeChange(f, c))
	}
	signed := []score.Event{unsignedAlert(1, "bard/cacofonix", 1, "one"), unsignedAlert(1, "bard/cacofonix", 2, "two")}
	signEvents(f, 1, signed)
	f.Add(encodeEntry(f, score.Post{Events: signed}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > fuzzLimit {
			return
		}
		n := openMachine(t, t.TempDir())
		defer n.Close()
		mustChange(t, n, allChanges()...)
		if _, err := n.Apply([]Entry{{n.Applied() + 1, b}}, n.Applied()+1); err == nil {
			copied := openMachine(t, t.TempDir())
			defer copied.Close()
			if err := copied.Restore(bytes.NewReader(snapshotOf(t, n))); err != nil ||
				!reflect.DeepEqual(copied.Access(), n.Access()) {
				t.Fatalf("the access is %+v, copied it is %+v: %v", n.Access(), copied.Access(), err)
			}
		}
	})
}

// FuzzRestore checks that a snapshot is restored completely, so that the state has the
// same snapshot, or not at all.
func FuzzRestore(f *testing.F) {
	m := openMachine(f, f.TempDir())
	empty := snapshotOf(f, m)
	f.Add(empty)
	other := bytes.Clone(empty)
	other[versionAt]++
	fixChecksum(other)
	f.Add(other)
	mustApply(f, m, alert, 1, 1, "one")
	mustApply(f, m, `{"id":"d","type":"contest.define","contest_id":"G/1",`+
		`"data":{"kind":"ranked","sport":"race","splits":["a"]}}`)
	mustChange(f, m, allChanges()...)
	good := snapshotOf(f, m)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("LAURELSN\x03\x05\xff\xff\xff\xff\x7f"))
	f.Cleanup(func() { m.Close() })
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < len("LAURELSN")+4 || len(b) > fuzzLimit {
			return
		}
		wantRestored(t, m, b, empty[versionAt])
		// With a valid checksum more of it is read.
		b = bytes.Clone(b)
		fixChecksum(b)
		if !wantRestored(t, m, b, empty[versionAt]) {
			return
		}
		// Reading and applying do not panic, whatever the snapshot contains.
		m.View(func(v *view.View) error {
			list, _, _ := v.Contests(score.Filter{Competitor: "A"}, "", 10)
			for _, r := range list {
				v.Contest(r.ContestID)
			}
			v.Timeline("G", 0, 10)
			v.Medals("G")
			v.Bard("bard/a")
			return nil
		})
		n := openMachine(t, t.TempDir())
		defer n.Close()
		if err := n.Restore(bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		next := encodeEntry(t, score.Post{
			Mode:   score.UntilRefused,
			Events: []score.Event{decodeEvent(t, alert, 2, 2, "two"), decodeEvent(t, alert, 1, 1, "one")},
		})
		n.Apply([]Entry{{n.Applied() + 1, next}}, n.Applied()+1)
	})
}

// versionAt is where the version is in a snapshot.
const versionAt = len("LAURELSN")

// wantRestored restores b if it is a snapshot. The state must then have the same records.
// version is that of a store without settings.
func wantRestored(t *testing.T, m *Machine, b []byte, version byte) bool {
	if err := database.ReadSnapshot(bytes.NewReader(b), func(database.Record) error { return nil }); err != nil {
		return false
	}
	before := snapshotOf(t, m)
	if err := m.Restore(bytes.NewReader(b)); err != nil {
		// Restoring reads only the head, the access control, and whether the version is that of
		// its settings, of which there are none.
		read := bytes.Contains(b, stored.Key) || bytes.Contains(b, stored.AccessKey) || b[versionAt] != version
		if !read || !bytes.Equal(snapshotOf(t, m), before) {
			t.Fatalf("the snapshot can be read, but not restored: %v", err)
		}
		return false
	}
	if got := snapshotOf(t, m); !slices.Equal(records(t, got), records(t, b)) {
		t.Fatal("the restored state has other records")
	}
	return true
}

// FuzzParsePost checks that a post from another frontend is refused or can be applied.
func FuzzParsePost(f *testing.F) {
	f.Add(encodePost(f, singlePost(decodeEvent(f, alert, 1, 1, "one"))).Bytes())
	f.Add(encodePost(f, score.Post{Mode: score.UntilRefused, Events: []score.Event{
		decodeEvent(f, `{"id":"d","source":"s","seq":1,"type":"contest.define","time":"2026-02-09T10:00:00+01:00",`+
			`"contest_id":"G/1",`+
			`"data":{"kind":"head_to_head","sport":"x","competitors":[{"code":"A"}]}}`),
		decodeEvent(f, `{"id":"r","source":"s","seq":2,"type":"contest.status","contest_id":"G/1",`+
			`"data":{"schedule_status":"RUNNING"}}`),
		decodeEvent(f, `{"id":"p","source":"s","seq":3,"type":"score.play","contest_id":"G/1",`+
			`"data":{"competitor":"A","delta":1}}`),
	}}).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > fuzzLimit {
			return
		}
		p, _, err := entry.ParsePost(b)
		if err != nil {
			return
		}
		m := openMachine(t, t.TempDir())
		defer m.Close()
		if _, err := m.Apply([]Entry{{1, entry.Encode([]entry.EncodedPost{p})}}, 1); err != nil {
			t.Fatalf("an accepted post cannot be applied: %v", err)
		}
		if err := m.Commit(); err != nil {
			t.Fatalf("an applied post cannot be committed: %v", err)
		}
	})
}
