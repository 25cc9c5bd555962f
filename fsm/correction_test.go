package fsm

import (
	"fmt"
	"strings"
	"testing"

	"laurel/fsm/view"
	"laurel/score"
)

// wantPlaces compares the code, result and rank of each competitor, and the winner.
func wantPlaces(t *testing.T, m *Machine, contest, want string) {
	t.Helper()
	r := recordOf(t, m, contest)
	var parts []string
	for _, p := range r.Competitors {
		result := p.IRM
		if p.Result != nil {
			result = p.Result.String()
		}
		parts = append(parts, fmt.Sprint(p.Code, " ", result, " ", p.Rank))
	}
	if got := strings.Join(parts, ", ") + "; " + r.Winner; got != want {
		t.Errorf("%s shows %s; want %s", contest, got, want)
	}
}

// wantVoided compares the voided events of a timeline with their voids: "g1:v1", in
// order.
func wantVoided(t *testing.T, m *Machine, contest, want string) {
	t.Helper()
	var voided []string
	err := m.View(func(v *view.View) error {
		list, _, err := v.Timeline(contest, 0, 1000)
		ids := map[uint64]string{}
		for _, e := range list {
			ids[e.Revision] = e.ID
		}
		for _, e := range list {
			if e.VoidedBy != 0 {
				voided = append(voided, e.ID+":"+ids[e.VoidedBy])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(voided, " "); got != want {
		t.Errorf("in %s the voided events are %s; want %s", contest, got, want)
	}
}

func runRace(t *testing.T, m *Machine) {
	t.Helper()
	mustPost(t, m, "d", "contest.define", "G/r",
		`{"kind":"ranked","sport":"race","sort":"asc","splits":["5k","finish"]}`)
	mustPost(t, m, "run", "contest.status", "G/r", `{"schedule_status":"RUNNING"}`)
	mustPost(t, m, "x", "result.set", "G/r", `{"competitor":"X","split":"finish","mark":10}`)
	mustPost(t, m, "y", "result.set", "G/r", `{"competitor":"Y","split":"finish","mark":11}`)
	mustPost(t, m, "z", "result.set", "G/r", `{"competitor":"Z","split":"finish","mark":11}`)
	mustPost(t, m, "end", "contest.status", "G/r", `{"schedule_status":"FINISHED"}`)
	wantPlaces(t, m, "G/r", "X 10 1, Y 11 2, Z 11 2; X")
}

func TestVoidingTheWinningGoalAfterTheEndRemovesTheWin(t *testing.T) {
	m := newMachine(t)
	startMatch(t, m)
	mustPost(t, m, "g1", "score.play", "G/1", `{"competitor":"A","delta":1}`)
	mustPost(t, m, "g2", "score.play", "G/1", `{"competitor":"B","delta":1}`)
	mustPost(t, m, "g3", "score.play", "G/1", `{"competitor":"A","delta":1}`)
	mustPost(t, m, "end", "contest.status", "G/1", `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
	wantPlaces(t, m, "G/1", "A 2 1, B 1 2; A")
	mustVoid(t, m, "v3", "G/1", "g3")
	wantPlaces(t, m, "G/1", "A 1 1, B 1 1; ")
	mustVoid(t, m, "v1", "G/1", "g1")
	wantPlaces(t, m, "G/1", "B 1 1, A 0 2; B")
	wantVoided(t, m, "G/1", "g1:v1 g3:v3")
	mustVoid(t, m, "w3", "G/1", "v3")
	wantPlaces(t, m, "G/1", "A 1 1, B 1 1; ")
	wantVoided(t, m, "G/1", "g1:v1 v3:w3")
}

func TestVoidingASecondMarkRestoresTheFirstWithItsRank(t *testing.T) {
	m := newMachine(t)
	runRace(t, m)
	mustPost(t, m, "z2", "result.set", "G/r", `{"competitor":"Z","split":"finish","mark":9}`)
	wantPlaces(t, m, "G/r", "Z 9 1, X 10 2, Y 11 3; Z")
	mustVoid(t, m, "v", "G/r", "z2")
	wantPlaces(t, m, "G/r", "X 10 1, Y 11 2, Z 11 2; X")
	wantVoided(t, m, "G/r", "z2:v")
	// Voiding the first mark while the second one counts changes no rank.
	mustVoid(t, m, "w", "G/r", "v")
	mustVoid(t, m, "v1", "G/r", "z")
	wantPlaces(t, m, "G/r", "Z 9 1, X 10 2, Y 11 3; Z")
	mustVoid(t, m, "v2", "G/r", "z2")
	wantPlaces(t, m, "G/r", "X 10 1, Y 11 2; X")
	wantVoided(t, m, "G/r", "z:v1 z2:v2 v:w")
}

func TestADisqualifiedWinnerLosesRankAndWin(t *testing.T) {
	for _, status := range []string{"", "UNOFFICIAL", "OFFICIAL", "PROTESTED"} {
		t.Run(status, func(t *testing.T) {
			m := newMachine(t)
			runRace(t, m)
			reason := ""
			if status != "" {
				mustPost(t, m, "status", "contest.status", "G/r", `{"result_status":"OFFICIAL"}`)
				mustPost(t, m, "status2", "contest.status", "G/r", `{"result_status":"`+status+`"}`)
				mustRefuse(t, m, score.StatusConflict, "result.set with a reason",
					`{"type":"result.set","contest_id":"G/r","data":{"competitor":"X","split":"finish","irm":"DSQ"}}`)
				reason = `,"reason":"magic potion"`
			}
			mustPost(t, m, "dsq", "result.set", "G/r", `{"competitor":"X","split":"finish","irm":"DSQ"`+reason+`}`)
			wantPlaces(t, m, "G/r", "Y 11 1, Z 11 1, X DSQ 0; ")
			// Voiding the mark does not change the disqualification. Voiding the
			// disqualification restores the mark.
			mustVoid(t, m, "vx", "G/r", "x")
			wantPlaces(t, m, "G/r", "Y 11 1, Z 11 1, X DSQ 0; ")
			mustVoid(t, m, "vz", "G/r", "z")
			wantPlaces(t, m, "G/r", "Y 11 1, X DSQ 0; Y")
			mustVoid(t, m, "wx", "G/r", "vx")
			mustVoid(t, m, "vdsq", "G/r", "dsq")
			wantPlaces(t, m, "G/r", "X 10 1, Y 11 2; X")
			wantVoided(t, m, "G/r", "z:vz dsq:vdsq vx:wx")
		})
	}
}

func TestACorrectionSurvivesVoidingTheStatusBeforeIt(t *testing.T) {
	m := newMachine(t)
	runRace(t, m)
	mustPost(t, m, "official", "contest.status", "G/r", `{"result_status":"OFFICIAL"}`)
	mustPost(t, m, "dsq", "result.set", "G/r",
		`{"competitor":"X","split":"finish","irm":"DSQ","reason":"magic potion"}`)
	mustVoid(t, m, "v", "G/r", "official")
	wantPlaces(t, m, "G/r", "Y 11 1, Z 11 1, X DSQ 0; ")
	mustPost(t, m, "late", "result.set", "G/r", `{"competitor":"W","split":"finish","mark":12}`)
	mustVoid(t, m, "v2", "G/r", "run")
	wantPlaces(t, m, "G/r", "Y 11 1, Z 11 1, W 12 3, X DSQ 0; ")
	// The definition of the contest cannot be voided.
	wantVoidRefused(t, m, score.StatusConflict, `"end"`, "G/r", "d")
}

func TestAnExtendedListCanBeVoidedWhileTheNewCompetitorsHaveNoMarks(t *testing.T) {
	m := newMachine(t)
	const about = `{"kind":"ranked","sport":"race","sort":"asc","competitors":[%s]}`
	mustPost(t, m, "d1", "contest.define", "G/r", fmt.Sprintf(about, `{"code":"X"}`))
	mustPost(t, m, "run", "contest.status", "G/r", `{"schedule_status":"RUNNING"}`)
	mustPost(t, m, "x", "result.set", "G/r", `{"competitor":"X","split":"finish","mark":10}`)
	mustPost(t, m, "d2", "contest.define", "G/r", fmt.Sprintf(about, `{"code":"X"},{"code":"Y"}`))
	mustVoid(t, m, "v1", "G/r", "d2")
	mustRefuse(t, m, score.InvalidEvent, `"Y" does not compete here`,
		`{"type":"result.set","contest_id":"G/r","data":{"competitor":"Y","split":"finish","mark":9}}`)
	mustVoid(t, m, "w1", "G/r", "v1")
	mustPost(t, m, "y", "result.set", "G/r", `{"competitor":"Y","split":"finish","mark":9}`)
	wantVoidRefused(t, m, score.StatusConflict, `"Y", who has a mark,`, "G/r", "d2")
	mustRefuse(t, m, score.StatusConflict, `"Y" is missing from the list`,
		`{"type":"contest.define","contest_id":"G/r","data":%s}`, fmt.Sprintf(about, `{"code":"X"}`))
	mustVoid(t, m, "vy", "G/r", "y")
	mustVoid(t, m, "v2", "G/r", "d2")
	wantPlaces(t, m, "G/r", "X 10 1; ")
}
