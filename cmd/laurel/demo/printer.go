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
	"laurel/score/medal"
)

// printer prints what happens in the demo in lines of at most 80 columns. It is safe for
// concurrent use.
type printer struct {
	mu     sync.Mutex
	w      io.Writer
	colour bool
	ids    []string // of the frontends

	killCommand  func(id string) string // see Options
	restartAfter time.Duration
}

// newPrinter returns a printer that uses colours if w is a terminal whose user wants
// them.
func newPrinter(w io.Writer) *printer {
	f, ok := w.(*os.File)
	colour := ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &printer{w: w, colour: colour}
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
)

func (p *printer) styled(s style, text string) string {
	if !p.colour || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

func (p *printer) padded(s style, text string, width int) string {
	return p.styled(s, fmt.Sprintf("%-*s", width, text))
}

// println formats and prints a line. It ignores errors: when the reader of the output is
// gone, a signal ends the demo.
func (p *printer) println(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format+"\n", args...)
}

func (p *printer) warn(format string, args ...any) {
	p.println("%s", p.styled(red, fmt.Sprintf(format, args...)))
}

func (p *printer) good(format string, args ...any) {
	p.println("%s", p.styled(green, fmt.Sprintf(format, args...)))
}

// notice prints what happened to a frontend.
func (p *printer) notice(n localgroup.Notice) {
	f := n.Frontend
	switch n.Kind {
	case localgroup.Died:
		p.warn("  ** %s (pid %d) ended: %s; restarts in %.0f s", f.ID, f.PID, n.Reason, n.RestartIn.Seconds())
		if n.LogTail != "" {
			p.println("     it had just been started; the end of %s:\n%s", f.Log, n.LogTail)
		}
	case localgroup.Restarted:
		p.good("  ** %s is back with its data, as pid %d", f.ID, f.PID)
	case localgroup.Left:
		p.warn("  ** %s was removed from the group and has ended", f.ID)
	case localgroup.Contradicted:
		p.warn("  ** %s has ended: its data contradict the group", f.ID)
		p.println("     the end of %s:\n%s", f.Log, n.LogTail)
	}
}

// move prints where clients have gone.
func (p *printer) move(r moveResult) {
	clients := plural(r.clients, "client")
	if r.moved < r.clients {
		clients = fmt.Sprintf("%d of %s", r.moved, clients)
	}
	switch {
	case r.homeward && r.moved < r.clients:
		p.println("  ** %s of %s are home again after %.0f s", clients, r.frontend, r.took.Seconds())
	case r.homeward:
		p.good("  ** %s came home to %s %s", clients, r.frontend, r.duration())
	case r.moved < r.clients:
		p.warn("  ** %s of %s are elsewhere after %.0f s; the others still look", clients, r.frontend, r.took.Seconds())
	default:
		p.good("  ** %s moved from %s to %s %s", clients, r.frontend, strings.Join(r.to, " and "), r.duration())
	}
}

// duration describes how long a move took. Clients may have left before their frontend
// ended.
func (r moveResult) duration() string {
	if r.took < 50*time.Millisecond {
		return "at once"
	}
	return fmt.Sprintf("in %.1f s", r.took.Seconds())
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// distribution prints how many clients each frontend serves.
func (p *printer) distribution(d distribution) {
	var b strings.Builder
	for _, id := range p.ids {
		text := fmt.Sprintf("%s %d", id, d.at[id])
		if d.at[id] == 0 {
			text = p.styled(red, text)
		}
		b.WriteString("  " + text)
	}
	if d.looking > 0 {
		b.WriteString(p.styled(red, fmt.Sprintf("  (%d look for one)", d.looking)))
	}
	p.println("%9s%s%s", "", p.styled(green, "clients"), b.String())
}

func (p *printer) newMaster(id string, still bool, after time.Duration) {
	if still {
		p.good("  ** %s is still the master", id)
		return
	}
	when := fmt.Sprintf("%.2f s later", after.Seconds())
	if after < 20*time.Millisecond {
		when = "at once" // a frontend that is told to stop hands over before it ends
	}
	p.good("  ** %s is the master now, %s", id, when)
}

// agreement prints whether the frontends gave the same answer.
func (p *printer) agreement(contestID string, a agreement) {
	alike, silent := strings.Join(a.alike, " "), strings.Join(a.silent, " ")
	switch {
	case len(a.differ) > 0:
		p.warn("%7s  %s: another answer about %s than %s", "", strings.Join(a.differ, " "), contestID, alike)
	case len(a.alike) == 0:
		p.warn("%7s  no answer from %s", "", silent)
	case len(a.silent) > 0:
		p.good("%7s  = %s answer alike at revision %s; no answer from %s", "", alike, a.revision, silent)
	default:
		p.good("%7s  = %s answer alike, byte for byte, at revision %s", "", alike, a.revision)
	}
}

// medals prints a medal table.
func (p *printer) medals(m medal.Standings) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  %s %4s %6s %6s %5s\n", p.padded(bold, "Medals of the "+m.Name, 28),
		p.styled(gold, "gold"), p.styled(silver, "silver"), p.styled(bronze, "bronze"), "total")
	row := func(rank string, r medal.Row) {
		fmt.Fprintf(&b, "  %3s  %-23s %4d %6d %6d %5d\n", rank, r.Organisation, r.Gold, r.Silver, r.Bronze, r.Total)
	}
	for _, r := range m.Rows {
		row(fmt.Sprint(r.Rank), r)
	}
	for _, r := range m.Outside {
		row("-", r)
	}
	p.println("%s", b.String())
}
