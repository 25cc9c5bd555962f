package fold_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
	"laurel/score/mark"
	"laurel/score/medal"
)

// dataDir returns the directory of the real streams. It skips the test if there is none.
func dataDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("LAUREL_GAMES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("LAUREL_CI") == "full" {
			t.Fatalf("LAUREL_CI=full asks for the real streams: %v; set LAUREL_GAMES", err)
		}
		t.Skipf("no real streams (%v); set LAUREL_GAMES to their directory", err)
	}
	return dir
}

// lines calls f with every line of a .gz file.
func lines(t testing.TB, path string, f func(number int, line []byte)) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(unzipped)
	scanner.Buffer(nil, score.MaxEventBytes)
	for n := 1; scanner.Scan(); n++ {
		f(n, scanner.Bytes())
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestCanonicalDataOfTheRealStreamsIsThatOfRFC8785(t *testing.T) {
	found, err := filepath.Glob(filepath.Join(dataDir(t), "*", "*.ndjson.gz"))
	if err != nil || len(found) == 0 {
		t.Skip("no streams")
	}
	every := 50
	if os.Getenv("LAUREL_CI") == "full" {
		every = 1
	}
	for _, path := range found {
		lines(t, path, func(number int, line []byte) {
			if number > 200 && number%every != 0 {
				return
			}
			e, p := score.Decode(line)
			if p != nil {
				return
			}
			want, err := score.MarshalData(e.Data)
			if err != nil {
				t.Fatal(err)
			}
			if err := (*jsontext.Value)(&want).Canonicalize(); err != nil {
				t.Fatal(err)
			}
			if got, err := score.AppendCanonical(nil, e.Data); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s, line %d:\ngot  %s %v\nwant %s", path, number, got, err, want)
			}
		})
	}
}

type truth struct {
	Events   int
	Contests map[string]struct {
		ScheduleStatus string                  `json:"schedule_status"`
		Result         map[string]mark.Decimal `json:"result"`
		Tiebreak       map[string]mark.Decimal `json:"tiebreak"`
		Winner         *string                 `json:"winner"`
		MarginScore    *mark.Decimal           `json:"margin_score"`
		MarginWickets  *mark.Decimal           `json:"margin_wickets"`
	} `json:"contests"`
	MedalTable []struct {
		Organisation         string
		Gold, Silver, Bronze int
		Total, Rank          int
	} `json:"medal_table"`
	Leaderboards map[string][]struct {
		Competitor string
		Mark       mark.Decimal
	} `json:"leaderboards"`
}

func TestRealStreamsFoldToTheirTruth(t *testing.T) {
	dir := dataDir(t)
	for _, name := range []string{"worldcup", "worldcup2026", "paris2024", "tokyo2020para", "marathon", "cricket",
		"curling"} {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(dir, name, "truth.json"))
			if err != nil {
				if os.Getenv("LAUREL_CI") != "full" && os.IsNotExist(err) {
					t.Skipf("%v", err)
				}
				t.Fatal(err)
			}
			var want truth
			if err := json.Unmarshal(b, &want, json.MatchCaseInsensitiveNames(true)); err != nil {
				t.Fatal(err)
			}
			for _, board := range want.Leaderboards {
				for i := range board {
					board[i].Mark *= 60 // the truth is in minutes
				}
			}
			s := newMemStore()
			lines(t, filepath.Join(dir, name, "events.ndjson.gz"), func(n int, line []byte) {
				e, p := score.Decode(line)
				if p == nil {
					p = s.apply(&e)
				}
				if p != nil {
					t.Fatalf("event %d was refused: %v\n%s", n, p, line)
				}
			})
			if s.revision != uint64(want.Events) || want.Events == 0 {
				t.Errorf("%d events were folded; want %d", s.revision, want.Events)
			}
			compareContests(t, s, &want)
			compareMedals(t, s, &want)
			compareLeaders(t, s, &want)
		})
	}
}

func compareContests(t *testing.T, s *memStore, want *truth) {
	for id, w := range want.Contests {
		c := s.contests[id]
		if c == nil {
			t.Errorf("%s: missing", id)
			continue
		}
		r := c.Record()
		of := map[string]score.Standing{}
		for _, p := range r.Competitors {
			of[p.Code] = p
		}
		if r.ScheduleStatus != w.ScheduleStatus {
			t.Errorf("%s: schedule_status is %s, truth %s", id, r.ScheduleStatus, w.ScheduleStatus)
		}
		for code, v := range w.Result {
			if p := of[code]; p.Result == nil || *p.Result != v {
				t.Errorf("%s: result of %s is %v, truth %s", id, code, p.Result, v)
			}
		}
		for code, v := range w.Tiebreak {
			if of[code].Tiebreak != v {
				t.Errorf("%s: tiebreak of %s is %s, truth %s", id, code, of[code].Tiebreak, v)
			}
		}
		if len(w.Tiebreak) == 0 && w.Result != nil {
			for code, p := range of {
				if p.Tiebreak != 0 {
					t.Errorf("%s: tiebreak of %s is %s, truth none", id, code, p.Tiebreak)
				}
			}
		}
		if w.Result != nil || w.Winner != nil {
			winner := ""
			if w.Winner != nil {
				winner = *w.Winner
			}
			if r.Winner != winner {
				t.Errorf("%s: winner is %q, truth %q", id, r.Winner, winner)
			}
		}
		if w.MarginScore != nil {
			if got := *r.Competitors[0].Result - *r.Competitors[1].Result; got != *w.MarginScore {
				t.Errorf("%s: margin is %s, truth %s", id, got, *w.MarginScore)
			}
		}
		if w.MarginWickets != nil {
			lost, _ := of[r.Winner].Stats.Get("wickets")
			if got := mark.Points(10) - lost; got != *w.MarginWickets {
				t.Errorf("%s: margin in wickets is %s, truth %s", id, got, *w.MarginWickets)
			}
		}
	}
}

func compareMedals(t *testing.T, s *memStore, want *truth) {
	if len(want.MedalTable) > 0 && len(s.medals) != 1 {
		t.Errorf("there are %d medal tables, truth one", len(s.medals))
	}
	for competition, table := range s.medals {
		rows := map[string]medal.Row{}
		for _, row := range table.Standings().Rows {
			rows[row.Organisation] = row
		}
		for _, w := range want.MedalTable {
			got := rows[w.Organisation]
			if got.Gold != w.Gold || got.Silver != w.Silver || got.Bronze != w.Bronze || got.Total != w.Total ||
				got.Rank != w.Rank {
				t.Errorf("%s: row is %+v, truth %+v", competition, got, w)
			}
		}
	}
}

func compareLeaders(t *testing.T, s *memStore, want *truth) {
	for id, board := range want.Leaderboards {
		// Equal marks may be in any order: the source has official places, which marks do
		// not determine. It also lists some runners several times.
		var marks []mark.Decimal
		of := map[string]mark.Decimal{}
		for _, row := range board {
			if _, again := of[row.Competitor]; !again {
				marks = append(marks, row.Mark)
			}
			of[row.Competitor] = row.Mark
		}
		r := s.contests[id].Record()
		if *r.Total != len(marks) || len(r.Competitors) != 10 || r.Winner != board[0].Competitor {
			t.Errorf("%s: %d marks, %d leaders, winner %s; truth %d marks, winner %s", id, *r.Total, len(r.Competitors),
				r.Winner, len(marks), board[0].Competitor)
		}
		for i, p := range r.Competitors {
			if *p.Result != marks[i] || *p.Result != of[p.Code] {
				t.Errorf("%s: place %d is %s with %s, truth %s", id, i+1, p.Code, *p.Result, marks[i])
			}
		}
	}
}
