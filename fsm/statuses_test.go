package fsm

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"laurel/score"
)

// contestState is a state of a contest, with the statuses that lead to it.
type contestState struct {
	name string
	path []string // the data of each contest.status
}

// contestStates returns every schedule status, before and after RUNNING, and the OFFICIAL
// ones.
func contestStates() (list []contestState) {
	const running = `{"schedule_status":"RUNNING","result_status":"LIVE"}`
	status := func(s string) string { return fmt.Sprintf(`{"schedule_status":%q}`, s) }
	for _, s := range scheduleStatuses {
		if s != score.Running {
			list = append(list, contestState{s, []string{status(s)}})
		}
	}
	list = append(list, contestState{score.Running, []string{running}})
	for _, s := range scheduleStatuses {
		if s != score.Running && s != score.Scheduled && s != score.Unscheduled {
			list = append(list, contestState{s + " after RUNNING", []string{running, status(s)}})
		}
	}
	for _, s := range []string{score.Finished, score.Cancelled} {
		official := fmt.Sprintf(`{"schedule_status":%q,"result_status":"OFFICIAL"}`, s)
		list = append(list, contestState{s + ", OFFICIAL", []string{running, official}})
	}
	return list
}

var scheduleStatuses = []string{
	score.Unscheduled, score.Scheduled, "GETTING_READY", score.Running, "SCHEDULED_BREAK", "DELAYED", "INTERRUPTED",
	score.Postponed, score.Rescheduled, score.Cancelled, score.Finished,
}

// statusAttempt is an event that the table lists as accepted or refused.
type statusAttempt struct {
	name   string // the heading of its column
	typ    score.Type
	kind   string
	data   string // with %s for more members
	reason bool   // the data may have a reason
}

const startList = `"competitors":[{"code":"A"},{"code":"B"}]`

// statusAttempts has an attempt for each type of event whose acceptance depends on the
// status.
var statusAttempts = []statusAttempt{
	{"play", score.TypeScorePlay, score.HeadToHead, `{"competitor":"A","delta":1}`, false},
	{"set", score.TypeScoreSet, score.HeadToHead, `{"result":{"A":3}%s}`, true},
	{"mark", score.TypeResultSet, score.Ranked, `{"competitor":"A","split":"finish","mark":9%s}`, true},
	{"WALKOVER", score.TypeContestDecide, score.HeadToHead, `{"winner":"A","decision":"WALKOVER"%s}`, true},
	{"AWARDED", score.TypeContestDecide, score.HeadToHead, `{"winner":"A","decision":"AWARDED"%s}`, true},
	{"other decision", score.TypeContestDecide, score.HeadToHead, `{"winner":"A","decision":"RETIRED"%s}`, true},
}

// statusAlways has the types that are accepted in every state.
var statusAlways = []statusAttempt{
	{"", score.TypeContestDefine, score.HeadToHead, `{"kind":"head_to_head","sport":"x","title":"t",` + startList + `}`, false},
	{"", score.TypeCompetitorDefine, score.HeadToHead, `{"competitor":"A","name":"Alfa"}`, false},
	{"", score.TypeContestReset, score.HeadToHead, `{"reason":"r"}`, false},
	{"", score.TypeMedalAward, score.HeadToHead, `{"award_id":"new","medal":"GOLD","organisation":"OA"}`, false},
	{"", score.TypeMedalRevoke, score.HeadToHead, `{"award_id":"old","reason":"r"}`, false},
	{"", score.TypeEventVoid, score.HeadToHead, `{"voids":"old","reason":"r"}`, false},
	{"", score.TypeAlert, score.HeadToHead, `{"text":"t"}`, false},
}

// attemptIn returns what becomes of an event in a state: "yes", "no", or "reason" if it is
// accepted only with one.
func attemptIn(t *testing.T, s contestState, a statusAttempt) string {
	t.Helper()
	m := newMachine(t)
	mustPost(t, m, "define", "contest.define", "G/1", fmt.Sprintf(`{"kind":%q,"sport":"x",%s}`, a.kind, startList))
	mustPost(t, m, "old", "medal.award", "G/1", `{"award_id":"old","medal":"GOLD","organisation":"OA"}`)
	for i, data := range s.path {
		mustPost(t, m, fmt.Sprint("status", i), "contest.status", "G/1", data)
	}
	post := func(more string) bool {
		data := a.data
		if a.reason {
			data = fmt.Sprintf(a.data, more)
		}
		r := postEvent(t, m, `{"source":"desk","type":%q,"contest_id":"G/1","data":%s}`, a.typ, data)
		if r.Problem != nil && r.Problem.Code != score.StatusConflict {
			t.Errorf("%s in %s: %v", a.typ, s.name, r.Problem)
		}
		return r.Problem == nil
	}
	switch {
	case post(""):
		return "yes"
	case a.reason && post(`,"reason":"r"`):
		return "reason"
	}
	return "no"
}

func tableRow(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// acceptanceTables returns the tables of docs/statuses.md.
func acceptanceTables(t *testing.T) string {
	var b strings.Builder
	heading, rule := []string{"state"}, []string{"---"}
	for _, a := range statusAttempts {
		heading, rule = append(heading, a.name), append(rule, "---")
	}
	b.WriteString(tableRow(heading...) + tableRow(rule...))
	for _, s := range contestStates() {
		row := []string{s.name}
		for _, a := range statusAttempts {
			row = append(row, attemptIn(t, s, a))
		}
		b.WriteString(tableRow(row...))
	}
	b.WriteString("\n`contest.status` to:\n\n")
	b.WriteString(tableRow("state", strings.Join(scheduleStatuses, " | ")))
	b.WriteString(tableRow("---", strings.Join(slices.Repeat([]string{"---"}, len(scheduleStatuses)), " | ")))
	for _, s := range contestStates() {
		row := []string{s.name}
		for _, to := range scheduleStatuses {
			row = append(row, attemptIn(t, s, statusAttempt{"", score.TypeContestStatus, score.HeadToHead,
				`{"schedule_status":"` + to + `"%s}`, true}))
		}
		b.WriteString(tableRow(row...))
	}
	return b.String()
}

// TestTheTableOfStatusesIsWhatTheStoreAccepts compares docs/statuses.md with the state
// machine. With -update it writes the tables.
func TestTheTableOfStatusesIsWhatTheStoreAccepts(t *testing.T) {
	const path, begin, end = "../docs/statuses.md", "<!-- tables -->\n", "<!-- end -->\n"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %q and %q", path, begin, end)
	}
	want := "\n" + acceptanceTables(t) + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have != want {
		t.Errorf("%s has other tables than the state machine; run go test ./fsm -run %s -update. They are\n%s", path,
			t.Name(), want)
	}
}

func TestEventsThatDependOnNoStatusAreAcceptedInEachState(t *testing.T) {
	for _, s := range contestStates() {
		for _, a := range statusAlways {
			if got := attemptIn(t, s, a); got != "yes" {
				t.Errorf("%s in %s: %s", a.typ, s.name, got)
			}
		}
	}
}

func TestEveryTypeIsInTheTableOfStatusesOrDependsOnNone(t *testing.T) {
	known := map[score.Type]bool{score.TypeContestStatus: true, score.TypeCompetitionDefine: true}
	for _, a := range slices.Concat(statusAttempts, statusAlways) {
		known[a.typ] = true
	}
	for _, typ := range score.Types {
		if !known[typ] {
			t.Errorf("%s is neither in statusAttempts nor in statusAlways; add it", typ)
		}
	}
}

// An event for a contest that is not defined is refused, unless it concerns no contest.
func TestOnlyEventsThatConcernNoContestAreAcceptedBeforeItIsDefined(t *testing.T) {
	free := []score.Type{score.TypeCompetitionDefine, score.TypeContestDefine, score.TypeMedalAward, score.TypeAlert}
	for typ, example := range eventExamples {
		if typ == score.TypeMedalRevoke || typ == score.TypeEventVoid {
			continue // they need another event
		}
		id := "G/none"
		if typ == score.TypeCompetitionDefine {
			id = "G"
		}
		r := postEvent(t, newMachine(t), `{"source":"desk","type":%q,"contest_id":%q,"data":%s}`, typ, id, example.data)
		if accepted := r.Problem == nil; accepted != slices.Contains(free, typ) {
			t.Errorf("%s: accepted is %t (%v)", typ, accepted, r.Problem)
		} else if !accepted && r.Problem.Code != score.NotFound {
			t.Errorf("%s: %v", typ, r.Problem)
		}
	}
}
