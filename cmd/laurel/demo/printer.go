package demo

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"laurel/internal/cli"
	"laurel/internal/localgroup"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/medal"
)

// printer prints what happens in the demo in lines of at most 80 columns. It is safe for
// concurrent use.
type printer struct {
	mu     sync.Mutex
	w      io.Writer
	colour bool
}

// newPrinter returns a printer that uses colours if w is a terminal whose user wants
// them.
func newPrinter(w io.Writer) *printer {
	f, ok := cli.Terminal(w)
	if ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		return &printer{w: f, colour: true}
	}
	return &printer{w: w}
}

// style is the parameters of a terminal's escape sequence for a style.
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
	plain  style = "0" // ends the others
)

func (s style) sequence() string { return "\x1b[" + string(s) + "m" }

func (p *printer) styled(s style, text string) string {
	if !p.colour || text == "" {
		return text
	}
	return s.sequence() + text + plain.sequence()
}

// unescapeStyles restores the sequences of the styles in escaped text. So a name that has
// one of them is coloured, and does nothing else to the terminal.
var unescapeStyles = func() *strings.Replacer {
	var pairs []string
	for _, s := range []style{bold, dim, red, green, cyan, gold, silver, bronze, plain} {
		pairs = append(pairs, string(textfmt.Escape([]byte(s.sequence()))), s.sequence())
	}
	return strings.NewReplacer(pairs...)
}()

func (p *printer) padded(s style, text string, width int) string {
	return p.styled(s, textfmt.Pad(text, width))
}

// println formats and prints a line. It ignores errors: when the reader of the output is
// gone, a signal ends the demo.
func (p *printer) println(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := string(textfmt.Escape(fmt.Appendf(nil, format+"\n", args...)))
	if p.colour {
		text = unescapeStyles.Replace(text)
	}
	io.WriteString(p.w, text)
}

func (p *printer) printlnIn(s style, format string, args ...any) {
	p.println("%s", p.styled(s, fmt.Sprintf(format, args...)))
}

func (p *printer) notice(n localgroup.Notice) {
	f := n.Frontend
	switch n.Kind {
	case localgroup.Died:
		p.printlnIn(red, "  ** %s (pid %d) ended: %s; restarts in %.0f s", f.ID, f.PID, n.Reason, n.RestartIn.Seconds())
		if n.LogTail != "" {
			p.println("     it had just been started; the end of %s:\n%s", f.Log, n.LogTail)
		}
	case localgroup.Restarted:
		p.printlnIn(green, "  ** %s is back with its data, as pid %d", f.ID, f.PID)
	case localgroup.Left:
		p.printlnIn(red, "  ** %s was removed from the group and has ended", f.ID)
	case localgroup.Contradicted:
		p.printlnIn(red, "  ** %s has ended: its data contradict the group", f.ID)
		p.println("     the end of %s:\n%s", f.Log, n.LogTail)
	}
}

func (p *printer) move(m *move) {
	clients := fmt.Sprintf("%d clients", len(m.clients))
	if len(m.clients) == 1 {
		clients = "1 client"
	}
	took := fmt.Sprintf("in %.1f s", m.took.Seconds())
	if m.took < 50*time.Millisecond {
		took = "at once" // clients may have left before their frontend ended
	}
	complete := m.moved == len(m.clients)
	switch {
	case complete && m.homeward:
		p.printlnIn(green, "  ** %s came home to %s %s", clients, m.frontend, took)
	case complete:
		p.printlnIn(green, "  ** %s moved from %s to %s %s", clients, m.frontend, strings.Join(m.to, " and "), took)
	case m.homeward:
		p.println("  ** %d of %s of %s are home again after %.0f s", m.moved, clients, m.frontend, m.took.Seconds())
	default:
		p.printlnIn(red, "  ** %d of %s of %s are elsewhere after %.0f s; the others still look",
			m.moved, clients, m.frontend, m.took.Seconds())
	}
}

func (p *printer) distribution(d distribution) {
	text := p.styled(green, "clients")
	for _, id := range slices.Sorted(maps.Keys(d.at)) {
		at := fmt.Sprintf("%s %d", id, d.at[id])
		if d.at[id] == 0 {
			at = p.styled(red, at)
		}
		text += "  " + at
	}
	if d.looking > 0 {
		text += p.styled(red, fmt.Sprintf("  (%d look for one)", d.looking))
	}
	p.println("%9s%s", "", text)
}

func (p *printer) newMaster(id string, still bool, after time.Duration) {
	if still {
		p.printlnIn(green, "  ** %s is still the master", id)
		return
	}
	when := fmt.Sprintf("%.2f s later", after.Seconds())
	if after < 20*time.Millisecond {
		when = "at once" // a frontend that is told to stop hands over before it ends
	}
	p.printlnIn(green, "  ** %s is the master now, %s", id, when)
}

func (p *printer) agreement(contestID string, a agreement) {
	alike, silent := strings.Join(a.alike, " "), strings.Join(a.silent, " ")
	switch {
	case len(a.differ) > 0:
		p.printlnIn(red, "%7s  %s: another answer about %s than %s", "", strings.Join(a.differ, " "), contestID, alike)
	case len(a.alike) == 0:
		p.printlnIn(red, "%7s  no answer from %s", "", silent)
	case len(a.silent) > 0:
		p.printlnIn(green, "%7s  = %s answer alike at revision %s; no answer from %s", "", alike, a.revision, silent)
	default:
		p.printlnIn(green, "%7s  = %s answer alike, byte for byte, at revision %s", "", alike, a.revision)
	}
}

func (p *printer) medals(m medal.Standings) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  %s %4s %6s %6s %5s\n", p.padded(bold, "Medals of the "+m.Name, 28),
		p.styled(gold, "gold"), p.styled(silver, "silver"), p.styled(bronze, "bronze"), "total")
	for _, r := range slices.Concat(m.Rows, m.Outside) {
		rank := "-"
		if r.Rank > 0 {
			rank = fmt.Sprint(r.Rank)
		}
		fmt.Fprintf(&b, "  %3s  %s %4d %6d %6d %5d\n",
			rank, textfmt.Pad(r.Organisation, 23), r.Gold, r.Silver, r.Bronze, r.Total)
	}
	p.println("%s", b.String())
}

// event prints an event. contest is the record after it; nil for an event about a
// competition.
func (p *printer) event(e *score.Event, revision uint64, contest *score.Record) {
	text := p.eventText(e, contest)
	if text == "" {
		return
	}
	sport := ""
	if contest != nil {
		sport = contest.Sport
	}
	p.println("%s  %s %s", p.styled(dim, fmt.Sprintf("%7d", revision)), p.padded(cyan, sport, 13), text)
}

// eventText describes an event in a few words. It returns "" for an event that is not
// worth a line.
func (p *printer) eventText(e *score.Event, r *score.Record) string {
	switch d := e.Data.(type) {
	case *score.CompetitionDefine:
		if d.Name == "" {
			return p.styled(dim, "the competition is defined anew")
		}
		return p.styled(bold, "The "+d.Name+" are open!")
	case *score.ContestDefine:
		if d.Kind == "" {
			return p.styled(dim, textfmt.Join("  ", "defined anew: "+r.Title, d.Reason))
		}
		if d.Kind == score.HeadToHead && len(d.Competitors) == 0 {
			return ""
		}
		return p.styled(dim, "to come: "+d.Title+" ("+d.Phase+")")
	case *score.CompetitorDefine:
		return p.styled(dim, "competes: "+textfmt.Join("  ", d.Competitor, d.Name, d.Organisation))
	case *score.ContestStatus:
		return p.statusText(d, r)
	case *score.ContestDecide:
		if d.Decision == "" {
			return p.matchScore(r) + "  " + p.styled(red, textfmt.Join("  ", "decision taken back", d.Reason))
		}
		return p.matchScore(r) + "  " + textfmt.Join("  ", "decided:", r.Winner, strings.ToLower(d.Decision), d.Reason)
	case *score.ContestReset:
		return p.matchScore(r) + "  " + p.styled(red, "begins anew: "+d.Reason)
	case *score.ScorePlay:
		return p.matchScore(r) + "  " + textfmt.Join("  ", d.Period, d.Clock, d.Athlete, d.Comment)
	case *score.ScoreSet:
		return p.matchScore(r) + "  " + p.styled(red, textfmt.Join("  ", "corrected:", d.Reason))
	case *score.ResultSet:
		return p.resultText(d, r)
	case *score.MedalAward:
		s := map[string]style{score.Gold: gold, score.Silver: silver, score.Bronze: bronze}[d.Medal]
		winner := d.Organisation
		if d.Competitor != d.Organisation {
			winner = textfmt.Join("  ", d.Competitor, d.Organisation)
		}
		return p.padded(s, d.Medal, 8) + winner
	case *score.MedalRevoke:
		return p.styled(red, "a medal is revoked: "+d.Reason)
	case *score.EventVoid:
		voided := p.styled(red, "voided: "+d.Reason)
		if r.Kind == score.HeadToHead {
			return p.matchScore(r) + "  " + voided
		}
		return voided
	case *score.Alert:
		return p.styled(dim, d.Text)
	}
	return "" // TestEveryTypeOfEventIsDescribed fails for a type that is missing
}

func (p *printer) statusText(d *score.ContestStatus, r *score.Record) string {
	name := r.Title
	if r.Phase != "" && r.Phase != r.Title && r.Kind == score.HeadToHead {
		name += " (" + r.Phase + ")"
	}
	switch {
	case d.ScheduleStatus == score.Running:
		return name + ": " + textfmt.Join("  ", "under way", d.Period)
	case d.ScheduleStatus == score.Finished:
		text := name + ": finished"
		if r.Kind == score.HeadToHead {
			text = p.matchScore(r) + "  finished"
		}
		if r.Winner != "" {
			text += ", " + r.Winner + " wins"
		}
		return text
	case d.ScheduleStatus != "":
		return p.styled(dim, name+": "+strings.ToLower(strings.ReplaceAll(d.ScheduleStatus, "_", " ")))
	case d.ResultStatus == "PROTESTED":
		return p.styled(red, name+": protest!")
	case d.ResultStatus != "":
		return p.styled(dim, name+": "+strings.ToLower(d.ResultStatus))
	}
	return ""
}

// matchScore formats the score of a match.
func (p *printer) matchScore(r *score.Record) string {
	sides := r.Sides()
	if len(sides) != 2 {
		return r.Title
	}
	a, b := &sides[0], &sides[1]
	text := fmt.Sprintf("%s %s : %s %s", a.Code, a.Result, b.Result, b.Code)
	if len(r.TiebreakPeriods) > 0 {
		text += fmt.Sprintf(" (%s : %s)", a.Tiebreak, b.Tiebreak)
	}
	return p.styled(bold, text)
}

// resultText formats a mark at a split, with its rank there if it is among the first ten.
func (p *printer) resultText(d *score.ResultSet, r *score.Record) string {
	text := textfmt.Pad(d.Competitor, 15) + " " + textfmt.Pad(d.Organisation, 4)
	if d.Competitor == d.Organisation {
		text = textfmt.Pad(d.Competitor, 4)
	}
	if d.IRM != "" {
		return text + p.styled(red, d.IRM) + "  " + d.Comment
	}
	text += p.styled(bold, fmt.Sprintf("%10s", markText(d, r)))
	if d.Split != "finish" {
		text += "  " + d.Split
	}
	for _, c := range r.Competitors {
		if c.Code == d.Competitor && r.Split == d.Split && c.Rank > 0 {
			text += fmt.Sprintf("  rank %d", c.Rank)
		}
	}
	return text
}

// markText formats a mark, a distance with its unit. The Games give marks in the units of
// their records.
func markText(d *score.ResultSet, r *score.Record) string {
	definition := fold.Definition{ResultType: r.ResultType, Unit: r.Unit, Unit2: r.Unit2}
	m, _ := definition.Mark(d)
	text := r.MarkText(m.Value)
	if r.ResultType == "DISTANCE" {
		text += " " + r.Unit
	}
	return text
}

// intro prints what runs and what to try.
func (p *printer) intro(o Options, frontends []localgroup.Frontend, masterID, dir string) {
	var b strings.Builder
	master, other := frontends[0], frontends[1%len(frontends)]
	fmt.Fprintf(&b, "%s\n", p.styled(bold,
		fmt.Sprintf("Three frontends run, a bard posts the Games to them, and %d clients follow.", audienceSize)))
	fmt.Fprintf(&b, "%s\n", p.styled(bold, "Ctrl-C ends everything."))
	for i, f := range frontends {
		note := ""
		if f.ID == masterID {
			note, master, other = "  master", f, frontends[(i+1)%len(frontends)]
		}
		fmt.Fprintf(&b, "  %s  %s  pid %d%s\n", p.styled(bold, f.ID), f.URL(), f.PID, p.styled(green, note))
	}
	fmt.Fprintf(&b, "  data and logs: %s\n", dir)
	command := func(c string) { fmt.Fprintf(&b, "  %s\n", p.styled(cyan, foldCommand(c))) }
	section := func(title string, commands ...string) {
		fmt.Fprintf(&b, "\n%s\n", p.styled(bold, title))
		for _, c := range commands {
			command(c)
		}
	}
	section("The live page (if its frontend dies, it continues at another one):", other.URL()+"/")
	section(fmt.Sprintf("Kill a frontend in another terminal. Its clients move, and return when it is\n"+
		"back, %.0f s later. Then kill the master: another takes over, and nothing is lost.",
		o.Group.RestartAfter.Seconds()),
		o.KillCommand(other.ID), o.KillCommand(master.ID))
	section("Ask any frontend:")
	for i, r := range exampleRequests {
		command(fmt.Sprintf(r, frontends[i%len(frontends)].URL()))
	}
	p.println("%s", b.String())
}

// exampleRequests is shell commands. Each is printed with the URL of another frontend.
var exampleRequests = []string{
	"curl -H 'Accept: text/plain' %s/v1/scores",
	"curl -H 'Accept: text/plain' %s/v1/medals/OG50BC",
	"curl %s/v1/scores/OG50BC/CUR-X-SFNL-01",
	"curl %s/v1/timeline/OG50BC/CUR-X-SFNL-01",
	"curl -N '%s/v1/watch?competition=OG50BC'",
	"curl %s/v1/frontends",
	"curl %s/v1/events -H 'Content-Type: application/json'" +
		` -d '{"type":"alert","contest_id":"OG50BC","data":{"text":"Go, Gaul!"}}'`,
}

// foldCommand breaks a command that is too long for a line so that it can still be pasted
// into a shell.
func foldCommand(command string) string {
	const width = 76
	var b strings.Builder
	for len(command) > width {
		at := strings.LastIndex(command[:width], " -")
		if at <= 0 {
			break
		}
		b.WriteString(command[:at] + " \\\n    ")
		command = command[at+1:]
	}
	return b.String() + command
}
