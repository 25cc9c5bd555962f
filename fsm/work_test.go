package fsm

import (
	"fmt"
	"strings"
	"testing"

	"laurel/score"
)

// manySplits returns the splits s1, s2 and so on as JSON.
func manySplits(n int) string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf(`"s%d"`, i+1))
	}
	return "[" + strings.Join(names, ",") + "]"
}

// A mark with another team, or a competitor.define, has all marks of the competitor
// written again.
func TestTheMarksThatOnePostHasWrittenAgainAreBounded(t *testing.T) {
	const splits = 250
	for name, data := range map[string]string{
		"result.set":        `{"competitor":"A","split":"s1","mark":1,"organisation":"O%d"}`,
		"competitor.define": `{"competitor":"A","name":"N%d"}`,
	} {
		m := newMachine(t)
		race(t, m, `,"splits":`+manySplits(splits))
		postMany(t, m, "G/r", splits, func(i int) (string, string) {
			return "result.set", fmt.Sprintf(`{"competitor":"A","split":"s%d","mark":1}`, i)
		})
		var events []score.Event
		for i := range 200 {
			events = append(events, decodeEvent(t, `{"id":"c%d","source":"desk","type":%q,"contest_id":"G/r","data":%s}`,
				i, name, fmt.Sprintf(data, i)))
		}
		before := stateOf(t, m)
		results := applyPosts(t, m, score.Post{Events: events})[0]
		if last := results[len(results)-1]; last.Problem == nil || last.Problem.Code != score.TooLarge {
			t.Fatalf("%s: an array is answered by %+v", name, last)
		}
		if stateOf(t, m) != before {
			t.Errorf("%s: a refused array has changed the state", name)
		}
		for posts := 1; len(events) > 0; posts++ { // as a stream divides its posts
			results := applyPosts(t, m, score.Post{Events: events, Mode: score.UntilRefused})[0]
			folded := 0
			for i := range results {
				folded += results[i].Folded
			}
			if folded > maxFolds+splits || posts > 200*splits/maxFolds+1 {
				t.Fatalf("%s: post %d has %d marks written again", name, posts, folded)
			}
			if last := results[len(results)-1]; last.Problem != nil {
				if last.Problem.Code != score.TooLarge || len(results) == 1 {
					t.Fatalf("%s: post %d is answered by %+v", name, posts, last)
				}
				results = results[:len(results)-1]
			}
			events = events[len(results):]
		}
	}
}

// A large race has a short list and a long start list.
func TestVoidingACompetitorDefineReadsNoMarksOfOthers(t *testing.T) {
	const entered, splits = 500, 20
	m := newMachine(t)
	race(t, m, `,"competitors":[{"code":"E1"},{"code":"E2"}],"splits":`+manySplits(splits))
	postMany(t, m, "G/r", entered*(splits+1), func(i int) (string, string) {
		if i <= entered {
			return "competitor.define", fmt.Sprintf(`{"competitor":"c%d"}`, i)
		}
		return "result.set", fmt.Sprintf(`{"competitor":"c%d","split":"s%d","mark":1}`, i%entered+1, i/entered%splits+1)
	})
	mustPost(t, m, "late", "competitor.define", "G/r", `{"competitor":"late"}`)
	const rows = 2 * (entered*(splits+1) + 10) / rowsPerFold // the timeline is read twice
	if r := mustVoid(t, m, "v", "G/r", "late"); r.Folded > rows+5*splits {
		t.Errorf("the void has %d marks and rows read; want at most %d", r.Folded, rows+5*splits)
	}
	wantVoidRefused(t, m, score.StatusConflict, `"c7", who has a mark, would not be on its list`, "G/r", "p7")
}

func TestTheMarksReadForAFirstListAreBounded(t *testing.T) {
	const entered, splits = 100, maxResetMarks/100 + 1
	m := newMachine(t)
	race(t, m, `,"splits":`+manySplits(splits))
	postMany(t, m, "G/r", entered*(splits+1), func(i int) (string, string) {
		if i <= entered {
			return "competitor.define", fmt.Sprintf(`{"competitor":"c%d"}`, i)
		}
		return "result.set", fmt.Sprintf(`{"competitor":"c%d","split":"s%d","mark":1}`, i%entered+1, (i-1)/entered)
	})
	mustRefuse(t, m, score.TooLarge, "post a competitor.define for each competitor instead",
		`{"type":"contest.define","contest_id":"G/r","data":{"competitors":[{"code":"c1"}]}}`)
}
