package fsm

import (
	"bufio"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/fsm/view"
	"laurel/score"
	"laurel/score/mark"
)

func mustTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

var streams = []string{"worldcup", "worldcup2026", "paris2024", "tokyo2020para", "marathon", "cricket", "curling"}

// dataDir returns the directory of the real streams. The test is skipped if there is
// none.
func dataDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("LAUREL_GAMES")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		if fullRun() {
			t.Fatalf("LAUREL_CI=full asks for the real streams: %v; set LAUREL_GAMES", err)
		}
		t.Skipf("the real streams are not here (%v); set LAUREL_GAMES to their directory", err)
	}
	return dir
}

// readStream reads the first events of a real stream, at most limit.
func readStream(t testing.TB, name string, limit int) (events []score.Event) {
	t.Helper()
	file, err := os.Open(filepath.Join(dataDir(t), name, "events.ndjson.gz"))
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
	for len(events) < limit && scanner.Scan() {
		events = append(events, decodeEvent(t, scanner.Text()))
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}

// noLimit is a limit that no stream reaches.
const noLimit = 1 << 30

// applyAll applies events in entries of a number of events and returns how many were
// applied.
func applyAll(t testing.TB, m *Machine, events []score.Event, size int) (applied int) {
	t.Helper()
	for chunk := range slices.Chunk(events, size) {
		for _, r := range applyPosts(t, m, score.Post{Events: chunk, Mode: score.UntilRefused})[0] {
			if r.Status != score.Applied {
				t.Fatalf("event %s: %+v %v", r.ID, r, r.Problem)
			}
			applied++
		}
	}
	return applied
}

type truth struct {
	Events   int `json:"events"`
	Contests map[string]struct {
		ScheduleStatus string                  `json:"schedule_status"`
		Result         map[string]mark.Decimal `json:"result"`
		Tiebreak       map[string]mark.Decimal `json:"tiebreak"`
		Winner         string                  `json:"winner"`
		MarginScore    *mark.Decimal           `json:"margin_score"`
		MarginWickets  *mark.Decimal           `json:"margin_wickets"`
	} `json:"contests"`
	MedalTable []struct {
		Organisation string `json:"organisation"`
		Gold         int    `json:"gold"`
		Silver       int    `json:"silver"`
		Bronze       int    `json:"bronze"`
		Total        int    `json:"total"`
		Rank         int    `json:"rank"`
	} `json:"medal_table"`
	Leaderboards map[string][]place `json:"leaderboards"`
}

func TestRealStreamsGiveTheRecordedResultsAndLeaderboards(t *testing.T) {
	dataDir(t) // skips the test if there is none
	leaderboards := 0
	for _, name := range streams {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(dataDir(t), name, "truth.json"))
			if err != nil {
				t.Fatal(err)
			}
			var want truth
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			for _, places := range want.Leaderboards {
				for i := range places {
					places[i].Mark *= 60 // the truth is in minutes
				}
			}
			m := newMachine(t)
			events := readStream(t, name, noLimit)
			n := applyAll(t, m, events, 200)
			if n != want.Events || m.Revision() != uint64(n) || n == 0 {
				t.Errorf("%d events were applied, the revision is %d; recorded are %d", n, m.Revision(), want.Events)
			}
			err = m.View(func(v *view.View) error { return compare(t, v, events[0].Competition(), &want) })
			if err != nil {
				t.Fatal(err)
			}
			compareBoards(t, m, want.Leaderboards)
			leaderboards += len(want.Leaderboards)
		})
	}
	if !t.Failed() && leaderboards == 0 {
		t.Error("no stream has leaderboards")
	}
}

func compare(t *testing.T, v *view.View, competition string, want *truth) error {
	for id, w := range want.Contests {
		r, ok, err := v.Contest(id)
		if err != nil {
			return err
		}
		if !ok || r.ScheduleStatus != w.ScheduleStatus {
			t.Errorf("%s: schedule_status is %q, truth %q", id, r.ScheduleStatus, w.ScheduleStatus)
			continue
		}
		of := map[string]score.Standing{}
		for _, p := range r.Competitors {
			of[p.Code] = p
		}
		for code, result := range w.Result {
			if p := of[code]; p.Result == nil || *p.Result != result {
				t.Errorf("%s: result of %s is %v, truth %s", id, code, p.Result, result)
			}
		}
		for code, p := range of {
			if w.Result != nil && p.Tiebreak != w.Tiebreak[code] {
				t.Errorf("%s: tie-break of %s is %s, truth %s", id, code, p.Tiebreak, w.Tiebreak[code])
			}
		}
		if (w.Result != nil || w.Winner != "") && r.Winner != w.Winner {
			t.Errorf("%s: the winner is %q, truth %q", id, r.Winner, w.Winner)
		}
		if w.MarginScore != nil && *r.Competitors[0].Result-*r.Competitors[1].Result != *w.MarginScore {
			t.Errorf("%s: the margin is not %s", id, *w.MarginScore)
		}
		if lost, _ := of[r.Winner].Stats.Get("wickets"); w.MarginWickets != nil &&
			mark.Points(10)-lost != *w.MarginWickets {
			t.Errorf("%s: the margin is not %s wickets", id, *w.MarginWickets)
		}
	}
	if err := compareMedals(t, v, competition, want); err != nil {
		return err
	}
	for id, board := range want.Leaderboards {
		r, _, err := v.Contest(id)
		if err != nil {
			return err
		}
		// The source lists some runners several times. Equal marks have the order of
		// their official places.
		var marks []mark.Decimal
		of := map[string]mark.Decimal{}
		for _, row := range board {
			if _, again := of[row.Competitor]; !again {
				marks = append(marks, row.Mark)
			}
			of[row.Competitor] = row.Mark
		}
		if r.Total == nil || *r.Total != len(marks) || len(r.Competitors) != 10 || r.Winner != board[0].Competitor {
			t.Errorf("%s: %d leaders, winner %s; truth %d marks, winner %s", id, len(r.Competitors), r.Winner,
				len(marks), board[0].Competitor)
		}
		for i, p := range r.Competitors {
			if *p.Result != marks[i] || *p.Result != of[p.Code] {
				t.Errorf("%s: place %d is %s with %s, truth %s", id, i+1, p.Code, *p.Result, marks[i])
			}
		}
	}
	return nil
}

func compareMedals(t *testing.T, v *view.View, competition string, want *truth) error {
	if len(want.MedalTable) == 0 {
		return nil
	}
	table, ok, err := v.Medals(competition)
	if !ok || err != nil {
		t.Errorf("%s has no medal table: %v", competition, err)
		return err
	}
	for _, w := range want.MedalTable {
		got, _ := table.Row(w.Organisation)
		if got.Gold != w.Gold || got.Silver != w.Silver || got.Bronze != w.Bronze || got.Total != w.Total ||
			got.Rank != w.Rank {
			t.Errorf("%s: the row is %+v, truth %+v", competition, got, w)
		}
	}
	return nil
}
