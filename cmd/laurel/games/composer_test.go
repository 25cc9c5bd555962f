package games

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

var update = flag.Bool("update", false, "write the golden file anew")

const (
	golden       = "../../../testdata/games/og50bc.ndjson"
	goldenSeed   = 50
	goldenEvents = 300
)

func line(t *testing.T, e score.Event) []byte {
	t.Helper()
	b, err := json.Marshal(&e)
	if err != nil {
		t.Fatalf("%s: %v", e.ID, err)
	}
	return append(b, '\n')
}

func song(t *testing.T, seed uint64, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	c := New(seed)
	for range n {
		e, _ := c.Next()
		b.Write(line(t, e))
	}
	return b.Bytes()
}

func TestTheGamesOfASeedAreTheGoldenOnes(t *testing.T) {
	got := song(t, goldenSeed, goldenEvents)
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(gotLines), len(wantLines)) {
		if !bytes.Equal(gotLines[i], wantLines[i]) {
			t.Fatalf("event %d of seed %d has changed; if that is meant, run the test with -update\n got %s\nwant %s", i+1, goldenSeed, gotLines[i], wantLines[i])
		}
	}
	if len(gotLines) != len(wantLines) {
		t.Fatalf("got %d lines, the golden file has %d", len(gotLines), len(wantLines))
	}
}

func TestTheSameSeedGivesTheSameBytesAndAnotherSeedOthers(t *testing.T) {
	const n = 2000
	first := song(t, 7, n)
	if !bytes.Equal(first, song(t, 7, n)) {
		t.Error("two composers of seed 7 differ")
	}
	if bytes.Equal(first, song(t, 8, n)) {
		t.Error("seeds 7 and 8 give the same events")
	}
}

func TestEveryEventComesBackFromItsJSONAsItWas(t *testing.T) {
	c := New(3)
	for range 1500 {
		e, _ := c.Next()
		b := bytes.TrimSpace(line(t, e))
		back, p := score.Decode(b)
		if p != nil {
			t.Fatalf("%s\n%v", b, p)
		}
		if !reflect.DeepEqual(e, back) {
			t.Fatalf("%s\n got %#v %#v\nwant %#v %#v", b, back, back.Data, e, e.Data)
		}
	}
}

// book keeps the Games as a store would, by the rules of package score alone.
type book struct {
	contests map[string]*score.Contest
	marks    map[string]*marks
	events   map[string][]*score.Event
	voided   map[string]bool
	medals   map[string]*score.MedalTable
	awards   map[string]*score.MedalAward // by award id, those that hold
	seqs     map[string]uint64
	ids      map[string]bool
	last     time.Time
}

func newBook() *book {
	return &book{
		contests: map[string]*score.Contest{}, marks: map[string]*marks{}, events: map[string][]*score.Event{}, voided: map[string]bool{},
		medals: map[string]*score.MedalTable{}, awards: map[string]*score.MedalAward{}, seqs: map[string]uint64{}, ids: map[string]bool{},
	}
}

func (b *book) enter(e *score.Event) error {
	if e.Seq != b.seqs[e.Source]+1 {
		return fmt.Errorf("seq %d of %s comes after %d", e.Seq, e.Source, b.seqs[e.Source])
	}
	b.seqs[e.Source] = e.Seq
	if b.ids[e.ID] {
		return fmt.Errorf("the id %s is there twice", e.ID)
	}
	b.ids[e.ID] = true
	if e.Time.Before(b.last) && e.Time.Year() != yearAUC {
		return fmt.Errorf("%s is before %s", e.Time, b.last)
	}
	b.last = e.Time
	table := b.medals[e.Competition()]
	if table == nil {
		table = &score.MedalTable{Competition: e.Competition()}
		b.medals[e.Competition()] = table
	}
	c := b.contests[e.ContestID]
	if _, defines := e.Data.(*score.ContestDefine); c == nil && defines {
		c = score.NewContest(e.ContestID)
		b.contests[e.ContestID], b.marks[e.ContestID] = c, newMarks(c)
	}
	switch d := e.Data.(type) {
	case *score.CompetitionDefine:
		table.Define(d)
		return nil
	case *score.MedalAward:
		if b.awards[d.AwardID] != nil {
			return fmt.Errorf("the award %s is there twice", d.AwardID)
		}
		b.awards[d.AwardID] = d
		table.Count(d.Organisation, d.Medal, 1)
	case *score.MedalRevoke:
		a := b.awards[d.AwardID]
		if a == nil {
			return fmt.Errorf("the award %s is not there", d.AwardID)
		}
		delete(b.awards, d.AwardID)
		table.Count(a.Organisation, a.Medal, -1)
	}
	if c == nil {
		return fmt.Errorf("the contest %s is not defined", e.ContestID)
	}
	if d, ok := e.Data.(*score.EventVoid); ok {
		return b.void(e.ContestID, d.Voids)
	}
	if p := c.Fold(e, b.marks[e.ContestID], score.Anew); p != nil {
		return p
	}
	b.events[e.ContestID] = append(b.events[e.ContestID], e)
	return nil
}

// void folds the contest again without the event.
func (b *book) void(contestID, id string) error {
	if b.voided[id] || !slices.ContainsFunc(b.events[contestID], func(e *score.Event) bool { return e.ID == id }) {
		return fmt.Errorf("there is no event %s to void in %s", id, contestID)
	}
	b.voided[id] = true
	c := score.NewContest(contestID)
	m := newMarks(c)
	for _, e := range b.events[contestID] {
		if b.voided[e.ID] {
			continue
		}
		if p := c.Fold(e, m, score.Again); p != nil {
			return p
		}
	}
	b.contests[contestID], b.marks[contestID] = c, m
	return nil
}

// marks is score.Marks in memory.
type marks struct {
	contest *score.Contest
	splits  map[string][]score.Mark
}

func newMarks(c *score.Contest) *marks {
	return &marks{contest: c, splits: map[string][]score.Mark{}}
}

func (m *marks) Set(split string, mark score.Mark) (total int) {
	list := slices.DeleteFunc(m.splits[split], func(old score.Mark) bool { return old.Competitor == mark.Competitor })
	m.splits[split] = append(list, mark)
	return len(list) + 1
}

func (m *marks) First(split string, n int) ([]score.Mark, int) {
	list := slices.Clone(m.splits[split])
	slices.SortFunc(list, func(a, b score.Mark) int {
		value := cmp.Compare(b.Value, a.Value)
		if m.contest.About.LeastIsBest() {
			value = -value
		}
		return cmp.Or(cmp.Compare(a.IRM, b.IRM), value, cmp.Compare(a.Competitor, b.Competitor))
	})
	return list[:min(n, len(list))], len(list)
}

func TestTheRulesAcceptEveryEventOfManyGames(t *testing.T) {
	seen := map[string]int{} // what happened in all of them together
	for seed := range uint64(6) {
		c, b := New(seed), newBook()
		for b.contests["OG40BC/CUR-X-SFNL-01"] == nil {
			e, pause := c.Next()
			if err := b.enter(&e); err != nil {
				t.Fatalf("seed %d: %s%v", seed, line(t, e), err)
			}
			if pause < 0 || pause > betweenGames {
				t.Fatalf("seed %d: %s is to be sung after %s", seed, e.ID, pause)
			}
			note(seen, &e)
		}
		for _, contest := range b.contests {
			if contest.Started {
				checkContest(t, contest)
			}
		}
		checkMedals(t, b)
	}
	for _, what := range []string{"late goal", "spears", "DNF", "DSQ", "void", "revoke", "DELAYED", "PROTESTED", "alert", "better throw"} {
		if seen[what] == 0 {
			t.Errorf("none of the Games had: %s", what)
		}
	}
}

func note(seen map[string]int, e *score.Event) {
	switch d := e.Data.(type) {
	case *score.ScorePlay:
		seen[map[bool]string{true: "spears"}[d.Period == spears]]++
		seen[map[bool]string{true: "late goal"}[d.Comment != "" && d.Action == "BOAR"]]++
	case *score.ResultSet:
		seen[d.IRM]++
		seen[map[bool]string{true: "better throw"}[d.Split == finish && d.Mark != nil]]++
	case *score.EventVoid:
		seen["void"]++
	case *score.MedalRevoke:
		seen["revoke"]++
	case *score.Alert:
		seen["alert"]++
	case *score.ContestStatus:
		seen[d.ScheduleStatus]++
		seen[d.ResultStatus]++
	}
}

// checkContest asks that a contest of Games that are over is official and decided.
func checkContest(t *testing.T, c *score.Contest) {
	t.Helper()
	r := c.Record()
	if r.ResultStatus != score.Official || r.ScheduleStatus != score.Finished {
		t.Errorf("%s ended as %s, %s", c.ID, r.ScheduleStatus, r.ResultStatus)
	}
	if r.Kind == score.HeadToHead && r.Winner == "" {
		t.Errorf("%s has no winner", c.ID)
	}
}

// checkMedals asks that the medals that hold are those that the results earn.
func checkMedals(t *testing.T, b *book) {
	t.Helper()
	held := map[string]map[string]string{} // by contest and competitor
	for id, a := range b.awards {
		contest := id[:bytes.IndexByte([]byte(id), '#')]
		if held[contest] == nil {
			held[contest] = map[string]string{}
		}
		held[contest][a.Competitor] = a.Medal
	}
	for id, contest := range b.contests {
		if !contest.Started || contest.About.MedalEvent == 0 {
			continue
		}
		for _, p := range contest.Record().Competitors {
			want := map[int]string{1: score.Gold, 2: score.Silver, 3: score.Bronze}[p.Rank]
			name := p.Name
			if contest.About.MedalEvent == 3 {
				want = map[int]string{1: score.Bronze}[p.Rank]
			}
			if p.IRM != "" {
				want = ""
			}
			if got := held[id][name]; got != want {
				t.Errorf("%s: %s is on rank %d and has the medal %q; want %q", id, name, p.Rank, got, want)
			}
		}
	}
}

func TestTheGamesGoOnBeyondTheirCalendarWithoutGettingAheadOfTime(t *testing.T) {
	for _, n := range []int{0, 1, 49, 50, 51, calendar - 1, calendar, 5 * calendar} {
		verses := compose(1, n)
		for _, v := range verses {
			if y := v.event.Time.Year(); y < yearAUC || y >= yearAUC+calendar {
				t.Fatalf("Games %d have an event in the year %d", n, y)
			}
			if v.event.Competition() != competition(n) {
				t.Fatalf("Games %d have an event of %s", n, v.event.Competition())
			}
		}
	}
	for n, want := range map[int]string{0: "OG50BC", 1: "OG49BC", 49: "OG1BC", 50: "OG1AD", 51: "OG2AD"} {
		if got := competition(n); got != want {
			t.Errorf("Games %d are %s; want %s", n, got, want)
		}
	}
}

func TestContestsRunInterleaved(t *testing.T) {
	c := New(1)
	running, most := map[string]bool{}, 0
	for range goldenEvents {
		e, _ := c.Next()
		if d, ok := e.Data.(*score.ContestStatus); ok {
			switch d.ScheduleStatus {
			case score.Running:
				running[e.ContestID] = true
			case score.Finished:
				delete(running, e.ContestID)
			}
			most = max(most, len(running))
		}
	}
	if most < 3 {
		t.Errorf("at most %d contests were running at a time; want 3", most)
	}
}
