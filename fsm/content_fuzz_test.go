package fsm

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
)

// FuzzApplyNeverFails checks that a post that ParsePost accepts, and any entry whose
// messages can be decoded, is applied or refused, and never makes the machine fail. Two
// machines get the same state, even if one of them applies the entries at once and after
// restoring a snapshot.
func FuzzApplyNeverFails(f *testing.F) {
	for _, bad := range invalidEvents(f) {
		if len(bad.wire) < fuzzLimit {
			f.Add(encodeRawPost(score.UntilRefused, bad.wire))
		}
	}
	for _, c := range allChanges() {
		f.Add(encodeChange(f, c)[1:])
	}
	contest := []string{
		`{"id":"d","source":"s","seq":1,"type":"contest.define","contest_id":"G/1",` +
			`"data":{"kind":"ranked","sport":"x","splits":["a","b"]}}`,
		`{"id":"r","source":"s","seq":2,"type":"contest.status","contest_id":"G/1",` +
			`"data":{"schedule_status":"RUNNING"}}`,
		`{"id":"m","source":"s","seq":3,"type":"result.set","contest_id":"G/1",` +
			`"data":{"competitor":"A","split":"a","mark":1}}`,
		`{"id":"w","source":"s","seq":4,"type":"medal.award","contest_id":"G/1",` +
			`"data":{"award_id":"g","medal":"GOLD","organisation":"GAU"}}`,
		`{"id":"k","source":"s","seq":5,"type":"medal.revoke","contest_id":"G/1","data":{"award_id":"g","reason":"x"}}`,
		`{"id":"v","source":"s","seq":6,"type":"event.void","contest_id":"G/1","data":{"voids":"m","reason":"x"}}`,
		`{"id":"u","source":"s","seq":7,"type":"event.void","contest_id":"G/1","data":{"voids":"v","reason":"x"}}`,
		`{"id":"x","source":"s","seq":8,"type":"event.void","contest_id":"G/1","data":{"voids_revision":6,"reason":"x"}}`,
		`{"id":"e","source":"s","seq":9,"type":"competitor.define","contest_id":"G/1",` +
			`"data":{"competitor":"B","name":"Obelix","organisation":null,"type":"A","order":2,"categories":["F"]}}`,
		`{"id":"c","source":"s","seq":10,"type":"contest.define","contest_id":"G/1",` +
			`"data":{"result_type":"TIME","unit":"min","unit2":"s","sort2":"desc","precision":2,"splits":["b"],"reason":"x"}}`,
		`{"id":"t","source":"s","seq":11,"type":"result.set","contest_id":"G/1",` +
			`"data":{"competitor":"B","split":"b","mark":"2:11:31.2","mark2":"0:10","place":1,"category":"M"}}`,
		`{"id":"y","source":"s","seq":12,"type":"contest.decide","contest_id":"G/1",` +
			`"data":{"winner":"B","decision":"DISQUALIFIED","reason":"x"}}`,
		`{"id":"n","source":"s","seq":13,"type":"contest.reset","contest_id":"G/1","data":{"reason":"x"}}`,
		`{"id":"o","source":"s","seq":14,"type":"competition.define","contest_id":"G",` +
			`"data":{"name":null,"organisations":[{"code":"GAU","name":"Gaul"}]}}`,
		`{"id":"f","source":"s","seq":15,"type":"contest.define","contest_id":"G/2",` +
			`"data":{"kind":"head_to_head","sport":"y","competitors":[{"code":"A"},{"code":"B"}],"start_time":"2026-02-09T10:00:00Z"}}`,
		`{"id":"q","source":"s","seq":16,"type":"contest.status","contest_id":"G/2","data":{"schedule_status":"RUNNING"}}`,
		`{"id":"j","source":"s","seq":17,"type":"score.set","contest_id":"G/2","data":{"result":{"A":2},"adjustment":true}}`,
	}
	f.Add([]byte("\x80\xb1\xce\x98A")) // the number of its field is too large
	var events []score.Event
	for _, text := range contest {
		events = append(events, decodeEvent(f, text))
		f.Add(encodePost(f, score.Post{Events: events}).Bytes())
	}
	f.Add(encodePost(f, score.Post{Mode: score.UntilRefused, Events: signEvents(f, 1,
		[]score.Event{unsignedAlert(1, "bard/a", 1, "one"), unsignedAlert(1, "bard/a", 2, "two")})}).Bytes())
	before := [][]byte{encodeEntry(f, score.Post{Events: events}),
		encodeChange(f, access.Change{Grant: keyGrant(1, "bard/a")})}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > fuzzLimit {
			return
		}
		_, _, refused := entry.ParsePost(b)
		var entries []Entry
		add := func(data []byte) {
			if _, err := entry.Decode(data); err == nil {
				entries = append(entries, Entry{uint64(len(entries)) + 1, data})
			} else if refused == nil {
				t.Fatalf("ParsePost accepted the post, and Decode cannot decode it: %v", err)
			}
		}
		add(before[0])
		add(before[1])
		post := append(protowire.AppendTag([]byte{3}, 1, protowire.BytesType), protowire.AppendBytes(nil, b)...)
		add(post)
		if _, err := entry.Decode(append([]byte{3}, b...)); err == nil {
			entries = append(entries, Entry{uint64(len(entries)) + 1, append([]byte{3}, b...)})
		}
		add(post)
		last := uint64(len(entries))
		one, other := openMachine(t, t.TempDir()), openMachine(t, t.TempDir())
		defer one.Close()
		defer other.Close()
		for _, e := range entries {
			outcome, err := one.Apply([]Entry{e}, e.Index)
			if err == nil {
				err = one.Commit()
			}
			if err != nil {
				t.Fatalf("entry %d made the machine fail: %v", e.Index, err)
			}
			for _, r := range outcome[0] {
				if refused == nil && e.Index == 3 && len(r) == 0 {
					t.Fatal("a post has no results")
				}
			}
		}
		if _, err := other.Apply(entries[:2], 2); err != nil {
			t.Fatal(err)
		}
		if err := other.Restore(bytes.NewReader(snapshotOf(t, other))); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Apply(entries, last); err != nil {
			t.Fatalf("the entries made another machine fail: %v", err)
		}
		snapshot := snapshotOf(t, one)
		if !bytes.Equal(snapshot, snapshotOf(t, other)) {
			t.Fatal("two machines have different states")
		}
		if err := other.Restore(bytes.NewReader(snapshot)); err != nil {
			t.Fatalf("the state cannot be restored: %v", err)
		}
	})
}
