package watchui

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"laurel/client"
	"laurel/score"
	"laurel/score/mark"
	"laurel/score/medal"
	"laurel/score/ranking"
)

func row(competitor string, rank int, points int64) ranking.Row {
	m, d := mark.Points(points), mark.Points(points-8000)
	return ranking.Row{Competitor: competitor, Rank: rank, Mark: &m, Diff: &d}
}

func windowOf(revision uint64, rows ...ranking.Row) client.Window {
	return client.Window{ContestID: "OG/MAR", Split: "finish", Total: 900, Revision: revision, Rows: rows}
}

func TestAMoveInALeaderboardIsHighlightedForAMoment(t *testing.T) {
	name := row("7", 2, 8100)
	name.Name = "Obelix\x1b[2J"
	dnf := ranking.Row{Competitor: "99", IRM: "DNF"}
	v := viewOf(connected(), client.Update{Kind: client.UpdateSnapshot,
		Leaderboards: []client.Window{windowOf(3, row("2888", 1, 8000), name, dnf)}})
	lines := v.lines(100, 24, now)
	for i, want := range []string{"live via", "", "OG/MAR at finish, of 900",
		"RANK  COMPETITOR  NAME        ORG  MARK  DIFF", "1     2888                         8000  0",
		"2     7           Obelix [2J       8100  100",
		"      99                           DNF"} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want)
		}
	}
	v.apply(client.Update{Kind: client.UpdateLeaderboard,
		Leaderboards: []client.Window{windowOf(4, row("2888", 1, 8000), row("31", 2, 8050), row("7", 3, 8100))}}, now)
	lines = v.lines(100, 24, now.Add(time.Second))
	if strings.Contains(lines[4], "\x1b") || !strings.HasPrefix(lines[5], "\x1b[7m2     31") ||
		!strings.HasPrefix(lines[6], "\x1b[7m3     7") {
		t.Errorf("got %q; want the new one and the one that fell back highlighted", lines)
	}
	if lines := v.lines(100, 24, now.Add(2*time.Second)); strings.Contains(strings.Join(lines, ""), "\x1b") ||
		!strings.Contains(lines[0], "revision 4") {
		t.Errorf("got %q; want no highlight any more", lines)
	}
}

func TestLeaderboardsFitEveryTerminal(t *testing.T) {
	u := client.Update{Kind: client.UpdateSnapshot, Scores: []score.Record{match("A/1", 1, 3, "RUNNING")},
		Medals: []medal.Standings{{Competition: "A", Rows: []medal.Row{{Organisation: "GAU", Gold: 1}}}}}
	for _, id := range []string{"OG/MAR", "OG/RACE-2"} {
		w := windowOf(2)
		w.ContestID, w.Category, w.Around = id, "W", "2888"
		for i := range 60 {
			w.Rows = append(w.Rows, row(strings.Repeat("x", i), i+1, 8000+int64(i)))
		}
		u.Leaderboards = append(u.Leaderboards, w)
	}
	for _, some := range []client.Update{u, {Kind: client.UpdateSnapshot, Leaderboards: u.Leaderboards}} {
		v := viewOf(connected(), some)
		for width := 0; width < 200; width += 19 {
			for height := range 60 {
				lines := v.lines(width, height, now.Add(time.Hour))
				if len(lines) > height {
					t.Fatalf("%d lines on a terminal of %d×%d", len(lines), width, height)
				}
				for _, l := range lines {
					if n := len([]rune(l)); n > width {
						t.Fatalf("%q has %d columns on a terminal of %d×%d", l, n, width, height)
					}
				}
			}
		}
	}
	text := strings.Join(viewOf(u).lines(120, 40, now.Add(time.Hour)), "\n")
	for _, want := range []string{"OG/MAR at finish, W, around 2888, of 900", "DIFF", "A/1", "GOLD"} {
		if !strings.Contains(text, want) {
			t.Errorf("got\n%s\nwant %q in it", text, want)
		}
	}
}

func TestPrintWritesALineForEachChangeOfALeaderboard(t *testing.T) {
	equal := row("31", 2, 8001)
	equal.RankEqual = true
	updates := []client.Update{{Kind: client.UpdateLeaderboard,
		Leaderboards: []client.Window{windowOf(9, row("2888", 1, 8000), equal,
			ranking.Row{Competitor: "99", IRM: "DNF"})}}}
	var out, notes bytes.Buffer
	if err := Print(&out, &notes, updatesThen(nil, updates...)); err != nil {
		t.Fatal(err)
	}
	if want := "9  OG/MAR  leaderboard  1 2888 8000, =2 31 8001, 99 DNF, of 900\n"; out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
	out.Reset()
	if err := PrintJSON(&out, updatesThen(nil, updates...)); err != nil {
		t.Fatal(err)
	}
	if want := `{"event":"leaderboard","data":{"contest_id":"OG/MAR","split":"finish","total":900,"revision":9,"rows":[{"competitor":"2888","mark":8000,`; !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %s, want it to begin with %s", &out, want)
	}
}
