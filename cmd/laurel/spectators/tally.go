package spectators

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"laurel/client"
	"laurel/internal/textfmt"
	"laurel/score"
)

// tally counts what all spectators met with. It is safe for concurrent use.
type tally struct {
	begun time.Time

	mu        sync.Mutex
	all       histogram
	by        map[string]*histogram // by the frontend that answered
	recent    histogram             // since the last progress
	toldThen  int                   // updates until the last progress
	at        time.Time             // of the last progress
	errors    map[string]int
	older     int // answers that were older than what the spectator had seen
	failovers int // reads that went on elsewhere
	home      int
	failures  int // of attempts

	streams, lost, moved, updates int
}

func newTally(now time.Time) *tally {
	return &tally{begun: now, at: now, by: map[string]*histogram{}, errors: map[string]int{}}
}

func (t *tally) served(by string, took time.Duration, older bool) {
	if by == "" {
		by = "(unnamed)"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[by] == nil {
		t.by[by] = &histogram{}
	}
	for _, h := range []*histogram{&t.all, &t.recent, t.by[by]} {
		h.add(took)
	}
	if older {
		t.older++
	}
}

func (t *tally) failed(err error) {
	kind := "no answer"
	if p, ok := errors.AsType[*score.Problem](err); ok {
		kind = string(p.Code)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errors[kind]++
}

func (t *tally) notice(n client.Notice) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch n.Kind {
	case client.NoticeFailed:
		t.failures++
	case client.NoticeFailover:
		t.failovers++
	case client.NoticeWentHome:
		t.home++
	case client.NoticeSent:
		t.moved++
	}
}

// told counts what a stream tells.
func (t *tally) told(u client.Update) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch u.Kind {
	case client.UpdateConnected:
		t.streams++
	case client.UpdateLost:
		t.lost++
	}
	t.updates += len(u.Scores) + len(u.Medals) + len(u.Timeline)
}

func (t *tally) servedNobody() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.n == 0 && t.streams == 0
}

func (t *tally) failedReads() (n int) {
	for _, k := range t.errors {
		n += k
	}
	return n
}

// progress is what has happened since the last one, in a line.
func (t *tally) progress(now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	seconds := max(now.Sub(t.at).Seconds(), 1e-3)
	s := fmt.Sprintf("%4.0f s  %s reads/s  p50 %s  p99 %s  failed %d  failovers %d  went home %d", now.Sub(t.begun).Seconds(), textfmt.Thousands(int(float64(t.recent.n)/seconds)),
		short(t.recent.quantile(0.5)), short(t.recent.quantile(0.99)), t.failedReads(), t.failovers, t.home)
	if t.streams > 0 {
		s += fmt.Sprintf("  streams lost %d  updates/s %s", t.lost, textfmt.Thousands(int(float64(t.updates-t.toldThen)/seconds)))
	}
	t.recent, t.toldThen, t.at = histogram{}, t.updates, now
	return s
}

// report is what happened, when it is over.
func (t *tally) report(now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	seconds := now.Sub(t.begun).Seconds()
	fmt.Fprintf(&b, "reads %s in %.1f s (%s/s), failed %d, older than seen before %d\n", textfmt.Thousands(t.all.n), seconds, textfmt.Thousands(int(float64(t.all.n)/max(seconds, 1e-3))),
		t.failedReads(), t.older)
	for _, kind := range slices.Sorted(maps.Keys(t.errors)) {
		fmt.Fprintf(&b, "  failed with %s: %d\n", kind, t.errors[kind])
	}
	fmt.Fprintf(&b, "failovers %d, went home %d, attempts that failed %d\n", t.failovers, t.home, t.failures)
	if t.streams > 0 {
		fmt.Fprintf(&b, "streams opened %s, lost %d, sent on %d; updates %s\n", textfmt.Thousands(t.streams), t.lost, t.moved, textfmt.Thousands(t.updates))
	}
	if t.all.n == 0 {
		return b.String()
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "served by\treads\tshare\tp50\tp99\tmax\t")
	row := func(name string, h *histogram) {
		fmt.Fprintf(w, "%s\t%s\t%.1f %%\t%s\t%s\t%s\t\n", name, textfmt.Thousands(h.n), 100*float64(h.n)/float64(t.all.n), short(h.quantile(0.5)), short(h.quantile(0.99)), short(h.most))
	}
	for _, name := range slices.Sorted(maps.Keys(t.by)) {
		row(name, t.by[name])
	}
	row("all", &t.all)
	w.Flush()
	return b.String()
}

// parts is in how many parts a doubling of the time is cut: quantiles are true to 5 %.
const parts = 16

// histogram counts durations from a microsecond to more than an hour.
type histogram struct {
	n    int
	most time.Duration
	in   [32 * parts]int
}

func (h *histogram) add(d time.Duration) {
	i := 0
	if d > time.Microsecond {
		i = min(int(math.Log2(float64(d)/float64(time.Microsecond))*parts), len(h.in)-1)
	}
	h.in[i]++
	h.n++
	h.most = max(h.most, d)
}

// quantile is the time within which a part q of all was done; 0 of none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int(math.Ceil(q * float64(h.n)))
	for i, n := range h.in {
		if rank -= n; rank <= 0 && n > 0 {
			return min(h.most, time.Duration(math.Exp2(float64(i+1)/parts)*float64(time.Microsecond)))
		}
	}
	return 0
}

// short writes a duration with about three figures.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
