package e2e

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
	"laurel/score/fold"
	"laurel/score/mark"
	"laurel/score/medal"
)

// allGames is the names of the streams, the largest first.
var allGames = []string{"marathon", "cricket", "paris2024", "worldcup", "curling", "tokyo2020para", "worldcup2026"}

// fewGames returns small streams in the quick form, and the named ones otherwise.
func fewGames(names ...string) []string {
	return byForm([]string{"curling", "tokyo2020para"}, names, names)
}

// stream is a stream of real events, and the correct state of the scoreboard after the
// last.
type stream struct {
	name, file string
	span       time.Duration // from the first event to the last
	truth      truth
	medalsOf   string // the competition in which the stream awards medals
}

// truth is a truth.json. Unknown members are an error, so that nothing goes unchecked.
type truth struct {
	Source       string                       `json:"dataset"` // named like its source
	Events       uint64                       `json:"events"`
	Contests     map[string]truthOfContest    `json:"contests"`
	MedalTable   []medal.Row                  `json:"medal_table"`
	Leaderboards map[string][]truthOfFinisher `json:"leaderboards"`

	Notes          jsontext.Value `json:"notes"`
	MedalsOutside  []medal.Row    `json:"medals_outside_table"` // incomplete in the source: not compared
	GroupStandings jsontext.Value `json:"group_standings"`      // not supported
}

type truthOfContest struct {
	ScheduleStatus string                  `json:"schedule_status"`
	Result         map[string]mark.Decimal `json:"result"`
	Tiebreak       map[string]mark.Decimal `json:"tiebreak"`
	Winner         string                  `json:"winner"`
	MarginScore    *mark.Decimal           `json:"margin_score"`
	MarginWickets  *mark.Decimal           `json:"margin_wickets"`
}

type truthOfFinisher struct {
	Competitor    string       `json:"competitor"`
	Mark          mark.Decimal `json:"mark"`
	Place         int          `json:"place"`
	Category      string       `json:"category"`
	CategoryPlace int          `json:"category_place"`
}

// load reads the truths of the named streams and scans their events.
func load(t testing.TB, names ...string) []*stream {
	t.Helper()
	dir := os.Getenv("LAUREL_GAMES")
	if dir == "" {
		dir = filepath.Join(repository, "..", "shared", "data")
	}
	var list []*stream
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name, "truth.json"))
		if errors.Is(err, os.ErrNotExist) {
			skipOrFail(t, "the real Games are not there: %v; set LAUREL_GAMES to their directory", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		s := &stream{name: name, file: filepath.Join(dir, name, "events.ndjson.gz")}
		if err := json.Unmarshal(b, &s.truth, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%s/truth.json: %v", name, err)
		}
		for _, finishers := range s.truth.Leaderboards {
			for i := range finishers {
				finishers[i].Mark *= 60 // the truth is in minutes
			}
		}
		if err := s.scan(); err != nil {
			t.Fatalf("%s: %v", s.file, err)
		}
		list = append(list, s)
	}
	return list
}

// head returns a stream of the first n events. Its truth is only their number.
func (s *stream) head(t testing.TB, n uint64) *stream {
	t.Helper()
	h := &stream{name: s.name, file: filepath.Join(t.TempDir(), "events.ndjson.gz")}
	h.truth.Source, h.truth.Events = s.truth.Source, n
	file, err := os.Create(h.file)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(file)
	stop := errors.New("enough")
	err = s.lines(func(line []byte) error {
		if n == 0 {
			return stop
		}
		n--
		_, err := z.Write(append(line, '\n'))
		return err
	})
	if !errors.Is(err, stop) {
		t.Fatalf("%s has fewer events: %v", s.file, err)
	}
	if err := errors.Join(z.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	return h
}

// lines calls f with each event of the stream.
func (s *stream) lines(f func(line []byte) error) error {
	file, err := os.Open(s.file)
	if err != nil {
		return err
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, score.MaxEventBytes)
	for lines.Scan() {
		if err := f(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (s *stream) scan() error {
	var first, last time.Time
	var n uint64
	competitions := map[string]bool{}
	err := s.lines(func(line []byte) error {
		var e struct {
			Type      score.Type `json:"type"`
			Time      time.Time  `json:"time"`
			ContestID string     `json:"contest_id"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		if n++; n == 1 {
			first = e.Time
		}
		last = e.Time
		if e.Type == score.TypeMedalAward {
			competitions[score.CompetitionOf(e.ContestID)] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.span = last.Sub(first); n != s.truth.Events {
		return fmt.Errorf("the stream has %d events; its truth has %d", n, s.truth.Events)
	}
	if len(s.truth.MedalTable) > 0 {
		if len(competitions) != 1 {
			return fmt.Errorf("one medal table for %d competitions", len(competitions))
		}
		for c := range competitions {
			s.medalsOf = c
		}
	}
	return nil
}

// speed returns the --speed at which the stream takes about d.
func (s *stream) speed(d time.Duration) string {
	return strconv.Itoa(int(math.Ceil(s.span.Seconds() / d.Seconds())))
}

func sum(all []*stream) (events uint64) {
	for _, s := range all {
		events += s.truth.Events
	}
	return events
}

// expectTruth compares everything in the truth with the answers of f.
func (s *stream) expectTruth(t testing.TB, f *frontend) {
	t.Helper()
	if b := decode[score.Bard](t, get(t, f.url+"/v1/bards/"+s.truth.Source)); b.LastSeq != s.truth.Events {
		t.Errorf("%s at %s: last_seq of %s is %d; want %d", s.name, f.id, s.truth.Source, b.LastSeq, s.truth.Events)
	}
	s.expectContests(t, f)
	if s.medalsOf != "" {
		s.expectMedals(t, f)
	}
	for id, finishers := range s.truth.Leaderboards {
		expectFirstTen(t, f, id, finishers)
	}
}

// expectContests reads the contests one by one, several at the same time.
func (s *stream) expectContests(t testing.TB, f *frontend) {
	t.Helper()
	ids := make(chan string)
	var mu sync.Mutex
	var wrong []string
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			for id := range ids {
				if err := s.truth.Contests[id].compare(f, id); err != nil {
					mu.Lock()
					wrong = append(wrong, fmt.Sprintf("%s: %v", id, err))
					mu.Unlock()
				}
			}
		})
	}
	for id := range s.truth.Contests {
		ids <- id
	}
	close(ids)
	asking.Wait()
	if n := len(wrong); n > 0 {
		slices.Sort(wrong)
		t.Errorf("%s at %s: %d of %d contests do not show the truth:\n%s", s.name, f.id, n, len(s.truth.Contests),
			strings.Join(wrong[:min(n, 20)], "\n"))
	}
}

func (want truthOfContest) compare(f *frontend, id string) error {
	a, err := tryGet(f.url + "/v1/scores/" + id)
	if err != nil {
		return err
	}
	var got score.Record
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		return err
	}
	var wrong []error
	differ := func(what string, got, want any) {
		wrong = append(wrong, fmt.Errorf("%s is %v; want %v", what, got, want))
	}
	if got.ScheduleStatus != want.ScheduleStatus {
		differ("schedule_status", got.ScheduleStatus, want.ScheduleStatus)
	}
	if got.Winner != want.Winner {
		differ("winner", got.Winner, want.Winner)
	}
	result, tiebreak := map[string]string{}, map[string]string{}
	var winner, best score.Standing
	for _, c := range got.Competitors {
		if c.Result != nil {
			result[c.Code] = c.Result.String()
		}
		tiebreak[c.Code] = c.Tiebreak.String()
		switch {
		case c.Code == got.Winner:
			winner = c
		case best.Result == nil || c.Result != nil && *c.Result > *best.Result:
			best = c
		}
	}
	for code, w := range want.Result {
		if result[code] != w.String() {
			differ("the result of "+code, result[code], w)
		}
	}
	for code, w := range want.Tiebreak {
		if tiebreak[code] != w.String() {
			differ("the tiebreak of "+code, tiebreak[code], w)
		}
	}
	if want.MarginScore != nil {
		if winner.Result == nil || best.Result == nil {
			differ("the margin", "of unknown results", *want.MarginScore)
		} else if m := *winner.Result - *best.Result; m != *want.MarginScore {
			differ("the margin", m, *want.MarginScore)
		}
	}
	if want.MarginWickets != nil {
		lost, _ := winner.Stats.Get("wickets")
		if m := mark.Points(10) - lost; m != *want.MarginWickets {
			differ("the margin in wickets", m, *want.MarginWickets)
		}
	}
	return errors.Join(wrong...)
}

func (s *stream) expectMedals(t testing.TB, f *frontend) {
	t.Helper()
	table := decode[medal.Standings](t, get(t, f.url+"/v1/medals/"+s.medalsOf))
	rows := map[string]medal.Row{}
	for _, r := range table.Rows {
		rows[r.Organisation] = r
	}
	for _, want := range s.truth.MedalTable {
		got := rows[want.Organisation]
		got.RankEqual = false // the truth has it in the ranks
		if got != want {
			t.Errorf("%s at %s: the medals of %s are %+v; want %+v", s.name, f.id, want.Organisation, got, want)
		}
		delete(rows, want.Organisation)
	}
	for _, w := range s.truth.MedalsOutside {
		delete(rows, w.Organisation)
	}
	for organisation, row := range rows {
		t.Errorf("%s at %s: the truth knows no medals of %s: %+v", s.name, f.id, organisation, row)
	}
}

// expectFirstTen compares the marks in the record of a race. Equal marks share a rank and
// may have different official places; if several share the last rank, any of them may be
// among the ten.
func expectFirstTen(t testing.TB, f *frontend, id string, finishers []truthOfFinisher) {
	t.Helper()
	// The source lists some finishers more than once.
	marks := map[string]mark.Decimal{}
	places := map[string]int{}
	for _, r := range finishers {
		marks[r.Competitor], places[r.Competitor] = r.Mark, r.Place
	}
	ordered := slices.Sorted(maps.Values(marks))
	got := decode[score.Record](t, get(t, f.url+"/v1/scores/"+id))
	if got.Total == nil || *got.Total != len(marks) {
		t.Errorf("%s at %s: total %v; want %d", id, f.id, got.Total, len(marks))
	}
	if want := min(10, len(marks)); len(got.Competitors) != want {
		t.Fatalf("%s at %s: shows %d competitors; want %d", id, f.id, len(got.Competitors), want)
	}
	if got.Split != "finish" || got.Winner != got.Competitors[0].Code {
		t.Errorf("%s at %s: split %q, winner %q; want finish and the first, %q", id, f.id, got.Split, got.Winner,
			got.Competitors[0].Code)
	}
	for i, c := range got.Competitors {
		mark, known := marks[c.Code]
		if !known || c.Result == nil || *c.Result != mark || mark != ordered[i] {
			t.Errorf("%s at %s: number %d is %s with %v; want the mark %v, and theirs is %v", id, f.id, i+1, c.Code,
				c.Result, ordered[i], mark)
			continue
		}
		first, _ := slices.BinarySearch(ordered, mark)
		next, _ := slices.BinarySearch(ordered, mark+1)
		if c.Rank != first+1 || places[c.Code] < c.Rank || places[c.Code] > next {
			t.Errorf("%s at %s: the rank of %s is %d; want %d, among the official places %d (theirs is %d) to %d", id,
				f.id, c.Code, c.Rank, first+1, first+1, places[c.Code], next)
		}
	}
}

// expectEveryMark reads the timeline of a race and compares the last mark of each
// finisher with the truth.
func expectEveryMark(t testing.TB, f *frontend, id string, finishers []truthOfFinisher) {
	t.Helper()
	minutes := &fold.Definition{ResultType: "TIME", Unit: "min"}
	stored := map[string]mark.Decimal{}
	f.pages(t, "/v1/timeline/"+id+"?limit=1000", func(a answer) {
		page := decode[struct {
			Events []score.TimelineEvent `json:"events"`
		}](t, a)
		for _, e := range page.Events {
			if e.Type != score.TypeResultSet {
				continue
			}
			var d score.ResultSet
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Fatal(err)
			}
			if d.Split == "finish" {
				m, p := minutes.Mark(&d)
				if p != nil {
					t.Fatal(p)
				}
				stored[d.Competitor] = m.Value
			}
		}
	})
	missing := 0
	for _, want := range finishers {
		if got, known := stored[want.Competitor]; !known || got != want.Mark {
			if missing++; missing < 10 {
				t.Errorf("%s at %s: the timeline's mark of %s is %v; want %v", id, f.id, want.Competitor, got,
					want.Mark)
			}
		}
	}
	if missing > 0 {
		t.Errorf("%s at %s: %d of %d marks are wrong", id, f.id, missing, len(finishers))
	}
}

// pages reads all pages of a list.
func (f *frontend) pages(t testing.TB, path string, page func(a answer)) {
	t.Helper()
	for next := ""; ; {
		here := f.url + path
		if next != "" {
			here += "&after=" + url.QueryEscape(next)
		}
		a := get(t, here)
		page(a)
		last := next
		if next = decode[struct {
			Next string `json:"next"`
		}](t, a).Next; next == "" {
			return
		}
		if next == last {
			t.Fatalf("%s: the page after %q has the next %q", here, last, next)
		}
	}
}
