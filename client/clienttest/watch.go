package clienttest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"laurel/score"

	"github.com/go-json-experiment/json"
)

// stream is one watcher's.
type stream struct {
	home   string // what its client calls home
	cancel context.CancelFunc
	send   chan []byte // whole events, beside what has changed
	muted  chan struct{}
}

// idPrefix is the store that the ids of the streams are of.
const idPrefix = "test-"

// heartbeat is how often a stream says something.
const heartbeat = 100 * time.Millisecond

// watch streams what is watched: contests, medal tables, timelines and windows of leaderboards.
func (f *Frontend) watch(w http.ResponseWriter, r *http.Request) {
	g, q := f.group, r.URL.Query()
	g.mu.Lock()
	to := f.sendsTo
	g.mu.Unlock()
	if to != nil && !q.Has("moved") {
		http.Redirect(w, r, to.URL+"/v1/watch?"+r.URL.RawQuery+"&moved=1", http.StatusTemporaryRedirect)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &stream{home: q.Get("home"), cancel: cancel, send: make(chan []byte, 8), muted: make(chan struct{})}
	g.mu.Lock()
	f.streams[s] = true
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(f.streams, s)
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	out := func(b []byte) {
		_, _ = w.Write(b)
		_ = http.NewResponseController(w).Flush()
	}
	out([]byte("retry: 20\n\n"))
	since, resumes := parseID(r.Header.Get("Last-Event-ID"))
	said := map[string]told{}
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for first := true; ; first = false {
		g.mu.Lock()
		changed := g.changed
		b, revision := g.since(q, since, first && !resumes, said)
		g.mu.Unlock()
		since = revision
		out(b)
		select {
		case <-changed:
		case b := <-s.send:
			out(b)
		case <-tick.C:
			out(event("heartbeat", map[string]any{"revision": since, "epoch": 1, "mode": "push", "frontend": f.ID}))
		case <-s.muted:
			<-ctx.Done()
			return
		case <-ctx.Done():
			return
		}
	}
}

func parseID(id string) (revision uint64, ok bool) {
	number, ok := strings.CutPrefix(id, idPrefix)
	if !ok {
		return 0, false
	}
	revision, err := strconv.ParseUint(number, 10, 64)
	return revision, err == nil
}

func event(name string, data any) []byte {
	b, err := json.Marshal(data)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, b)
}

// since is what has changed behind a revision, or, of windows, what the stream has not said; and the revision up to which that is. g.mu is held.
func (g *Group) since(q url.Values, after uint64, snapshot bool, said map[string]told) ([]byte, uint64) {
	everything := !q.Has("contest") && !q.Has("competition") && !q.Has("medals") && !q.Has("timeline") && !q.Has("leaderboard")
	watches := func(kind, id string) bool {
		return everything || slices.Contains(q[kind], id) || slices.Contains(q["competition"], score.CompetitionOf(id))
	}
	scores, medals, timeline := []score.Record{}, []score.Medals{}, []score.TimelineEvent{}
	for _, id := range slices.Sorted(maps.Keys(g.contests)) {
		if c := g.contests[id]; watches("contest", id) && c.Revision > after {
			scores = append(scores, c.Record())
		}
	}
	for _, competition := range slices.Sorted(maps.Keys(g.medals)) {
		if t := g.table(competition); watches("medals", competition) && t.Revision > after {
			medals = append(medals, t)
		}
	}
	for i, e := range g.accepted {
		if revision := uint64(i + 1); slices.Contains(q["timeline"], e.ContestID) && revision > after {
			data, _ := score.MarshalData(e.Data)
			timeline = append(timeline, score.TimelineEvent{ID: e.ID, Source: e.Source, Seq: e.Seq, Type: e.Type, Time: e.Time, ContestID: e.ContestID, Data: data, Revision: revision})
		}
	}
	windows := g.windows(q, said)
	revision := uint64(len(g.accepted))
	var b []byte
	if snapshot {
		b = event("snapshot", map[string]any{"revision": revision, "scores": scores, "medals": medals, "timeline": timeline, "leaderboards": windows})
	} else {
		for _, r := range scores {
			b = append(b, event("score", r)...)
		}
		for _, m := range medals {
			b = append(b, event("medals", m)...)
		}
		for _, e := range timeline {
			b = append(b, event("timeline", e)...)
		}
		for _, w := range windows {
			b = append(b, event("leaderboard", w)...)
		}
	}
	if len(b) > 0 {
		b = fmt.Appendf(b[:len(b)-1], "id: %s%d\n\n", idPrefix, revision)
	}
	return b, revision
}

// Watchers are the homes of the watchers at a frontend, in no order.
func (f *Frontend) Watchers() []string {
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	var homes []string
	for s := range f.streams {
		homes = append(homes, s.home)
	}
	return homes
}

// SendHome sends the watchers at f whose home is another to it.
func (f *Frontend) SendHome(home *Frontend) {
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	for s := range f.streams {
		if s.home == home.ID {
			s.send <- event("home", map[string]string{"id": home.ID, "url": home.URL})
		}
	}
}

// Say sends an event to all watchers at f, as it is.
func (f *Frontend) Say(name string, data any) {
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	for s := range f.streams {
		s.send <- event(name, data)
	}
}

// Mute lets f's streams fall silent, without ending them.
func (f *Frontend) Mute() {
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	for s := range f.streams {
		close(s.muted)
	}
}

// Drop ends f's streams.
func (f *Frontend) Drop() {
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	for s := range f.streams {
		s.cancel()
	}
}

// SendOn lets f answer new watchers with a redirect to another; nil ends that.
func (g *Group) SendOn(f, to *Frontend) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.sendsTo = to
}
