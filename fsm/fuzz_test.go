package fsm

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"slices"
	"testing"

	"laurel/score"
)

// fuzzLimit bounds the inputs: what is larger takes time, and finds nothing else.
const fuzzLimit = 1 << 14

// FuzzDecodeEntry: an entry is read or refused; what is read can be written and read again, and applying it does not panic.
func FuzzDecodeEntry(f *testing.F) {
	one := decode(f, alert, 1, 1, "one")
	define := decode(f, `{"id":"d","type":"contest.define","contest_id":"G/1","data":{"kind":"ranked","sport":"race","splits":["a"]}}`)
	f.Add(entryOf(f, score.Post{Events: []score.Event{one, define}}, score.Post{Events: []score.Event{one}, Mode: score.UntilRefused}))
	f.Add([]byte{entryVersion})
	f.Add([]byte{entryVersion, 2 << 3, 2})
	for _, c := range allChanges() {
		f.Add(changeEntry(f, c))
	}
	signed := []score.Event{signedAlert(1, "bard/cacofonix", 1, "one"), signedAlert(1, "bard/cacofonix", 2, "two")}
	signEvents(f, 1, signed)
	f.Add(entryOf(f, score.Post{Events: signed}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > fuzzLimit {
			return
		}
		e, err := decodeEntry(b)
		if err != nil {
			return
		}
		for _, p := range e.posts {
			var again []event
			for i := range p.events {
				e, err := decodeEvent(appendEvent(nil, &p.events[i].Event, p.events[i].data), nil)
				if err != nil {
					t.Fatalf("%+v was read, written, and not read again: %v", p.events[i], err)
				}
				again = append(again, e)
			}
			for i, e := range again {
				if was := p.events[i]; e.ID != was.ID || e.Seq != was.Seq || !e.Time.Equal(was.Time) || e.ContestID != was.ContestID || e.Key != was.Key || e.Token != was.Token || !bytes.Equal(e.Signature, was.Signature) || !bytes.Equal(e.data, was.data) {
					t.Fatalf("%+v became %+v", was, e)
				}
			}
		}
		if e.access != nil {
			again, err := EncodeAccessChange(*e.access)
			if err != nil {
				t.Fatalf("%+v was read, and cannot be written: %v", e.access, err)
			}
			if second, err := decodeEntry(again); err != nil || !reflect.DeepEqual(second.access, e.access) {
				t.Fatalf("%+v became %+v: %v", e.access, second.access, err)
			}
		}
		n := open(t, t.TempDir())
		defer n.Close()
		mustChange(t, n, allChanges()...)
		if _, err := n.Apply([]Entry{{n.Applied() + 1, b}}, n.Applied()+1); err == nil {
			copied := open(t, t.TempDir())
			defer copied.Close()
			if err := copied.Restore(bytes.NewReader(snapshotOf(t, n))); err != nil || !reflect.DeepEqual(copied.Access(), n.Access()) {
				t.Fatalf("the access is %+v, copied it is %+v: %v", n.Access(), copied.Access(), err)
			}
		}
	})
}

// FuzzRestore: a snapshot is restored whole, and then gives itself again, or leaves the machine as it was.
func FuzzRestore(f *testing.F) {
	m := open(f, f.TempDir())
	f.Add(snapshotOf(f, m))
	applied(f, m, alert, 1, 1, "one")
	applied(f, m, `{"id":"d","type":"contest.define","contest_id":"G/1","data":{"kind":"ranked","sport":"race","splits":["a"]}}`)
	mustChange(f, m, allChanges()...)
	good := snapshotOf(f, m)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte(snapshotMagic + "\x01\x08contests\xff\xff\xff\xff\x7f"))
	f.Cleanup(func() { m.Close() })
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < len(snapshotMagic)+4 || len(b) > fuzzLimit {
			return
		}
		wantRestored(t, m, b)
		// With its checksum put right more of it is read.
		b = bytes.Clone(b)
		body := b[:len(b)-4]
		binary.BigEndian.PutUint32(b[len(body):], crc32.Checksum(body, castagnoli))
		if !wantRestored(t, m, b) {
			return
		}
		// Whatever is in it, asking and applying do not panic.
		m.View(func(v *View) error {
			list, _, _ := v.Contests(score.Filter{Competitor: "A"}, "", 10)
			for _, r := range list {
				v.Contest(r.ContestID)
			}
			v.Timeline("G", 0, 10)
			v.Medals("G")
			v.Bard("bard/a")
			return nil
		})
		n := open(t, t.TempDir())
		defer n.Close()
		if err := n.Restore(bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		n.Apply([]Entry{{n.Applied() + 1, entryOf(t, score.Post{Mode: score.UntilRefused, Events: []score.Event{decode(t, alert, 2, 2, "two"), decode(t, alert, 1, 1, "one")}})}}, n.Applied()+1)
	})
}

// wantRestored restores b if it is a snapshot, which must then give the same records again.
func wantRestored(t *testing.T, m *Machine, b []byte) bool {
	in := newSnapshotReader(bytes.NewReader(b))
	err := in.header()
	for more := err == nil; more; {
		var bucket []byte
		bucket, _, _, err = in.record()
		more = err == nil && bucket != nil
	}
	if err != nil {
		return false
	}
	before := snapshotOf(t, m)
	if err := m.Restore(bytes.NewReader(b)); err != nil {
		// Of the records only some are read: those of who may do what, which decide what is taken from now on, and those by which lists find contests.
		read := slices.ContainsFunc([][]byte{accessBucket, contestBucket, markBucket}, func(bucket []byte) bool { return bytes.Contains(b, bucket) })
		if !read || !bytes.Equal(snapshotOf(t, m), before) {
			t.Fatalf("the snapshot can be read, and not restored: %v", err)
		}
		return false
	}
	if got := snapshotOf(t, m); !slices.Equal(slices.Collect(records(t, got)), slices.Collect(records(t, b))) {
		t.Fatal("what was restored gives other records")
	}
	return true
}

// FuzzParsePost: a post from another frontend is refused, or can be applied here.
func FuzzParsePost(f *testing.F) {
	f.Add(encodePost(f, one(decode(f, alert, 1, 1, "one"))).Bytes())
	f.Add(encodePost(f, score.Post{Mode: score.UntilRefused, Events: []score.Event{
		decode(f, `{"id":"d","source":"s","seq":1,"type":"contest.define","time":"2026-02-09T10:00:00+01:00","contest_id":"G/1","data":{"kind":"head_to_head","sport":"x","competitors":[{"code":"A"}]}}`),
		decode(f, `{"id":"r","source":"s","seq":2,"type":"contest.status","contest_id":"G/1","data":{"schedule_status":"RUNNING"}}`),
		decode(f, `{"id":"p","source":"s","seq":3,"type":"score.play","contest_id":"G/1","data":{"competitor":"A","delta":1}}`),
	}}).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > fuzzLimit {
			return
		}
		p, _, err := ParsePost(b)
		if err != nil {
			return
		}
		m := open(t, t.TempDir())
		defer m.Close()
		if _, err := m.Apply([]Entry{{1, EncodeEntry([]EncodedPost{p})}}, 1); err != nil {
			t.Fatalf("a post that was taken cannot be applied: %v", err)
		}
		if err := m.Commit(); err != nil {
			t.Fatalf("what was applied cannot be committed: %v", err)
		}
	})
}
