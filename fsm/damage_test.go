package fsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"laurel/fsm/view"
	"laurel/score"
	"laurel/score/ranking"
	"laurel/trust/access"
)

// A snapshot comes from another member, which may be corrupt: its checksums are right, and
// its records may have any content.
func TestNoContentOfARecordMakesReadingOrApplyingPanic(t *testing.T) {
	m := newMachine(t)
	if n := postAll(t, m, 1, richEvents); n != len(richEvents) {
		t.Fatalf("%d of %d events are applied", n, len(richEvents))
	}
	mustChange(t, m, setLineage, access.Change{Grant: keyGrant(1, "bard/a")})
	applyPosts(t, m, score.Post{Events: signEvents(t, 1,
		[]score.Event{unsignedAlert(1, "bard/a", 1, "rain"), unsignedAlert(1, "bard/a", 2, "hail")})})
	good := snapshotOf(t, m)
	if n := postAll(t, m, len(richEvents)+1, laterEvents); n != len(laterEvents)-1 { // but for a void of a definition
		t.Fatalf("%d of %d later events are applied", n, len(laterEvents))
	}
	rounds := 6
	if fullRun() {
		rounds = 30
	}
	random := rand.New(rand.NewPCG(1, 2))
	at := len("LAURELSN") + 1
	for _, r := range records(t, good) {
		value := at + 1 + 4 + len(r.key) + 4
		for range rounds {
			damaged := damage(random, []byte(r.value))
			b := binary.BigEndian.AppendUint32(slices.Clone(good[:value-4]), uint32(len(damaged)))
			b = append(append(b, damaged...), good[value+len(r.value):]...)
			fixChecksum(b)
			useState(t, b, func(p any) { t.Fatalf("%s %q: %q as %q: %v", r.bucket, r.key, r.value, damaged, p) })
		}
		at = value + len(r.value)
	}
}

// damage returns a changed copy of a value.
func damage(random *rand.Rand, value []byte) []byte {
	b := bytes.Clone(value)
	if len(b) == 0 {
		return []byte{byte(random.Uint32())}
	}
	switch at := random.IntN(len(b)); random.IntN(5) {
	case 0:
		return b[:at]
	case 1:
		return append(b, byte(random.Uint32()))
	case 2:
		b[at] = 0xff
	case 3:
		b[at]++
	default:
		b[at] ^= 1 << random.IntN(8)
	}
	return b
}

// richEvents are events that leave something in every bucket.
var richEvents = []string{
	`"type":"contest.define","contest_id":"G/1","data":{"kind":"ranked","sport":"x","splits":["a","b"],` +
		`"competitors":[{"code":"A","name":"Asterix"},{"code":"B"},{"code":"C"}]}`,
	`"type":"competitor.define","contest_id":"G/1","data":{"competitor":"D","name":"Dogmatix","order":4,"categories":["F"]}`,
	`"type":"contest.status","contest_id":"G/1","data":{"schedule_status":"RUNNING"}`,
	`"type":"result.set","contest_id":"G/1","data":{"competitor":"A","split":"a","mark":1,"category":"M"}`,
	`"type":"result.set","contest_id":"G/1","data":{"competitor":"A","split":"b","mark":2,"mark2":3,"place":1}`,
	`"type":"result.set","contest_id":"G/1","data":{"competitor":"B","split":"a","irm":"DNF"}`,
	`"type":"result.set","contest_id":"G/1","data":{"competitor":"D","split":"b","mark":3,"organisation":"GAU"}`,
	`"type":"medal.award","contest_id":"G/1","data":{"award_id":"g","medal":"GOLD","organisation":"GAU"}`,
	`"type":"event.void","contest_id":"G/1","data":{"voids_revision":6,"reason":"x"}`,
	`"type":"contest.define","contest_id":"G/2","data":{"kind":"head_to_head","sport":"y",` +
		`"competition_name":"Games","competitors":[{"code":"A","organisation":"GAU"},{"code":"B"}]}`,
	`"type":"contest.status","contest_id":"G/2","data":{"schedule_status":"RUNNING"}`,
	`"type":"score.play","contest_id":"G/2","data":{"competitor":"A","delta":1,"period":"P1"}`,
	`"type":"competition.define","contest_id":"G","data":{"name":"The Games"}`,
}

// laterEvents are events that read what richEvents left.
var laterEvents = []string{
	`"type":"result.set","contest_id":"G/1","data":{"competitor":"A","split":"a","mark":4}`,
	`"type":"result.set","contest_id":"G/1","data":{"competitor":"D","split":"b","irm":"DSQ"}`,
	`"type":"competitor.define","contest_id":"G/1","data":{"competitor":"B","name":"Bonemine","order":1}`,
	`"type":"event.void","contest_id":"G/1","data":{"voids_revision":5,"reason":"x"}`,
	`"type":"event.void","contest_id":"G/1","data":{"voids_revision":9,"reason":"x"}`,
	`"type":"contest.define","contest_id":"G/1","data":{"sort":"desc","splits":["b","a"],"reason":"x"}`,
	`"type":"medal.revoke","contest_id":"G/1","data":{"award_id":"g","reason":"x"}`,
	`"type":"contest.reset","contest_id":"G/1","data":{"reason":"x"}`,
	`"type":"score.play","contest_id":"G/2","data":{"competitor":"B","delta":2,"period":"P2"}`,
	`"type":"event.void","contest_id":"G/2","data":{"voids_revision":12,"reason":"x"}`,
	`"type":"event.void","contest_id":"G/2","data":{"voids_revision":10,"reason":"x"}`,
	`"type":"contest.decide","contest_id":"G/2","data":{"winner":"A","decision":"RETIRED"}`,
	`"type":"competition.define","contest_id":"G","data":{"neutral":["GAU"]}`,
}

// postAll posts each event alone, with ids from first on, until the machine fails. It returns
// the number of events that are applied.
func postAll(t tester, m *Machine, first int, events []string) (applied int) {
	for i, text := range events {
		e := decodeEvent(t, `{"id":"e%d","source":"s",%s}`, first+i, text)
		index := m.Applied() + 1
		outcome, err := m.Apply([]Entry{{index, encodeEntry(t, singlePost(e))}}, index)
		if err != nil {
			break
		}
		if outcome[0][0][0].Status == score.Applied {
			applied++
		}
	}
	return applied
}

// useState restores a snapshot, reads what can be read, and applies events of all kinds.
func useState(t *testing.T, snapshot []byte, panicked func(any)) {
	defer func() {
		if p := recover(); p != nil {
			panicked(p)
		}
	}()
	m := openMachine(t, t.TempDir())
	defer m.Close()
	if err := m.Restore(bytes.NewReader(snapshot)); err != nil {
		return // the head and the access control are checked
	}
	read := func() {
		for _, contest := range []string{"G", "G/1", "G/2", "OG50BC/rain"} {
			for _, split := range []string{"", "a", "b"} {
				m.Board(context.Background(), contest, &ranking.Query{Split: split, Limit: 10, Around: "A"})
			}
			m.View(func(v *view.View) error { v.Contest(contest); return nil })
			m.View(func(v *view.View) error { v.Timeline(contest, 0, 100); return nil })
			m.View(func(v *view.View) error { v.StartList(contest, nil, 10); return nil })
		}
		m.View(func(v *view.View) error {
			v.Contests(score.Filter{Competitor: "A"}, "", 10)
			v.Overview(10)
			v.Medals("G")
			v.Posted("s", 0, 100)
			v.Audit(0, 100)
			v.Keys("G")
			return nil
		})
	}
	read()
	postAll(t, m, len(richEvents)+1, laterEvents)
	postAll(t, m, 1, richEvents) // again
	next := encodeEntry(t, singlePost(signedAlert(t, 1, "bard/a", 3, "snow")))
	m.Apply([]Entry{{m.Applied() + 1, next}}, m.Applied()+1)
	read()
}
