package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"laurel/fsm/entry"
	"laurel/fsm/view"
	"laurel/score"
)

const alert = `{"id":"e%d","source":"bard/a","seq":%d,"type":"alert","contest_id":"G","data":{"text":%q}}`

func wantDuplicate(t *testing.T, r, first score.Result) {
	t.Helper()
	if r.Status != score.Duplicate || r.Revision != first.Revision || r.Seq != first.Seq || r.ID != first.ID ||
		r.Problem != nil {
		t.Errorf("got %+v %v; want a duplicate of %+v", r, r.Problem, first)
	}
}

func TestARepeatedSeqIsADuplicateWithItsFirstRevision(t *testing.T) {
	m := newMachine(t)
	first := mustApply(t, m, alert, 1, 1, "one")
	mustApply(t, m, alert, 2, 2, "two")
	before := stateOf(t, m)
	for range 3 {
		wantDuplicate(t, postEvent(t, m, alert, 1, 1, "one"), first)
	}
	twice := applyPosts(t, m, score.Post{Events: []score.Event{decodeEvent(t, alert, 1, 1, "one"),
		decodeEvent(t, alert, 1, 1, "one")}})[0]
	wantDuplicate(t, twice[0], first)
	wantDuplicate(t, twice[1], first)
	if stateOf(t, m) != before || m.Revision() != 2 {
		t.Error("a duplicate changed something")
	}
}

func TestAnotherEventUnderASeqIsRefused(t *testing.T) {
	m := newMachine(t)
	mustApply(t, m, alert, 1, 1, "one")
	mustApply(t, m, alert, 2, 2, "two")
	for name, text := range map[string]string{
		"data":    `{"id":"e1","source":"bard/a","seq":1,"type":"alert","contest_id":"G","data":{"text":"other"}}`,
		"contest": `{"id":"e1","source":"bard/a","seq":1,"type":"alert","contest_id":"H","data":{"text":"one"}}`,
		"type": `{"id":"e1","source":"bard/a","seq":1,"type":"competition.define","contest_id":"G",` +
			`"data":{"name":"one"}}`,
		"id":    `{"id":"other","source":"bard/a","seq":1,"type":"alert","contest_id":"G","data":{"text":"one"}}`,
		"no id": `{"source":"bard/a","seq":1,"type":"alert","contest_id":"G","data":{"text":"one"}}`,
		"time": `{"id":"e1","source":"bard/a","seq":1,"time":"2026-02-09T12:00:00Z","type":"alert",` +
			`"contest_id":"G",` +
			`"data":{"text":"one"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			mustRefuse(t, m, score.IDConflict, `"e1"`, "%s", text)
		})
	}
}

func TestASeqGapIsRefusedWithTheExpectedSeq(t *testing.T) {
	m := newMachine(t)
	if p := mustRefuse(t, m, score.SeqGap, "next is 1, not 2", alert, 2, 2, "two"); p.ExpectedSeq != 1 ||
		p.Field != "seq" {
		t.Errorf("expected_seq is %d, field %q", p.ExpectedSeq, p.Field)
	}
	mustApply(t, m, alert, 1, 1, "one")
	if p := mustRefuse(t, m, score.SeqGap, "", alert, 9, 9, "nine"); p.ExpectedSeq != 2 {
		t.Errorf("expected_seq is %d", p.ExpectedSeq)
	}
	mustApply(t, m, alert, 2, 2, "two")
}

func TestARefusedEventDoesNotUseItsSeq(t *testing.T) {
	m := newMachine(t)
	mustRefuse(t, m, score.NotFound, "not defined",
		`{"id":"p1","source":"bard/a","seq":1,"type":"score.play","contest_id":"G/1",`+
			`"data":{"competitor":"A","delta":1}}`)
	mustApply(t, m, alert, 1, 1, "one")
}

func TestSourcesHaveSeparateSeqs(t *testing.T) {
	m := newMachine(t)
	mustApply(t, m, alert, 1, 1, "one")
	r := mustApply(t, m, `{"id":"e1","source":"bard/b","seq":1,"type":"alert","contest_id":"G","data":{"text":"one"}}`)
	if r.Revision != 2 || r.Seq != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestATimeThatAFrontendFilledInIsNotPartOfTheIdentity(t *testing.T) {
	m := newMachine(t)
	e := decodeEvent(t, alert, 1, 1, "one")
	first := applyPosts(t, m, singlePost(e))[0][0]
	e.Time = e.Time.AddDate(0, 0, 1)
	wantDuplicate(t, applyPosts(t, m, singlePost(e))[0][0], first)
}

func TestAGivenTimeIsTheSameInstantInAnyZone(t *testing.T) {
	m := newMachine(t)
	const timed = `{"id":"e1","source":"bard/a","seq":1,"time":%q,"type":"alert","contest_id":"G",` +
		`"data":{"text":"one"}}`
	first := mustApply(t, m, timed, "2026-02-09T12:00:00.5Z")
	wantDuplicate(t, postEvent(t, m, timed, "2026-02-09T13:00:00.5+01:00"), first)
	mustRefuse(t, m, score.IDConflict, "", timed, "2026-02-09T12:00:00.6Z")
}

func TestAnEventWithoutASeqIsRecognizedByItsID(t *testing.T) {
	m := newMachine(t)
	const mine = `{"id":"mine","type":"alert","contest_id":"G","data":{"text":%q}}`
	first := mustApply(t, m, mine, "hello")
	wantDuplicate(t, postEvent(t, m, mine, "hello"), first)
	mustRefuse(t, m, score.IDConflict, `"mine"`, mine, "goodbye")
	const nameless = `{"type":"alert","contest_id":"G","data":{"text":"hello"}}`
	if a, b := mustApply(t, m, nameless), mustApply(t, m, nameless); a.Seq != 2 || b.Seq != 3 {
		t.Errorf("without an id two posts are two events; got %+v and %+v", a, b)
	}
}

func TestAnIDMadeByAFrontendDetectsItsOwnRetry(t *testing.T) {
	m := newMachine(t)
	e := decodeEvent(t, `{"type":"alert","contest_id":"G","data":{"text":"hello"}}`)
	first := applyPosts(t, m, singlePost(e))[0][0]
	wantDuplicate(t, applyPosts(t, m, singlePost(e))[0][0], first)
}

func TestAnEventWithASeqIsRecognizedByItsIDWithoutTheSeq(t *testing.T) {
	m := newMachine(t)
	first := mustApply(t, m, alert, 1, 1, "one")
	wantDuplicate(t, postEvent(t, m,
		`{"id":"e1","source":"bard/a","type":"alert","contest_id":"G","data":{"text":"one"}}`), first)
}

func TestTheLast1024IDsOfASourceDetectDuplicates(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarted=%t", restarted), func(t *testing.T) {
			dir := t.TempDir()
			m := openMachine(t, dir)
			reopen := func() {
				if !restarted {
					return
				}
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
				m = openMachine(t, dir)
			}
			defer func() { m.Close() }()
			const by = `{"id":"id-%d","source":"bard/a","type":"alert","contest_id":"G","data":{"text":"hello"}}`
			var events []score.Event
			for i := range 1024 {
				events = append(events, decodeEvent(t, by, i+1))
			}
			results := applyPosts(t, m, score.Post{Events: events, Mode: score.UntilRefused})[0]
			reopen()
			wantDuplicate(t, postEvent(t, m, by, 1), results[0])
			mustApply(t, m, by, 1025)
			reopen()
			wantDuplicate(t, postEvent(t, m, by, 2), results[1])
			if r := mustApply(t, m, by, 1); r.Seq != 1026 {
				t.Errorf("the 1025th id from the end is not recognized, so the event is new; got %+v", r)
			}
			// The id is now recognized with its new seq.
			reopen()
			for i := range 1023 {
				mustApply(t, m, by, 2000+i)
			}
			reopen()
			if r := postEvent(t, m, by, 1); r.Status != score.Duplicate || r.Seq != 1026 {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestAnArrayIsAppliedAsAWholeOrNotAtAll(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	play := func(seq, delta int) score.Event {
		return decodeEvent(t, `{"id":"p%d","source":"bard/a","seq":%d,"type":"score.play","contest_id":"G/1",`+
			`"data":{"competitor":"A","delta":%d,"result":{"A":%d}}}`, seq, seq, delta, delta)
	}
	before := stateOf(t, m)
	bad := score.Post{Events: []score.Event{
		play(1, 1),
		decodeEvent(t, `{"id":"d2","source":"bard/a","seq":2,"type":"contest.define","contest_id":"G/2",`+
			`"data":{"kind":"ranked","sport":"race","competition_name":"New"}}`),
		decodeEvent(t, `{"id":"s3","source":"bard/a","seq":3,"type":"contest.status","contest_id":"G/2",`+
			`"data":{"schedule_status":"RUNNING"}}`),
		decodeEvent(t, `{"id":"m4","source":"bard/a","seq":4,"type":"result.set","contest_id":"G/2",`+
			`"data":{"competitor":"X","split":"finish","mark":1,"organisation":"NEW"}}`),
		decodeEvent(t, `{"id":"a5","source":"bard/a","seq":5,"type":"medal.award","contest_id":"G/1",`+
			`"data":{"award_id":"x","medal":"GOLD","organisation":"NEW"}}`),
		decodeEvent(t, `{"id":"v6","source":"bard/a","seq":6,"type":"event.void","contest_id":"G/1",`+
			`"data":{"voids":"p1","reason":"wrong"}}`),
		decodeEvent(t, `{"id":"p7","source":"bard/a","seq":7,"type":"score.play","contest_id":"G/none",`+
			`"data":{"competitor":"A","delta":1}}`),
		play(8, 1),
	}}
	r := applyPosts(t, m, bad)[0]
	if len(r) != 1 || r[0].Problem == nil || r[0].Problem.Code != score.NotFound || *r[0].Problem.Index != 6 ||
		r[0].Problem.ID != "p7" {
		t.Fatalf("want the one problem of event 6; got %+v", r)
	}
	if stateOf(t, m) != before {
		t.Error("an array that was refused changed something")
	}
	bad.Events = append(bad.Events[:6:6], play(7, 1))
	if r := applyPosts(t, m, bad)[0]; len(r) != 7 || r[6].Status != score.Applied {
		t.Errorf("without the bad event the array should be applied; got %+v", r)
	}
}

func TestAStreamIsAppliedUpToTheFirstRefused(t *testing.T) {
	m := newMachine(t)
	r := applyPosts(t, m, score.Post{Mode: score.UntilRefused, Events: []score.Event{
		decodeEvent(t, alert, 1, 1, "one"),
		decodeEvent(t, alert, 2, 2, "two"),
		decodeEvent(t, alert, 4, 4, "four"),
		decodeEvent(t, alert, 3, 3, "three"),
	}})[0]
	if len(r) != 3 || r[1].Status != score.Applied || r[2].Problem == nil || r[2].Problem.Index != nil ||
		m.Revision() != 2 {
		t.Errorf("got %+v", r)
	}
}

func TestARefusedPostDoesNotAffectTheOthersOfItsEntry(t *testing.T) {
	m := newMachine(t)
	r := applyPosts(t, m,
		singlePost(decodeEvent(t, alert, 1, 1, "one")),
		score.Post{Events: []score.Event{decodeEvent(t, alert, 2, 2, "two"), decodeEvent(t, alert, 4, 4, "four")}},
		singlePost(decodeEvent(t, alert, 2, 2, "zwei")),
	)
	if r[0][0].Status != score.Applied || r[1][0].Problem == nil || r[2][0].Status != score.Applied ||
		r[2][0].Revision != 2 {
		t.Errorf("got %+v", r)
	}
}

// startMatch defines the match G/1 of A and B and starts it.
func startMatch(t *testing.T, m *Machine) {
	t.Helper()
	mustApply(t, m, `{"id":"define","source":"desk","type":"contest.define","contest_id":"G/1",`+
		`"data":{"kind":"head_to_head","sport":"stones",`+
		`"competitors":[{"code":"A","organisation":"OA"},{"code":"B","organisation":"OB"}]}}`)
	mustApply(t, m, `{"id":"run","source":"desk","type":"contest.status","contest_id":"G/1",`+
		`"data":{"schedule_status":"RUNNING","period":"P1"}}`)
}

// blockSeqs is the number of events of a source whose records are stored together.
const blockSeqs = 32

// The records of several events of a source are stored together.
func TestEveryEventIsRecognizedWhereverTransactionsAndProcessesEnded(t *testing.T) {
	const n = 3*blockSeqs + 1
	alert := func(seq int, text string) score.Post { return alertPost(t, "bard/a", seq, text) }
	at := map[*Machine]func(seq int) bool{ // when the transaction is committed
		newMachine(t): func(int) bool { return true },
		newMachine(t): func(int) bool { return false },
		newMachine(t): func(seq int) bool { return seq%blockSeqs < 2 },
	}
	want := newMachine(t)
	for seq := 1; seq <= n; seq++ {
		applyPosts(t, want, alert(seq, "rain"))
	}
	snapshot := snapshotOf(t, want)
	for m, commit := range at {
		for seq := 1; seq <= n; seq++ {
			applyPosts(t, m, alert(seq, "rain"))
			if commit(seq) {
				if err := m.Commit(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !bytes.Equal(snapshotOf(t, m), snapshot) {
			t.Error("equal logs give unequal snapshots")
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		m = openMachine(t, m.dir)
		defer m.Close()
		for seq := 1; seq <= n; seq++ {
			if r := applyPosts(t, m, alert(seq, "rain"))[0][0]; r.Status != score.Duplicate || r.Revision != uint64(seq) {
				t.Errorf("event %d again: %+v", seq, r)
			}
			if r := applyPosts(t, m, alert(seq, "snow"))[0][0]; r.Problem == nil || r.Problem.Code != score.IDConflict {
				t.Errorf("another event under seq %d: %+v", seq, r)
			}
		}
		if r := applyPosts(t, m, alert(n+1, "rain"))[0][0]; r.Status != score.Applied || r.Revision != n+1 {
			t.Errorf("the next event: %+v", r)
		}
	}
}

func TestRefusedArrayLeavesNoTraceInTheRecordsOfItsSource(t *testing.T) {
	for _, posted := range []int{0, 1, blockSeqs - 1, blockSeqs, blockSeqs + 1} {
		one, other := newMachine(t), newMachine(t)
		for seq := 1; seq <= posted; seq++ {
			applyPosts(t, one, alertPost(t, "bard/a", seq, "rain"))
			applyPosts(t, other, alertPost(t, "bard/a", seq, "rain"))
		}
		array := score.Post{Mode: score.AllOrNone}
		for i := 1; i <= 2*blockSeqs; i++ {
			array.Events = append(array.Events, alertPost(t, "bard/a", posted+i, "snow").Events...)
		}
		array.Events = append(array.Events, alertPost(t, "bard/a", posted+2*blockSeqs+2, "gap").Events...)
		if r := applyPosts(t, one, array)[0][0]; r.Problem == nil || r.Problem.Code != score.SeqGap {
			t.Fatalf("an array with a gap: %+v", r)
		}
		for i := 1; i <= blockSeqs+1; i++ {
			applyPosts(t, one, alertPost(t, "bard/a", posted+i, "hail"))
			applyPosts(t, other, alertPost(t, "bard/a", posted+i, "hail"))
		}
		if stateOf(t, one) != stateOf(t, other) {
			t.Errorf("after %d events a refused array changes what is stored", posted)
		}
	}
}

func TestTheIdentitiesOfASourceAreListedInOrder(t *testing.T) {
	m := newMachine(t)
	const n = 2*blockSeqs + 3
	var want []score.PostedEvent
	for seq := 1; seq <= n; seq++ {
		e := decodeEvent(t, alert, seq, seq, "snow")
		r := mustApply(t, m, alert, seq, seq, "snow")
		mustApply(t, m, `{"source":"bard/b","type":"alert","contest_id":"G","data":{"text":"sun"}}`)
		data, err := score.MarshalData(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, score.PostedEvent{Seq: uint64(seq), ID: e.ID, Revision: r.Revision,
			Digest: entry.DigestOf(&e, data)})
	}
	for _, after := range []uint64{0, 1, blockSeqs - 1, blockSeqs, blockSeqs + 1, n - 1, n, n + 1, 1 << 63, 1<<64 - 1} {
		for _, limit := range []int{1, 2, blockSeqs, n, 1000} {
			part := want[min(after, n):]
			part = part[:min(limit, len(part))]
			got := posted(t, m, "bard/a", after, limit)
			if got.LastSeq != n || got.LastID != want[n-1].ID || !slices.Equal(got.Events, part) {
				t.Errorf("after %d, at most %d: got %+v; want %+v", after, limit, got, part)
			}
		}
	}
	if got := posted(t, m, "bard/new", 0, 10); got.Source != "bard/new" || got.LastSeq != 0 || len(got.Events) != 0 {
		t.Errorf("of a source that never posted: %+v", got)
	}
}

func posted(t *testing.T, m *Machine, source string, after uint64, limit int) (p score.Posted) {
	t.Helper()
	err := m.View(func(v *view.View) (err error) {
		p, err = v.Posted(source, after, limit)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAConflictNamesWhatTheBardGave(t *testing.T) {
	m := newMachine(t)
	first := mustApply(t, m, `{"type":"alert","contest_id":"D30/1","data":{"text":"one"},"id":"d30"}`)
	r := postEvent(t, m, `{"type":"alert","contest_id":"D30/2","data":{"text":"two"},"id":"d30"}`)
	want := fmt.Sprintf(`the id "d30" of anonymous is that of another event already (revision %d); choose another id`,
		first.Revision)
	if r.Problem == nil || r.Problem.Code != score.IDConflict || r.Problem.Field != "id" || r.Problem.Detail != want ||
		r.ID != "d30" {
		t.Errorf("an id that is taken: %+v, %v; want %s", r, r.Problem, want)
	}
	mustApply(t, m, `{"type":"alert","contest_id":"D30/1","data":{"text":"one"},"id":"a","source":"feed","seq":1}`)
	r = postEvent(t, m, `{"type":"alert","contest_id":"D30/1","data":{"text":"two"},"id":"a","source":"feed","seq":1}`)
	if r.Problem == nil || r.Problem.Code != score.IDConflict || r.Problem.Field != "seq" || r.ID != "a" {
		t.Errorf("a seq that is taken: %+v, %v", r, r.Problem)
	}
	if r := postEvent(t, m, `{"type":"alert","contest_id":"D30/1","data":{"text":"one"},"id":"d30"}`); r.Status != score.Duplicate {
		t.Errorf("the first event again: %+v", r)
	}
}
