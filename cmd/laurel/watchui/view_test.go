package watchui

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"laurel/client"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/score/mark"
	"laurel/score/medal"
)

var now = time.Date(2026, 2, 9, 10, 0, 0, 0, time.UTC)

func match(id string, revision uint64, points int64, status string) score.Record {
	gaul, rome := mark.Points(points), mark.Points(0)
	return score.Record{ContestID: id, Kind: score.HeadToHead, Title: "Gaul – Rome", ScheduleStatus: status,
		Period: "END1", Revision: revision,
		Competitors: []score.Standing{{Code: "GAU", Result: &gaul}, {Code: "ROM", Result: &rome}}}
}

func viewOf(updates ...client.Update) *view {
	v := &view{}
	for _, u := range updates {
		v.apply(u, now)
	}
	return v
}

func connected() client.Update {
	return client.Update{Kind: client.UpdateConnected, Frontend: "http://f2:8001", Home: "f1"}
}

func TestTheStatusDescribesTheConnection(t *testing.T) {
	v := viewOf()
	is := func(want string, at time.Time) {
		t.Helper()
		if got := v.status(at); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
	is("connecting", now)
	v.apply(connected(), now)
	is("live via f2:8001 (home f1), revision 0", now)
	v.apply(client.Update{Kind: client.UpdateHeartbeat,
		Beat: client.Beat{Revision: 8123, Epoch: 7, Mode: score.Push, Frontend: "f2"}}, now)
	is("live via f2 (home f1), push, revision 8123, epoch 7", now)
	v.apply(client.Update{Kind: client.UpdateLost, Frontend: "http://f2:8001", Err: errors.New("f2 is gone"),
		Wait: 2500 * time.Millisecond}, now)
	is("reconnecting in 3 s (f2 is gone)", now)
	is("reconnecting in 1 s (f2 is gone)", now.Add(2*time.Second))
	is("reconnecting in 0 s (f2 is gone)", now.Add(time.Minute))
	v.apply(client.Update{Kind: client.UpdateConnected, Frontend: "http://f1:8001", Home: "f1", AtHome: true}, now)
	is("live via f1:8001 (home), revision 8123", now)
}

func TestAChangeIsHighlightedForAMoment(t *testing.T) {
	v := viewOf(connected(), client.Update{Kind: client.UpdateSnapshot,
		Scores: []score.Record{match("A/1", 1, 0, "RUNNING"), match("A/2", 2, 0, "RUNNING")}})
	v.apply(client.Update{Kind: client.UpdateScore, Scores: []score.Record{match("A/2", 3, 2, "RUNNING")}}, now)
	lines := v.lines(100, 24, now.Add(time.Second))
	if strings.Contains(lines[3], "\x1b") || !strings.HasPrefix(lines[4], "\x1b[7mA/2") ||
		!strings.Contains(lines[4], "GAU 2, ROM 0") {
		t.Errorf("got %q; want the second contest alone to be highlighted", lines)
	}
	if lines := v.lines(100, 24, now.Add(2*time.Second)); strings.Contains(strings.Join(lines, ""), "\x1b") {
		t.Errorf("got %q; want no highlight any more", lines)
	}
}

func TestTheViewFitsEveryTerminal(t *testing.T) {
	u := client.Update{Kind: client.UpdateSnapshot}
	for i := range 60 {
		u.Scores = append(u.Scores, match(fmt.Sprintf("OG50BC/CUR-M-GPA-%02d", i), uint64(i), 3, "RUNNING"))
	}
	for _, competition := range []string{"A", "B", "C"} {
		m := medal.Standings{Competition: competition}
		for i := range 12 {
			m.Rows = append(m.Rows, medal.Row{Organisation: fmt.Sprint("O", i), Gold: 1, Total: 1, Rank: 1})
		}
		u.Medals = append(u.Medals, m)
	}
	for i := range 40 {
		u.Timeline = append(u.Timeline, score.TimelineEvent{ContestID: "A/1", Type: "alert",
			Data: []byte(`{"text":"` + strings.Repeat("x", i*10) + `"}`)})
	}
	v := viewOf(connected(), u)
	for width := 0; width < 200; width += 19 {
		for height := 0; height < 90; height += 4 {
			lines := v.lines(width, height, now.Add(time.Hour))
			if len(lines) > height {
				t.Fatalf("%d lines on a terminal of %d×%d", len(lines), width, height)
			}
			for _, l := range lines {
				if n := textfmt.Width(l); n > width {
					t.Fatalf("%q has %d columns on a terminal of %d×%d", l, n, width, height)
				}
			}
		}
	}
	text := strings.Join(v.lines(120, 30, now.Add(time.Hour)), "\n")
	for _, want := range []string{"live via", "and 4", "more", "GOLD", "alert"} {
		if !strings.Contains(text, want) {
			t.Errorf("got\n%s\nwant %q in it", text, want)
		}
	}
}

func TestTheViewCountsTheContestsThatItDoesNotHave(t *testing.T) {
	snapshot := client.Update{Kind: client.UpdateSnapshot, Sections: &score.Sections{Live: 2, Next: 99_000, Finished: 998},
		Scores: []score.Record{match("A/1", 1, 0, "RUNNING"), match("A/2", 2, 0, "RUNNING")}}
	v := viewOf(connected(), snapshot)
	if text := strings.Join(v.lines(100, 24, now), "\n"); !strings.Contains(text, "\nand 99998 more") {
		t.Errorf("got\n%s\nwant the number of the contests that are not shown", text)
	}
	v.apply(client.Update{Kind: client.UpdateHeartbeat, Sections: &score.Sections{Live: 2}}, now)
	v.apply(client.Update{Kind: client.UpdateRemoved, Removed: []string{"A/1"}}, now)
	if text := strings.Join(v.lines(100, 24, now), "\n"); strings.Contains(text, "A/1") {
		t.Errorf("got\n%s\nwant no contest that is removed", text)
	}
}

func TestTheTitleIsClippedBeforeTheStatus(t *testing.T) {
	r := match("OG50BC/CUR-M-GPA-01", 1, 3, "RUNNING")
	r.ResultStatus, r.Title = "LIVE", "Tiebreak semi-final of the Gauls against the Romans"
	v := viewOf(client.Update{Kind: client.UpdateSnapshot, Scores: []score.Record{r}})
	for _, width := range []int{80, 110} {
		line := v.lines(width, 24, now.Add(time.Hour))[3]
		if !strings.HasSuffix(line, "RUNNING LIVE") || !strings.HasPrefix(line, "OG50BC/CUR-M-GPA-01  ") ||
			textfmt.Width(line) > width {
			t.Errorf("in %d cells: %q", width, line)
		}
	}
}

func TestALineOfAContestSaysHowItWasDecided(t *testing.T) {
	for want, set := range map[string]func(*score.Record){
		"FINISHED":                    func(*score.Record) {},
		"FINISHED, GAU won":           func(r *score.Record) { r.Winner = "GAU" },
		"FINISHED, GAU won (RULE)":    func(r *score.Record) { r.Winner, r.Decision = "GAU", "RULE" },
		"FINISHED, ABANDONED":         func(r *score.Record) { r.Decision = "ABANDONED" },
		"FINISHED OFFICIAL CORRECTED": func(r *score.Record) { r.ResultStatus, r.Corrected = "OFFICIAL", true },
		"FINISHED CORRECTED, DRAWN":   func(r *score.Record) { r.Decision, r.Corrected = "DRAWN", true },
	} {
		r := match("A/1", 3, 2, "FINISHED")
		if set(&r); status(&r) != want || !strings.Contains(scoreLine(&r), "  "+want) {
			t.Errorf("the status is %q, the line %q; want %q", status(&r), scoreLine(&r), want)
		}
	}
}

func TestColumnsOfTheWatchAreAlignedBehindAnyScript(t *testing.T) {
	u := client.Update{Kind: client.UpdateSnapshot}
	for i, title := range []string{"Rome", "日本太郎", "Jose\u0301", "\u202eevil", "🇬🇧 🇫🇷"} {
		r := match(fmt.Sprint("A/", i), 1, 3, "RUNNING")
		r.Title = title
		u.Scores = append(u.Scores, r)
	}
	lines := viewOf(u).lines(100, 24, now.Add(time.Hour))
	before, _, _ := strings.Cut(lines[2], "SCORE")
	for _, line := range lines[3:8] {
		if cells, _, found := strings.Cut(line, "GAU 3"); !found || textfmt.Width(cells) != textfmt.Width(before) {
			t.Errorf("%q is not aligned with %q", line, lines[2])
		}
	}
}

func TestMedalsThatAreEqualShareARankAndNeutralsAreShown(t *testing.T) {
	m := medal.Standings{Competition: "A", Revision: 1,
		Rows: []medal.Row{
			{Organisation: "GAU", Gold: 1, Total: 1, Rank: 1, RankEqual: true},
			{Organisation: "ROM", Gold: 1, Total: 1, Rank: 1, RankEqual: true}},
		Outside: []medal.Row{{Organisation: "AIN", Gold: 1, Total: 1}}}
	v := viewOf(client.Update{Kind: client.UpdateSnapshot, Medals: []medal.Standings{m}})
	text := strings.Join(v.lines(100, 24, now), "\n")
	for _, want := range []string{"\n=1 GAU ", "\n=1 ROM ", "\nAIN "} {
		if !strings.Contains(text, want) {
			t.Errorf("got\n%s\nwant %q", text, want)
		}
	}
}

func TestATableWithoutMedalsIsToldOnlyWhenItHasLostThem(t *testing.T) {
	var out, notes bytes.Buffer
	empty := []medal.Standings{{Competition: "A", Revision: 1}}
	updates := []client.Update{{Kind: client.UpdateSnapshot, Medals: empty}, {Kind: client.UpdateMedals, Medals: empty}}
	if err := Print(&out, &notes, updatesThen(nil, updates...)); err != nil || out.String() != "1  A  medals  none\n" {
		t.Errorf("got %q, %v", &out, err)
	}
}

func TestWhatIsGoneIsTold(t *testing.T) {
	updates := []client.Update{
		{Kind: client.UpdateSnapshot, Scores: []score.Record{match("D28/1", 3, 2, "RUNNING")}},
		{Kind: client.UpdateRemoved, Removed: []string{"D28/1"}},
		{Kind: client.UpdateSnapshot, Dropped: []string{"D28/3"}},
		{Kind: client.UpdateSnapshot, NewStore: true, Frontend: "http://f1:8001",
			Scores: []score.Record{match("D28/2", 1, 0, "RUNNING")}},
	}
	var out, notes bytes.Buffer
	if err := Print(&out, &notes, updatesThen(nil, updates...)); err != nil {
		t.Fatal(err)
	}
	if want := "3  D28/1  GAU 2, ROM 0  RUNNING  END1\nD28/1  removed\nanother store: everything above is void\n" +
		"1  D28/2  GAU 0, ROM 0  RUNNING  END1\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
	if want := "may have changed meanwhile, or be gone: 1;"; !strings.Contains(notes.String(), want) {
		t.Errorf("got the notes\n%swant %s", &notes, want)
	}
	out.Reset()
	if err := PrintJSON(&out, updatesThen(nil, updates...)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`{"event":"removed","data":{"contest_id":"D28/1"}}` + "\n",
		`{"event":"dropped","data":{"contest_id":"D28/3"}}` + "\n",
		`{"event":"new_store","data":{"url":"http://f1:8001"}}` + "\n" + `{"event":"score"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%swant\n%s", &out, want)
		}
	}
}

func TestLiveContestsComeFirst(t *testing.T) {
	v := viewOf(client.Update{Kind: client.UpdateSnapshot,
		Scores: []score.Record{match("A/1", 1, 0, "SCHEDULED"), match("A/4", 9, 0, "FINISHED"),
			match("A/3", 3, 0, "RUNNING"), match("A/2", 4, 0, "RUNNING")}})
	var got []string
	for _, e := range v.sorted() {
		got = append(got, e.ContestID)
	}
	if want := []string{"A/2", "A/3", "A/4", "A/1"}; !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}

// A terminal is drawn many times a second, also while nothing happens.
func TestContestsAreSortedWhenTheyChangeOnly(t *testing.T) {
	var many []score.Record
	for i := range 1000 {
		many = append(many, match(fmt.Sprintf("A/%04d", i), uint64(i+1), 0, "SCHEDULED"))
	}
	v := viewOf(connected(), client.Update{Kind: client.UpdateSnapshot, Scores: many})
	draw := func() { v.lines(100, 24, now) }
	draw()
	list := &v.sorted()[0]
	v.apply(client.Update{Kind: client.UpdateHeartbeat}, now)
	draw()
	if &v.sorted()[0] != list {
		t.Error("a heartbeat has the contests sorted again")
	}
	v.apply(client.Update{Kind: client.UpdateScore, Scores: []score.Record{match("A/0500", 2000, 1, "RUNNING")}}, now)
	if got := v.sorted()[0].ContestID; got != "A/0500" {
		t.Errorf("%s is first; want the live contest", got)
	}
	v.apply(client.Update{Kind: client.UpdateScore, Removed: []string{"A/0500"}}, now)
	if got := v.sorted()[0].ContestID; got != "A/0999" {
		t.Errorf("%s is first; want the one that changed last", got)
	}
}

func TestNamesCannotControlTheTerminal(t *testing.T) {
	r := match("A/1", 1, 0, "RUNNING")
	r.Title, r.Clock = "Gaul\x1b[2J\x07", "1\r\n2\u202e"
	v := viewOf(client.Update{Kind: client.UpdateSnapshot, Scores: []score.Record{r}})
	if text := strings.Join(v.lines(100, 20, now.Add(time.Hour)), "\n"); strings.ContainsAny(text, "\x1b\x07\r\u202e") {
		t.Errorf("got %q", text)
	}
}

func TestASnapshotOfAnotherStoreClearsTheView(t *testing.T) {
	v := viewOf(client.Update{Kind: client.UpdateSnapshot, Scores: []score.Record{match("A/1", 100, 0, "RUNNING")}},
		client.Update{Kind: client.UpdateSnapshot, NewStore: true,
			Scores: []score.Record{match("B/1", 1, 0, "RUNNING")}})
	if len(v.scores) != 1 || v.revision != 1 {
		t.Errorf("got %v at revision %d", v.scores, v.revision)
	}
}

// updatesThen is a watch that reports updates and then ends with err.
func updatesThen(err error, updates ...client.Update) iter.Seq2[client.Update, error] {
	return func(yield func(client.Update, error) bool) {
		for _, u := range updates {
			if !yield(u, nil) {
				return
			}
		}
		if err != nil {
			yield(client.Update{}, err)
		}
	}
}

func TestPrintWritesALineForEachChange(t *testing.T) {
	var out, notes bytes.Buffer
	refused := errors.New("refused")
	medals := medal.Standings{Competition: "A", Revision: 5,
		Rows: []medal.Row{{Organisation: "GAU", Gold: 2, Silver: 1}}}
	updates := []client.Update{connected(), {Kind: client.UpdateSnapshot,
		Scores: []score.Record{match("A/1", 3, 2, "RUNNING")}}, {Kind: client.UpdateHeartbeat},
		{Kind: client.UpdateMedals, Medals: []medal.Standings{medals}},
		{Kind: client.UpdateTimeline, Timeline: []score.TimelineEvent{{Revision: 6, ContestID: "A/1", Type: "alert",
			Time: now, Data: []byte(`{"text":"hail"}`)}}},
		{Kind: client.UpdateLost, Err: errors.New("gone"), Wait: time.Second}}
	if err := Print(&out, &notes, updatesThen(refused, updates...)); err != refused {
		t.Errorf("got %v; want what ended the watch", err)
	}
	want := "3  A/1  GAU 2, ROM 0  RUNNING  END1\n5  A  medals  GAU 2/1/0\n6  2026-02-09T10:00:00Z  A/1  alert  {\"text\":\"hail\"}\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
	if notes.String() != "live via f2:8001 (home f1), revision 0\nreconnecting in 1 s (gone)\n" {
		t.Errorf("notes are %q", &notes)
	}
	out.Reset()
	if err := PrintJSON(&out, updatesThen(nil, updates...)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, prefix := range []string{`{"event":"connected","data":{"at_home":false,"home":"f1","url":"http://f2:8001"}}`,
		`{"event":"score","data":{"contest_id":"A/1",`,
		`{"event":"heartbeat","data":{"revision":0,`, `{"event":"medals","data":{"competition":"A",`,
		`{"event":"timeline","data":{"id":"",`, `{"event":"lost","data":{"error":"gone",`} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], prefix) {
			t.Errorf("line %d of %q; want %s", i, lines, prefix)
		}
	}
}

// terminal records what is written to it.
type terminal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *terminal) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *terminal) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func TestTheScreenFollowsTheSizeOfTheTerminalAndRestoresIt(t *testing.T) {
	var out terminal
	var mu sync.Mutex
	width := 120
	s := &screen{out: &out, size: func() (int, int) {
		mu.Lock()
		defer mu.Unlock()
		return width, 24
	}}
	end, signals, done := make(chan struct{}), make(chan os.Signal), make(chan error)
	go func() {
		done <- s.run(signals, func(yield func(client.Update, error) bool) {
			yield(connected(), nil)
			yield(client.Update{Kind: client.UpdateSnapshot,
				Scores: []score.Record{match("OG50BC/CUR-M-GPA-01", 3, 2, "RUNNING")}}, nil)
			<-end
		})
	}()
	shows := func(what string) {
		t.Helper()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for deadline := time.After(time.Minute); !strings.Contains(out.String(), what); {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("got %q; want %q", out.String(), what)
			}
		}
	}
	shows("OG50BC/CUR-M-GPA-01  Gaul – Rome  GAU 2, ROM 0  END1           RUNNING")
	mu.Lock()
	width = 30
	mu.Unlock()
	signals <- os.Interrupt // any signal that does not suspend
	shows("live via f2:8001 (home f1), r…")
	close(end)
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the screen outlives its watch")
	}
	if got := out.String(); !strings.HasPrefix(got, enterScreen) || !strings.HasSuffix(got, leaveScreen) {
		t.Errorf("got %q; want it between entering and leaving", got)
	}
}

// shown returns what a terminal of a width shows of an output without highlights. After the
// last character of a line the cursor stays on it.
func shown(output string, width int) []string {
	screen := [][]rune{nil}
	row, column := 0, 0
	erase := func() { screen[row] = screen[row][:min(column, len(screen[row]))] }
	for rest := []rune(output); len(rest) > 0; {
		sequence := string(rest[:min(len(rest), 16)])
		switch {
		case strings.HasPrefix(sequence, "\x1b[?"):
			rest = rest[strings.IndexAny(sequence, "hl")+1:]
		case strings.HasPrefix(sequence, "\x1b[H"):
			row, column, rest = 0, 0, rest[3:]
		case strings.HasPrefix(sequence, "\x1b[K"):
			erase()
			rest = rest[3:]
		case strings.HasPrefix(sequence, "\x1b[J"):
			erase()
			screen, rest = screen[:row+1], rest[3:]
		case strings.HasPrefix(sequence, "\r\n"):
			row, column, rest = row+1, 0, rest[2:]
			if row == len(screen) {
				screen = append(screen, nil)
			}
		default:
			screen[row] = append(screen[row][:column], rest[0])
			column, rest = min(column+1, width-1), rest[1:]
		}
	}
	lines := make([]string, len(screen))
	for i := range screen {
		lines[i] = string(screen[i])
	}
	return lines
}

func TestALineAsWideAsTheTerminalIsShownWhole(t *testing.T) {
	r := match("A/1", 1, 0, "FINISHED")
	r.Title, r.Winner, r.Decision = strings.Repeat("long ", 20), "GAU", "DISQUALIFIED"
	for _, height := range []int{24, 4} {
		var out terminal
		width := 100
		s := &screen{out: &out, size: func() (int, int) { return width, height }}
		s.view.apply(client.Update{Kind: client.UpdateSnapshot, Scores: []score.Record{r}}, now)
		for _, width = range []int{100, 80} {
			s.drawn = ""
			if err := s.draw(); err != nil {
				t.Fatal(err)
			}
			lines := shown(out.String(), width)
			if textfmt.Width(lines[3]) != width || !strings.HasSuffix(lines[3], "GAU won (DISQUALIFIED)") {
				t.Errorf("%d lines of %d columns show\n%s", height, width, strings.Join(lines, "\n"))
			}
		}
	}
}

func TestANarrowTerminalShowsScoresAndMarks(t *testing.T) {
	v := viewOf(connected(), client.Update{Kind: client.UpdateSnapshot, Scores: []score.Record{match("OG50BC/CUR-M-GPA-01", 1, 2, "RUNNING")}})
	if text := strings.Join(v.lines(40, 24, now), "\n"); !strings.Contains(text, "GAU 2, ROM 0") {
		t.Errorf("40 columns show\n%s", text)
	}
	long := row("9001", 1, 7891)
	long.Name, long.Organisation = strings.Repeat("Wolverhampton ", 4), "WOLVERHAMPTON"
	w := windowOf(2, long)
	w.Format = mark.Format{ResultType: "TIME", Sort: "asc"}
	v = viewOf(connected(), client.Update{Kind: client.UpdateLeaderboard, Leaderboards: []client.Window{w}})
	if text := strings.Join(v.lines(40, 24, now), "\n"); !strings.Contains(text, "2:11:31 ") {
		t.Errorf("40 columns show\n%s", text)
	}
}
