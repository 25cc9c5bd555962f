package demo

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"laurel/internal/localgroup"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/mark"
	"laurel/score/medal"
	"laurel/score/ranking"
)

const columns = 80

// marks implements fold.Marks for one contest, in memory.
type marks struct {
	contest *fold.Contest
	splits  map[string][]ranking.Mark
}

func newMarks(c *fold.Contest) *marks {
	return &marks{contest: c, splits: map[string][]ranking.Mark{}}
}

func (m *marks) Traits(string) (t ranking.Traits) { return t }

func (m *marks) Set(split string, mark ranking.Mark) (total int, restated bool) {
	list := slices.DeleteFunc(m.splits[split], func(old ranking.Mark) bool { return old.Competitor == mark.Competitor })
	m.splits[split] = append(list, mark)
	return len(list) + 1, false
}

func (m *marks) Has(string) bool { return false }

func (m *marks) Some(int) []string { return nil }

func (m *marks) Clear() { clear(m.splits) }

func (m *marks) Entrant(string) (e score.Entrant, entered bool) { return e, false }

func (m *marks) SetEntrant(score.Entrant) {}

func (m *marks) FirstEntrants(int) []score.Entrant { return nil }

func (m *marks) Restate(string) {}

func (m *marks) First(split string, n int) ([]ranking.Mark, int) {
	list, direction := slices.Clone(m.splits[split]), m.contest.Definition.Direction()
	slices.SortFunc(list, func(a, b ranking.Mark) int {
		return cmp.Or(direction.Order(&a).Compare(direction.Order(&b)), cmp.Compare(a.Competitor, b.Competitor))
	})
	return list[:min(n, len(list))], len(list)
}

// printGames prints the first n events of the Games with the contests that result from
// them.
func printGames(t *testing.T, out *printer, n int) {
	t.Helper()
	games := newPlaylist()
	contests := map[string]*fold.Contest{}
	kept := map[string]*marks{}
	for i := range n {
		e, _ := games.next()
		c := contests[e.ContestID]
		if _, ok := e.Data.(*score.ContestDefine); ok && c == nil {
			c = fold.NewContest(e.ContestID)
			contests[e.ContestID], kept[e.ContestID] = c, newMarks(c)
		}
		var record *score.Record
		if c != nil {
			// Again: nothing is voided here, so the totals that an event gives may
			// differ.
			if p := c.Fold(&e, kept[e.ContestID], fold.Replay); p != nil {
				t.Fatalf("%s: %v", e.ID, p)
			}
			r := c.Record()
			record = &r
		}
		out.event(&e, uint64(i+1), record)
	}
}

// TestEveryTypeOfEventIsDescribed fails for a new type of event that the printer does not
// know.
func TestEveryTypeOfEventIsDescribed(t *testing.T) {
	p := newPrinter(&bytes.Buffer{})
	zero := mark.Decimal(0)
	record := &score.Record{Kind: score.HeadToHead, Title: "GAU vs ROM"}
	data := map[score.Type]score.Data{
		score.TypeCompetitionDefine: &score.CompetitionDefine{Name: "Games"},
		score.TypeContestDefine:     &score.ContestDefine{Kind: score.Ranked},
		score.TypeCompetitorDefine:  &score.CompetitorDefine{Competitor: "GAU"},
		score.TypeContestStatus:     &score.ContestStatus{ScheduleStatus: score.Running},
		score.TypeContestDecide:     &score.ContestDecide{Decision: score.Drawn},
		score.TypeContestReset:      &score.ContestReset{},
		score.TypeScorePlay:         &score.ScorePlay{},
		score.TypeScoreSet:          &score.ScoreSet{Reason: "jury"},
		score.TypeResultSet:         &score.ResultSet{Mark: new(mark.Number(zero))},
		score.TypeMedalAward:        &score.MedalAward{Medal: score.Gold},
		score.TypeMedalRevoke:       &score.MedalRevoke{},
		score.TypeEventVoid:         &score.EventVoid{},
		score.TypeAlert:             &score.Alert{Text: "rain"},
	}
	for _, typ := range score.Types {
		if p.eventText(&score.Event{Type: typ, Data: data[typ]}, record) == "" {
			t.Errorf("eventText describes no %s; add it there and here", typ)
		}
	}
}

func checkLines(t *testing.T, b []byte) {
	t.Helper()
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if n := utf8.RuneCountInString(line); n > columns {
			t.Errorf("%d columns:\n%s", n, line)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' }) {
			t.Errorf("a control character in %q", line)
		}
	}
}

func TestEventsFitInto80ColumnsWithoutControlCharacters(t *testing.T) {
	var b bytes.Buffer
	printGames(t, newPrinter(&b), 3000)
	checkLines(t, b.Bytes())
	if n := bytes.Count(b.Bytes(), []byte("\n")); n < 1000 {
		t.Errorf("3000 events have %d lines; want a third at least", n)
	}
	if testing.Verbose() {
		t.Logf("the beginning:\n%s", b.Bytes()[:min(b.Len(), 8000)])
	}
}

func TestReportsFitInto80ColumnsWithoutControlCharacters(t *testing.T) {
	var b bytes.Buffer
	out := newPrinter(&b)
	long := func(id string) string {
		return "go run ./cmd/laurel stop frontend --id " + id + " --signal KILL --run-dir /tmp/laurel-run-1234567890"
	}
	out.intro(Options{KillCommand: long}, three, "f2", "/tmp/laurel-demo-1234567890")
	short := func(id string) string { return "kill " + id }
	out.intro(Options{KillCommand: short}, three, "f2", "/tmp/laurel-demo-1234567890")
	for _, kind := range []localgroup.Kind{localgroup.Died, localgroup.Restarted, localgroup.Left,
		localgroup.Contradicted} {
		out.notice(localgroup.Notice{Frontend: three[2], Kind: kind, Reason: "signal: segmentation fault",
			RestartIn: 30 * time.Second})
	}
	out.newMaster("f1", true, 0)
	out.newMaster("f3", false, 1234*time.Millisecond)
	out.newMaster("f3", false, time.Millisecond)
	for _, homeward := range []bool{true, false} {
		for _, moved := range []int{29, 30} {
			out.move(&move{frontend: "f1", homeward: homeward, clients: make([]*spectator, 30), moved: moved,
				to: []string{"f2", "f3"}, took: 24900 * time.Millisecond})
		}
	}
	out.distribution(distribution{at: map[string]int{"f1": 10, "f2": 0, "f3": 10}, looking: 10})
	const id = "OG50BC/CUR-X-SFNL-01"
	out.agreement(id, agreement{revision: "123456", alike: []string{"f1", "f2", "f3"}})
	out.agreement(id, agreement{revision: "123456", alike: []string{"f1"}, silent: []string{"f2", "f3"}})
	out.agreement(id, agreement{revision: "123456", alike: []string{"f1"}, differ: []string{"f2", "f3"}})
	out.agreement(id, agreement{silent: []string{"f1", "f2", "f3"}})
	out.medals(medal.Standings{Name: "Games of 50 BC",
		Rows:    []medal.Row{{Organisation: "GAU", Gold: 11, Silver: 2, Bronze: 3, Total: 16, Rank: 1}},
		Outside: []medal.Row{{Organisation: "NEU", Bronze: 1, Total: 1}}})
	checkLines(t, b.Bytes())
	for _, want := range []string{"kill f2", "http://127.0.0.1:8003", "f2 f3: another answer", "master",
		"clients  f1 10  f2 0  f3 10  (10 look for one)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if testing.Verbose() {
		t.Logf("\n%s", b.Bytes())
	}
}

func TestColoursChangeNoText(t *testing.T) {
	var plain, coloured bytes.Buffer
	printGames(t, newPrinter(&plain), 500)
	printGames(t, &printer{w: &coloured, colour: true}, 500)
	stripped := coloured.String()
	for {
		before, after, ok := strings.Cut(stripped, "\x1b[")
		if !ok {
			break
		}
		_, after, _ = strings.Cut(after, "m")
		stripped = before + after
	}
	if stripped != plain.String() {
		t.Error("without its colours, the coloured text is not the plain one")
	}
	if coloured.Len() == plain.Len() {
		t.Error("there are no colours")
	}
}

func TestMarksAreFormattedForPeople(t *testing.T) {
	for _, c := range []struct {
		value            string
		resultType, unit string
		want             string
	}{
		{"9968.7", "TIME", "s", "2:46:08.7"},
		{"204.55", "TIME", "s", "3:24.55"},
		{"2:46:08.7", "TIME", "s", "2:46:08.7"},
		{"17.4", "DISTANCE", "m", "17.4 m"},
		{"190.25", "POINTS", "points", "190.25"},
	} {
		m, err := mark.ParseMeasure(c.value)
		if err != nil {
			t.Fatal(err)
		}
		r := &score.Record{Format: mark.Format{ResultType: c.resultType, Unit: c.unit}}
		if got := markText(&score.ResultSet{Mark: &m}, r); got != c.want {
			t.Errorf("%s %s %s is written %q; want %q", c.value, c.resultType, c.unit, got, c.want)
		}
	}
}

func TestALongCommandIsFoldedIntoLinesForAShell(t *testing.T) {
	for n := range 60 { // a word is never broken
		command := "laurel stop frontend --id f2 --signal KILL --run-dir /" + strings.Repeat("x", n)
		folded := foldCommand(command)
		checkLines(t, []byte("  "+folded+"\n"))
		if got := strings.Join(strings.Fields(strings.ReplaceAll(folded, "\\\n", " ")), " "); got != command {
			t.Errorf("%q is folded into %q, which is %q", command, folded, got)
		}
	}
}
