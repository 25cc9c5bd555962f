package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"laurel/internal/localgroup"
	"laurel/score"
)

// ticker prints what happens in the demo, in lines of at most 80 columns. It is safe for concurrent use.
type ticker struct {
	mu     sync.Mutex
	w      io.Writer
	colour bool
	kill   func(id string) string // as Options say
	ids    []string               // of the frontends
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

// notice tells what has happened to a frontend.
func (t *ticker) notice(n localgroup.Notice) {
	f := n.Frontend
	switch n.Kind {
	case localgroup.Died:
		t.say("%s", t.in(red, fmt.Sprintf("  ** %s (pid %d) ended: %s; starts again in %.0f s", f.ID, f.PID, n.Reason, n.RestartIn.Seconds())))
		if n.LogTail != "" {
			t.say("     it had just been started; the end of %s:\n%s", f.Log, n.LogTail)
		}
	case localgroup.Restarted:
		t.say("%s", t.in(green, fmt.Sprintf("  ** %s is back, with the data it had, as pid %d", f.ID, f.PID)))
	case localgroup.Left:
		t.say("%s", t.in(red, fmt.Sprintf("  ** %s was removed from the group and has ended; it stays away", f.ID)))
	case localgroup.Contradicted:
		t.say("%s", t.in(red, fmt.Sprintf("  ** the data of %s contradict the group; it has ended and stays away", f.ID)))
		t.say("     the end of %s:\n%s", f.Log, n.LogTail)
	}
}

// journey tells where clients have gone.
func (t *ticker) journey(o outcome) {
	who := plural(o.of, "client")
	if o.arrived < o.of {
		who = fmt.Sprintf("%d of %s", o.arrived, who)
	}
	switch {
	case o.homeward && o.arrived < o.of:
		t.say("  ** %s of %s are home again after %.0f s", who, o.frontend, o.took.Seconds())
	case o.homeward:
		t.say("%s", t.in(green, fmt.Sprintf("  ** %s came home to %s %s", who, o.frontend, o.when())))
	case o.arrived < o.of:
		t.warn("  ** %s of %s are elsewhere after %.0f s; the others still look", who, o.frontend, o.took.Seconds())
	default:
		t.say("%s", t.in(green, fmt.Sprintf("  ** %s moved from %s to %s %s", who, o.frontend, strings.Join(o.to, " and "), o.when())))
	}
}

// when is how long it took. Those whose frontend is told to end may have left before it is gone.
func (o outcome) when() string {
	if o.took < 50*time.Millisecond {
		return "at once"
	}
	return fmt.Sprintf("in %.1f s", o.took.Seconds())
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// seats tells how many clients each frontend serves.
func (t *ticker) seats(s seats) {
	var b strings.Builder
	for _, id := range t.ids {
		one := fmt.Sprintf("%s %d", id, s.at[id])
		if s.at[id] == 0 {
			one = t.in(red, one)
		}
		b.WriteString("  " + one)
	}
	if s.looking > 0 {
		b.WriteString(t.in(red, fmt.Sprintf("  (%d look for one)", s.looking)))
	}
	t.say("%9s%s%s", "", t.in(green, "clients"), b.String())
}

func (t *ticker) newMaster(id string, still bool, after time.Duration) {
	if still {
		t.say("%s", t.in(green, fmt.Sprintf("  ** %s is still the master", id)))
		return
	}
	when := fmt.Sprintf("%.2f s later", after.Seconds())
	if after < 20*time.Millisecond {
		when = "at once" // whoever ends in order hands over before
	}
	t.say("%s", t.in(green, fmt.Sprintf("  ** %s is the master now, %s", id, when)))
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
