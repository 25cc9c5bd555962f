package spectators

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"laurel/client"
	"laurel/internal/latency"
	"laurel/internal/textfmt"
	"laurel/score"
)

// stats counts how all spectators were served. It is safe for concurrent use.
type stats struct {
	began time.Time

	mu         sync.Mutex
	all        latency.Histogram
	byFrontend map[string]*latency.Histogram // by the frontend that answered
	failures   map[string]int                // reads that failed, by reason
	older      int                           // answers older than what the same spectator had seen
	notices    map[client.NoticeKind]int     // what clients did by themselves
	streams    int                           // that were opened
	lost       int                           // streams
	updates    int

	// Since the last line of progress:
	recent       latency.Histogram
	updatesThen  int       // updates at that time
	progressTime time.Time // of that line
}

func newStats(now time.Time) *stats {
	return &stats{
		began:        now,
		progressTime: now,
		byFrontend:   map[string]*latency.Histogram{},
		failures:     map[string]int{},
		notices:      map[client.NoticeKind]int{},
	}
}

func (s *stats) served(by string, took time.Duration, older bool) {
	if by == "" {
		by = "(unnamed)"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byFrontend[by] == nil {
		s.byFrontend[by] = &latency.Histogram{}
	}
	for _, h := range []*latency.Histogram{&s.all, &s.recent, s.byFrontend[by]} {
		h.Add(took)
	}
	if older {
		s.older++
	}
}

func (s *stats) failed(err error) {
	reason := cmp.Or(string(score.CodeOf(err)), "no answer")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[reason]++
}

func (s *stats) notice(n client.Notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notices[n.Kind]++
}

func (s *stats) update(u client.Update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch u.Kind {
	case client.UpdateConnected:
		s.streams++
	case client.UpdateLost:
		s.lost++
	}
	s.updates += len(u.Scores) + len(u.Medals) + len(u.Timeline)
}

func (s *stats) failedReads() (n int) {
	for _, k := range s.failures {
		n += k
	}
	return n
}

// progress returns a line about the time since the last call.
func (s *stats) progress(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seconds := max(now.Sub(s.progressTime).Seconds(), 1e-3)
	line := fmt.Sprintf("%4.0f s  %s reads/s  p50 %s  p99 %s  failed %d  failovers %d  went home %d",
		now.Sub(s.began).Seconds(), textfmt.Thousands(int(float64(s.recent.Count)/seconds)),
		short(s.recent.Quantile(0.5)), short(s.recent.Quantile(0.99)), s.failedReads(),
		s.notices[client.NoticeFailover], s.notices[client.NoticeWentHome])
	if s.streams > 0 {
		perSecond := int(float64(s.updates-s.updatesThen) / seconds)
		line += fmt.Sprintf("  streams lost %d  updates/s %s", s.lost, textfmt.Thousands(perSecond))
	}
	s.recent, s.updatesThen, s.progressTime = latency.Histogram{}, s.updates, now
	return line
}

// report returns the result of the whole run.
func (s *stats) report(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	seconds := now.Sub(s.began).Seconds()
	fmt.Fprintf(&b, "reads %s in %.1f s (%s/s), failed %d, older than seen before %d\n",
		textfmt.Thousands(s.all.Count), seconds,
		textfmt.Thousands(int(float64(s.all.Count)/max(seconds, 1e-3))), s.failedReads(), s.older)
	for _, reason := range slices.Sorted(maps.Keys(s.failures)) {
		fmt.Fprintf(&b, "  failed with %s: %d\n", reason, s.failures[reason])
	}
	fmt.Fprintf(&b, "failovers %d, went home %d, attempts that failed %d\n",
		s.notices[client.NoticeFailover], s.notices[client.NoticeWentHome], s.notices[client.NoticeFailed])
	if s.streams > 0 {
		fmt.Fprintf(&b, "streams opened %s, lost %d, sent on %d; updates %s\n",
			textfmt.Thousands(s.streams), s.lost, s.notices[client.NoticeRedirected], textfmt.Thousands(s.updates))
	}
	if s.all.Count == 0 {
		return b.String()
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "served by\treads\tshare\tp50\tp99\tmax\t")
	row := func(name string, h *latency.Histogram) {
		fmt.Fprintf(w, "%s\t%s\t%.1f %%\t%s\t%s\t%s\t\n", name, textfmt.Thousands(h.Count),
			100*float64(h.Count)/float64(s.all.Count),
			short(h.Quantile(0.5)), short(h.Quantile(0.99)), short(h.Max))
	}
	for _, name := range slices.Sorted(maps.Keys(s.byFrontend)) {
		row(name, s.byFrontend[name])
	}
	row("all", &s.all)
	w.Flush()
	return b.String()
}

// short formats a duration with about three digits.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
