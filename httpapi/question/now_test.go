package question

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/cache/queries"
	"laurel/httpapi/web"
	"laurel/score"
	"laurel/score/medal"
)

// liveView is a view of which only what is live can be read.
type liveView struct {
	queries.View
	live   []score.Record
	tables []string
	rows   int // of each table
	read   *int
}

func (v liveView) Revision() uint64 { return 1 }

func (v liveView) Overview(int) (o score.Overview, err error) {
	o.Sections.Live, o.Medals = len(v.live), v.tables
	return o, nil
}

func (v liveView) Medals(competition string) (*medal.Table, bool, error) {
	*v.read++
	t := &medal.Table{Competition: competition}
	for i := range v.rows {
		t.AddMedals(fmt.Sprint("O", i), score.Gold, 1)
	}
	return t, true, nil
}

func (v liveView) Contests(f score.Filter, _ string, limit int) ([]score.Record, string, error) {
	if f.Section != score.SectionLive {
		return nil, "", nil
	}
	return v.live[:min(limit, len(v.live))], "", nil
}

// nowOf returns the contests of the answer to Now.
func nowOf(t *testing.T, live []score.Record) (ids []string, size int) {
	t.Helper()
	body, _, err := Now().Ask(liveView{live: live})
	if err != nil {
		t.Fatal(err)
	}
	var now web.Data
	if err := json.Unmarshal(body, &now); err != nil {
		t.Fatal(err)
	}
	for i := range now.Scores {
		ids = append(ids, now.Scores[i].ContestID)
	}
	return ids, len(body)
}

func contestOf(id string, competitors int) score.Record {
	r := score.Record{ContestID: id, ScheduleStatus: score.Running}
	for i := range competitors {
		r.Competitors = append(r.Competitors, score.Standing{Code: fmt.Sprint(i), Name: strings.Repeat("n", 100)})
	}
	return r
}

func TestALargeContestHidesNoOtherOfItsSection(t *testing.T) {
	huge, large := contestOf("huge", 1000), contestOf("large", 60)
	live := []score.Record{huge, contestOf("a", 2), large, contestOf("b", 2), contestOf("c", 2)}
	if got, _ := nowOf(t, live); !slices.Equal(got, []string{"a", "large", "b", "c"}) {
		t.Errorf("now has %q; want all but the one that has no room", got)
	}
	live = []score.Record{large, large, large, large, large, large}
	for i := range nowLines - len(live) {
		live = append(live, contestOf(fmt.Sprint(i), 2))
	}
	got, size := nowOf(t, live)
	small := slices.DeleteFunc(got, func(id string) bool { return id == "large" })
	if len(small) != nowLines-6 {
		t.Errorf("beside 6 large contests now has %d small ones; want all %d", len(small), nowLines-6)
	}
	if size > nowBytes+nowBytes/8 {
		t.Errorf("now has %d bytes; want at most about %d", size, nowBytes)
	}
}

func TestNowHasTheFirstContestsThatFitAndNoneBehindThem(t *testing.T) {
	var live []score.Record
	for i := range nowLines {
		live = append(live, contestOf(fmt.Sprint(i), 8+i%5))
	}
	got, _ := nowOf(t, live)
	if n := len(got); n < 10 || n == nowLines || got[n-1] != fmt.Sprint(n-1) {
		t.Errorf("now has %q; want the first contests, without a gap", got)
	}
}

func TestLargeMedalTablesAreNotAllReadForNow(t *testing.T) {
	v, read := liveView{rows: 5000, read: new(int)}, 0
	for i := range nowTables {
		v.tables = append(v.tables, fmt.Sprint("C", i))
	}
	if _, _, err := Now().Ask(v); err != nil {
		t.Fatal(err)
	}
	if read = *v.read; read == 0 || read > 10 {
		t.Errorf("%d large tables were read; want a few", read)
	}
	v.rows, *v.read = 5, 0
	if _, _, err := Now().Ask(v); err != nil || *v.read != nowTables {
		t.Errorf("%d small tables were read, %v; want all", *v.read, err)
	}
}
