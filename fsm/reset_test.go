package fsm

import (
	"bytes"
	"fmt"
	"testing"

	"laurel/score"
)

const replayed = `{"reason":"replay ordered"}`

func TestAResetBeginsAMatchAnewAndItsVoidFoldsAllEvents(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":1}`)
	mustPost(t, m, "gold", "medal.award", "G/1", `{"award_id":"a","medal":"GOLD","organisation":"OA"}`)
	mustPost(t, m, "dec", "contest.decide", "G/1", `{"winner":"B","decision":"RETIRED"}`)
	mustPost(t, m, "reset", "contest.reset", "G/1", replayed)
	if r := recordOf(t, m, "G/1"); r.Started || r.ScheduleStatus != "SCHEDULED" || r.Decision != "" || r.Winner != "" {
		t.Errorf("after the reset it is %+v", r)
	}
	wantResult(t, m, "G/1", "A", "0")
	wantVoided(t, m, "G/1", "run:reset g1:reset dec:reset")
	if rows := medalRows(t, m); len(rows) == 0 || rows[0].Gold != 1 {
		t.Errorf("the reset took a medal: %+v", rows)
	}
	mustRefuse(t, m, score.StatusConflict, "not started",
		`{"type":"score.play","contest_id":"G/1","data":{"competitor":"A","delta":1}}`)
	mustPost(t, m, "run2", "contest.status", "G/1", `{"schedule_status":"RUNNING"}`)
	mustPost(t, m, "g2", "score.play", "G/1", `{"competitor":"B","delta":2,"result":{"A":0,"B":2}}`)
	wantResult(t, m, "G/1", "B", "2")
	mustVoid(t, m, "v", "G/1", "reset")
	wantResult(t, m, "G/1", "A", "1")
	wantResult(t, m, "G/1", "B", "2")
	wantVoided(t, m, "G/1", "reset:v")
	if r := recordOf(t, m, "G/1"); r.Winner != "B" || r.Decision != "RETIRED" {
		t.Errorf("without the reset the winner is %q by %q", r.Winner, r.Decision)
	}
	mustVoid(t, m, "vv", "G/1", "v")
	wantResult(t, m, "G/1", "A", "0")
	wantResult(t, m, "G/1", "B", "2")
	wantVoided(t, m, "G/1", "run:reset g1:reset dec:reset v:vv")
}

// What was corrected is struck out by the reset, too.
func TestAMatchIsNotCorrectedAfterAResetUntilItIsVoided(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":1}`)
	mustPost(t, m, "asc", "contest.define", "G/1", `{"sort":"asc","reason":"it is golf"}`)
	wantCorrected := func(want bool) {
		t.Helper()
		if r := recordOf(t, m, "G/1"); r.Corrected != want {
			t.Errorf("corrected is %t", r.Corrected)
		}
	}
	wantCorrected(true)
	mustPost(t, m, "reset", "contest.reset", "G/1", replayed)
	wantCorrected(false)
	mustPost(t, m, "run2", "contest.status", "G/1", `{"schedule_status":"RUNNING"}`)
	mustPost(t, m, "g2", "score.play", "G/1", `{"competitor":"A","delta":2}`)
	mustPost(t, m, "g3", "score.play", "G/1", `{"competitor":"A","delta":2}`)
	mustVoid(t, m, "v3", "G/1", "g3")
	wantCorrected(false)
	mustVoid(t, m, "v", "G/1", "reset")
	wantCorrected(true)
	mustVoid(t, m, "vv", "G/1", "v")
	wantCorrected(false)
	mustPost(t, m, "desc", "contest.define", "G/1", `{"sort":"desc","reason":"it is not"}`)
	wantCorrected(true)
}

func TestOnlyTheLastResetCounts(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":1}`)
	mustPost(t, m, "r1", "contest.reset", "G/1", replayed)
	mustPost(t, m, "run1", "contest.status", "G/1", `{"schedule_status":"RUNNING"}`)
	mustPost(t, m, "g2", "score.play", "G/1", `{"competitor":"A","delta":10}`)
	mustPost(t, m, "r2", "contest.reset", "G/1", replayed)
	mustPost(t, m, "run2", "contest.status", "G/1", `{"schedule_status":"RUNNING"}`)
	mustPost(t, m, "g3", "score.play", "G/1", `{"competitor":"A","delta":100}`)
	for _, step := range []struct{ void, want, voided string }{
		{"", "100", "run:r2 g1:r2 run1:r2 g2:r2"},
		{"r1", "100", "run:r2 g1:r2 r1:v-r1 run1:r2 g2:r2"},
		{"r2", "111", "r1:v-r1 r2:v-r2"},
		{"v-r1", "110", "run:r1 g1:r1 r2:v-r2 v-r1:v-v-r1"},
	} {
		if step.void != "" {
			mustVoid(t, m, "v-"+step.void, "G/1", step.void)
		}
		wantResult(t, m, "G/1", "A", step.want)
		wantVoided(t, m, "G/1", step.voided)
	}
}

func TestAPlayBeforeAResetCanBeVoided(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":1}`)
	mustPost(t, m, "g2", "score.play", "G/1", `{"competitor":"A","delta":10}`)
	mustPost(t, m, "reset", "contest.reset", "G/1", replayed)
	mustVoid(t, m, "v1", "G/1", "g1")
	wantResult(t, m, "G/1", "A", "0")
	wantVoided(t, m, "G/1", "run:reset g1:v1 g2:reset")
	mustVoid(t, m, "v2", "G/1", "reset")
	wantResult(t, m, "G/1", "A", "10")
}

func TestAResetRemovesMarksAndItsVoidSetsThemAgain(t *testing.T) {
	m := newMachine(t)
	mark := func(id, runner, split, value string) {
		mustPost(t, m, id, "result.set", "G/r", fmt.Sprintf(`{"competitor":%q,"split":%q,"mark":%s}`, runner, split, value))
	}
	mustPost(t, m, "d", "contest.define", "G/r", `{"kind":"ranked","sport":"race","sort":"asc","splits":["5k","finish"]}`)
	mustPost(t, m, "run", "contest.status", "G/r", `{"schedule_status":"RUNNING"}`)
	mark("x1", "X", "finish", "10")
	mark("y1", "Y", "finish", "11")
	mark("y2", "Y", "finish", "12")
	mark("z1", "Z", "5k", "4")
	mustPost(t, m, "reset", "contest.reset", "G/r", replayed)
	wantPlaces(t, m, "G/r", "; ")
	wantVoided(t, m, "G/r", "run:reset x1:reset y1:reset y2:reset z1:reset")
	mustPost(t, m, "run2", "contest.status", "G/r", `{"schedule_status":"RUNNING"}`)
	mark("x2", "X", "finish", "13")
	wantPlaces(t, m, "G/r", "X 13 1; ")
	mustVoid(t, m, "v1", "G/r", "x1") // has no effect while the reset stands
	wantPlaces(t, m, "G/r", "X 13 1; ")
	mustVoid(t, m, "v2", "G/r", "y2")
	mustVoid(t, m, "v3", "G/r", "reset")
	wantPlaces(t, m, "G/r", "Y 11 1, X 13 2; ")
	mustVoid(t, m, "v4", "G/r", "v3")
	wantPlaces(t, m, "G/r", "X 13 1; ")
	mustVoid(t, m, "v5", "G/r", "x2")
	wantPlaces(t, m, "G/r", "; ")
	mustVoid(t, m, "v6", "G/r", "v4")
	wantPlaces(t, m, "G/r", "Y 11 1; ")
	again := newMachine(t)
	if err := again.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
		t.Fatal(err)
	}
	if stateOf(t, again) != stateOf(t, m) {
		t.Error("the restored state is another one")
	}
}

// The splits may change after a reset. Then the marks from before it have no place.
func TestAResetWhoseMarksHaveNoPlaceAnyLongerCannotBeVoided(t *testing.T) {
	m := newMachine(t)
	runRace(t, m)
	mustPost(t, m, "reset", "contest.reset", "G/r", replayed)
	mustPost(t, m, "d2", "contest.define", "G/r", `{"kind":"ranked","sport":"race","sort":"asc","splits":["lap1","end"]}`)
	wantVoidRefused(t, m, score.StatusConflict, "depends on it", "G/r", "reset")
	mustVoid(t, m, "v1", "G/r", "d2")
	mustVoid(t, m, "v2", "G/r", "reset")
	wantResult(t, m, "G/r", "X", "10")
}

// The list may change after a reset. Then the plays from before it have no place, but no
// other event depends on them.
func TestEventsBeforeAResetHinderNoVoid(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":1}`)
	mustPost(t, m, "reset", "contest.reset", "G/1", replayed)
	mustPost(t, m, "d2", "contest.define", "G/1",
		`{"kind":"head_to_head","sport":"stones","competitors":[{"code":"B"},{"code":"C"}]}`)
	mustPost(t, m, "run2", "contest.status", "G/1", `{"schedule_status":"RUNNING"}`)
	mustPost(t, m, "g2", "score.play", "G/1", `{"competitor":"C","delta":1}`)
	mustVoid(t, m, "v1", "G/1", "g2")
	wantResult(t, m, "G/1", "C", "0")
	wantVoidRefused(t, m, score.StatusConflict, `"g1"`, "G/1", "reset")
}

func TestAContestWithManyMarksCannotBeReset(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "d", "contest.define", "G/r", `{"kind":"ranked","sport":"race","splits":["5k","finish"]}`)
	mustPost(t, m, "run", "contest.status", "G/r", `{"schedule_status":"RUNNING"}`)
	postMany(t, m, "G/r", maxResetMarks+1, func(i int) (string, string) {
		return "result.set", fmt.Sprintf(`{"competitor":"c%d","split":%q,"mark":%d}`, i, []string{"5k", "finish"}[i%2], i)
	})
	mustRefuse(t, m, score.TooLarge, "20001 marks", `{"type":"contest.reset","contest_id":"G/r","data":{"reason":"r"}}`)
	mustVoid(t, m, "v", "G/r", "p7")
	if r := mustPost(t, m, "reset", "contest.reset", "G/r", replayed); r.Folded < maxResetMarks {
		t.Errorf("the reset counts as %d events folded", r.Folded)
	}
	wantPlaces(t, m, "G/r", "; ")
	mustVoid(t, m, "v2", "G/r", "reset")
	if r := recordOf(t, m, "G/r"); *r.Total != maxResetMarks/2 {
		t.Errorf("without the reset there are %d marks at the finish", *r.Total)
	}
}

func TestAResetOfAnArrayThatIsRefusedChangesNothing(t *testing.T) {
	m := newMachine(t)
	runRace(t, m)
	before := stateOf(t, m)
	results := applyPosts(t, m, score.Post{Events: []score.Event{
		decodeEvent(t, `{"type":"contest.reset","contest_id":"G/r","data":{"reason":"r"}}`),
		decodeEvent(t, `{"type":"result.set","contest_id":"G/r","data":{"competitor":"X","split":"5k","mark":1}}`),
	}})[0]
	if len(results) != 1 || results[0].Problem == nil {
		t.Fatalf("%+v", results)
	}
	if stateOf(t, m) != before {
		t.Error("the array was refused and changed the state")
	}
}

func TestADecisionStandsAndFallsWithItsVoid(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":1}`)
	mustPost(t, m, "d1", "contest.decide", "G/1", `{"winner":"B","decision":"RETIRED"}`)
	mustPost(t, m, "end", "contest.status", "G/1", `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
	mustPost(t, m, "d2", "contest.decide", "G/1", `{"decision":"ABANDONED","reason":"the pitch was too short"}`)
	want := func(winner, decision string) {
		t.Helper()
		if r := recordOf(t, m, "G/1"); r.Winner != winner || r.Decision != decision {
			t.Errorf("the winner is %q by %q; want %q by %q", r.Winner, r.Decision, winner, decision)
		}
	}
	want("", "ABANDONED")
	mustVoid(t, m, "v1", "G/1", "d2")
	want("B", "RETIRED")
	mustVoid(t, m, "v2", "G/1", "d1")
	want("A", "")
	mustVoid(t, m, "v3", "G/1", "v2")
	want("B", "RETIRED")
	mustVoid(t, m, "v4", "G/1", "g1") // the decision does not depend on the score
	want("B", "RETIRED")
}
