package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"laurel/cmd/laurel/children"
	"laurel/score"
)

// ticker prints what happens in the demo, in lines of at most 80 columns. It is safe for concurrent use.
type ticker struct {
	mu     sync.Mutex
	w      io.Writer
	colour bool
	kill   func(id string) string // as Options say
}

// newTicker writes with colours if w is a terminal whose user wants them.
func newTicker(w io.Writer) *ticker {
	f, ok := w.(*os.File)
	return &ticker{w: w, colour: ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// style is a way to print, as terminals know it.
type style string

const (
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	cyan   style = "36"
	gold   style = "1;33"
	silver style = "1;37"
	bronze style = "33"
)

func (t *ticker) in(s style, text string) string {
	if !t.colour || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// say prints a line. Where nobody can read it any more, a signal ends the demo.
func (t *ticker) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.w, format+"\n", args...)
}

func (t *ticker) warn(format string, args ...any) {
	t.say("%s", t.in(red, fmt.Sprintf(format, args...)))
}

// introduce says what there is and what to try.
func (t *ticker) introduce(frontends []children.Frontend, master, dir string) {
	var b strings.Builder
	f := func(i int) children.Frontend { return frontends[i%len(frontends)] }
	victim := f(0)
	fmt.Fprintf(&b, "%s\n", t.in(bold, "Three frontends are up, and a bard sings them the Games. Ctrl-C ends it all."))
	for _, f := range frontends {
		note := ""
		if f.ID == master {
			note, victim = "  master", f
		}
		fmt.Fprintf(&b, "  %s  %s  pid %d%s\n", t.in(bold, f.ID), f.URL(), f.PID, t.in(green, note))
	}
	fmt.Fprintf(&b, "  data and logs: %s\n\n", dir)
	fmt.Fprintf(&b, "%s\n  %s\n\n", t.in(bold, "The live page (kill the frontend under it, and it goes on at another):"), t.in(cyan, f(1).URL()+"/"))
	fmt.Fprintf(&b, "%s\n", t.in(bold, "To try in another terminal, at whichever frontend:"))
	for _, line := range []string{
		fmt.Sprintf("curl -H 'Accept: text/plain' %s/v1/scores", f(0).URL()),
		fmt.Sprintf("curl -H 'Accept: text/plain' %s/v1/medals/OG50BC", f(1).URL()),
		fmt.Sprintf("curl %s/v1/scores/OG50BC/CUR-X-SFNL-01", f(2).URL()),
		fmt.Sprintf("curl %s/v1/timeline/OG50BC/CUR-X-SFNL-01", f(0).URL()),
		fmt.Sprintf("curl -N %s/v1/watch?competition=OG50BC", f(1).URL()),
		fmt.Sprintf("curl %s/v1/frontends", f(1).URL()),
		fmt.Sprintf("curl %s/v1/events -H 'Content-Type: application/json' \\", f(2).URL()),
		`  -d '{"type":"alert","contest_id":"OG50BC","data":{"text":"Go, Gaul!"}}'`,
		"# kill the master: another takes over, nothing is lost",
		t.killing(victim),
	} {
		fmt.Fprintf(&b, "  %s\n", t.in(cyan, line))
	}
	t.say("%s", b.String())
}

// killing is the command that kills a frontend.
func (t *ticker) killing(f children.Frontend) string {
	if t.kill == nil {
		return fmt.Sprintf("kill -9 %d", f.PID)
	}
	return t.kill(f.ID)
}

// notice tells what has happened to a frontend.
func (t *ticker) notice(n children.Notice) {
	f := n.Frontend
	switch n.What {
	case children.Died:
		t.say("%s", t.in(red, fmt.Sprintf("  ** %s (pid %d) has died: %s; back in a moment", f.ID, f.PID, n.How)))
		if n.Tail != "" {
			t.say("     it had just been started; the end of %s:\n%s", f.Log, n.Tail)
		}
	case children.Back:
		t.say("%s", t.in(green, fmt.Sprintf("  ** %s is back, with the data it had: pid %d", f.ID, f.PID)))
	case children.Left:
		t.say("%s", t.in(red, fmt.Sprintf("  ** %s was removed from the group and has ended; it stays away", f.ID)))
	}
}

func (t *ticker) newMaster(id string, still bool, after time.Duration) {
	if still {
		t.say("%s", t.in(green, fmt.Sprintf("  ** %s is still the master", id)))
		return
	}
	t.say("%s", t.in(green, fmt.Sprintf("  ** %s is the master now, %.2f s later", id, after.Seconds())))
}

// agreement tells whether the frontends gave the same answer.
func (t *ticker) agreement(contestID string, a agreement) {
	who, quiet := strings.Join(a.alike, " "), strings.Join(a.silent, " ")
	switch {
	case len(a.differ) > 0:
		t.warn("%7s  %s: another answer about %s than %s", "", strings.Join(a.differ, " "), contestID, who)
	case len(a.alike) == 0:
		t.warn("%7s  no answer from %s", "", quiet)
	case len(a.silent) > 0:
		t.say("%s", t.in(green, fmt.Sprintf("%7s  = %s answer alike at revision %s; no answer from %s", "", who, a.revision, quiet)))
	default:
		t.say("%s", t.in(green, fmt.Sprintf("%7s  = %s answer alike, byte for byte, at revision %s", "", who, a.revision)))
	}
}

// medals prints a medal table.
func (t *ticker) medals(m score.Medals) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  %s %4s %6s %6s %5s\n", t.pad(bold, "Medals of the "+m.Name, 28), t.in(gold, "gold"), t.in(silver, "silver"), t.in(bronze, "bronze"), "total")
	row := func(rank string, r score.MedalRow) {
		fmt.Fprintf(&b, "  %3s  %-23s %4d %6d %6d %5d\n", rank, r.Organisation, r.Gold, r.Silver, r.Bronze, r.Total)
	}
	for _, r := range m.Rows {
		row(fmt.Sprint(r.Rank), r)
	}
	for _, r := range m.Outside {
		row("-", r)
	}
	t.say("%s", b.String())
}

func (t *ticker) pad(s style, text string, width int) string {
	return t.in(s, fmt.Sprintf("%-*s", width, text))
}

// event prints what an event has changed, as the store says it: contest is the record after it, nil for an event about a whole competition.
func (t *ticker) event(e *score.Event, revision uint64, contest *score.Record) {
	text := t.words(e, contest)
	if text == "" {
		return
	}
	sport := ""
	if contest != nil {
		sport = contest.Sport
	}
	t.say("%s  %s %s", t.in(dim, fmt.Sprintf("%7d", revision)), t.pad(cyan, sport, 13), text)
}

// words tells an event in a few words; none for what is not worth a line.
func (t *ticker) words(e *score.Event, r *score.Record) string {
	switch d := e.Data.(type) {
	case *score.CompetitionDefine:
		return t.in(bold, "The "+d.Name+" are open!")
	case *score.ContestDefine:
		if d.Kind == score.HeadToHead && len(d.Competitors) == 0 {
			return ""
		}
		return t.in(dim, "to come: "+d.Title+" ("+d.Phase+")")
	case *score.ContestStatus:
		return t.movement(d, r)
	case *score.ScorePlay:
		return t.standing(r) + "  " + remark(d.Period, d.Clock, d.Athlete, d.Comment)
	case *score.ResultSet:
		return t.marking(d, r)
	case *score.MedalAward:
		if d.Competitor == d.Organisation {
			return t.medal(d.Medal) + d.Organisation
		}
		return t.medal(d.Medal) + remark(d.Competitor, d.Organisation)
	case *score.MedalRevoke:
		return t.in(red, "a medal is taken back: "+d.Reason)
	case *score.EventVoid:
		if r.Kind == score.HeadToHead {
			return t.standing(r) + "  " + t.in(red, "taken back: "+d.Reason)
		}
		return t.in(red, "taken back: "+d.Reason)
	case *score.Alert:
		return t.in(dim, d.Text)
	}
	return ""
}

func remark(parts ...string) string {
	var said []string
	for _, p := range parts {
		if p != "" {
			said = append(said, p)
		}
	}
	return strings.Join(said, "  ")
}

func (t *ticker) medal(medal string) string {
	s := map[string]style{score.Gold: gold, score.Silver: silver, score.Bronze: bronze}[medal]
	return t.pad(s, medal, 8)
}

func (t *ticker) movement(d *score.ContestStatus, r *score.Record) string {
	name := r.Title
	if r.Phase != "" && r.Phase != r.Title && r.Kind == score.HeadToHead {
		name += " (" + r.Phase + ")"
	}
	switch {
	case d.ScheduleStatus == score.Running:
		return name + ": " + remark("under way", d.Period)
	case d.ScheduleStatus == score.Finished && r.Kind == score.HeadToHead:
		return t.standing(r) + "  finished, " + r.Winner + " wins"
	case d.ScheduleStatus == score.Finished:
		return name + ": finished, " + r.Winner + " wins"
	case d.ScheduleStatus != "":
		return t.in(dim, name+": "+strings.ToLower(strings.ReplaceAll(d.ScheduleStatus, "_", " ")))
	case d.ResultStatus == "PROTESTED":
		return t.in(red, name+": protest!")
	case d.ResultStatus != "":
		return t.in(dim, name+": "+strings.ToLower(d.ResultStatus))
	}
	return ""
}

// standing is the score of a match, the sides in the order of its title.
func (t *ticker) standing(r *score.Record) string {
	home, away, ok := strings.Cut(r.Title, " vs ")
	if !ok || len(r.Competitors) != 2 {
		return r.Title
	}
	a, b := r.Competitors[0], r.Competitors[1]
	if a.Code != home {
		a, b = b, a
	}
	text := fmt.Sprintf("%s %s : %s %s", home, a.Result, b.Result, away)
	if a.Tiebreak != 0 || b.Tiebreak != 0 {
		text += fmt.Sprintf(" (%s : %s)", a.Tiebreak, b.Tiebreak)
	}
	return t.in(bold, text)
}

// marking is a mark at a split, with the rank it has there if it is among the first ten.
func (t *ticker) marking(d *score.ResultSet, r *score.Record) string {
	who := fmt.Sprintf("%-15s %-4s", d.Competitor, d.Organisation)
	if d.Competitor == d.Organisation {
		who = fmt.Sprintf("%-4s", d.Competitor)
	}
	if d.IRM != "" {
		return who + t.in(red, d.IRM) + "  " + d.Comment
	}
	text := who + t.in(bold, fmt.Sprintf("%10s", mark(*d.Mark, r.ResultType, r.Unit)))
	if d.Split != "finish" {
		text += "  " + d.Split
	}
	for _, p := range r.Competitors {
		if p.Code == d.Competitor && r.Split == d.Split && p.Rank > 0 {
			text += fmt.Sprintf("  rank %d", p.Rank)
		}
	}
	return text
}

// mark writes a time as people do, points bare, and anything else with its unit.
func mark(v score.Decimal, resultType, unit string) string {
	switch {
	case resultType == "POINTS":
		return v.String()
	case resultType != "TIME" || unit != "s":
		return strings.TrimSpace(v.String() + " " + unit)
	}
	d := time.Duration(v) * time.Millisecond
	tenths := int64(d/(100*time.Millisecond)) % 10
	if d < time.Hour {
		return fmt.Sprintf("%d:%02d.%d", d/time.Minute, d/time.Second%60, tenths)
	}
	return fmt.Sprintf("%d:%02d:%02d.%d", d/time.Hour, d/time.Minute%60, d/time.Second%60, tenths)
}
