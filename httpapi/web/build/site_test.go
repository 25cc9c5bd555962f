package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/httpapi/web"
	"laurel/score"
)

// site is a group of frontends that a page can be looked at from: the one below, made for tests, or real ones.
type site interface {
	// URL is where frontend i (0, 1, ...) is; its id is f1, f2, ...
	URL(i int) string
	// Kill ends frontend i at once, Start brings it back to the same address.
	Kill(i int)
	Start(i int)
	// Post has the events applied, each a line of JSON.
	Post(events ...string)
	// Watchers is how many streams frontend i has.
	Watchers(i int) int
}

// fakeSite keeps one state machine and shows it through several HTTP servers, in the way of the interface.
type fakeSite struct {
	t       testing.TB
	machine *fsm.Machine
	fronts  []*fakeFront

	mu       sync.Mutex
	index    uint64
	named    int
	watchers map[*watcher]bool
}

type fakeFront struct {
	site   *fakeSite
	id     string
	addr   string
	server *http.Server // nil while it is dead
	mute   bool         // its streams say nothing any more
}

type watcher struct {
	front *fakeFront
	wake  chan struct{}
}

// heartbeatEvery is shorter than the interface's 5 s, so that nobody waits for long.
const heartbeatEvery = time.Second

func newFakeSite(t testing.TB, size int) *fakeSite {
	m, err := fsm.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeSite{t: t, machine: m, watchers: make(map[*watcher]bool)}
	for i := range size {
		s.fronts = append(s.fronts, &fakeFront{site: s, id: "f" + strconv.Itoa(i+1), addr: "127.0.0.1:0"})
		s.Start(i)
	}
	t.Cleanup(func() {
		for i := range size {
			s.Kill(i)
		}
		eventually(t, "the streams have ended", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.watchers) == 0
		})
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *fakeSite) URL(i int) string { return "http://" + s.fronts[i].addr }

func (s *fakeSite) Kill(i int) {
	s.mu.Lock()
	server := s.fronts[i].server
	s.fronts[i].server = nil
	s.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
}

func (s *fakeSite) Start(i int) {
	f := s.fronts[i]
	ln, err := net.Listen("tcp", f.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	server := &http.Server{Handler: f.handler()}
	s.mu.Lock()
	f.addr, f.server, f.mute = ln.Addr().String(), server, false
	s.mu.Unlock()
	go func() { _ = server.Serve(ln) }()
	s.wakeAll()
}

// Mute makes frontend i silent: its connections stay, and nothing comes.
func (s *fakeSite) Mute(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fronts[i].mute = true
}

func (s *fakeSite) Watchers(i int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for w := range s.watchers {
		if w.front == s.fronts[i] {
			n++
		}
	}
	return n
}

func (s *fakeSite) Post(events ...string) {
	s.t.Helper()
	for _, line := range events {
		e, p := score.Decode([]byte(line))
		if p != nil {
			s.t.Fatalf("%s: %v", line, p)
		}
		s.apply(e)
	}
	s.wakeAll()
}

func (s *fakeSite) apply(e score.Event) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.named++
	if e.ID == "" {
		e.ID = "test-" + strconv.Itoa(s.named)
	}
	if e.Source == "" {
		e.Source = "test"
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	post, err := entry.EncodePost(score.Post{Events: []score.Event{e}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.index++
	out, err := s.machine.Apply([]fsm.Entry{{Index: s.index, Data: entry.Encode([]entry.EncodedPost{post})}}, s.index)
	if err != nil {
		s.t.Fatal(err)
	}
	if p := out[0][0][0].Problem; p != nil {
		s.t.Fatalf("%s was refused: %v", e.ID, p)
	}
}

func (s *fakeSite) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (s *fakeSite) frontends() score.Frontends {
	rev := s.machine.Revision()
	g := score.Frontends{Mode: score.Push, Epoch: 7}
	for i, f := range s.fronts {
		watchers := s.Watchers(i)
		s.mu.Lock()
		m := score.Frontend{ID: f.id, URL: "http://" + f.addr, Peer: "127.0.0.1:900" + strconv.Itoa(i+1), Voter: true, Watchers: watchers, State: score.Unreachable}
		if f.server != nil {
			m.State, m.Leased, m.LeaseMS, m.Revision, m.Pushed, m.Released = score.Serving, true, 183, rev, rev, rev
			if g.Master == "" {
				g.Master, m.Master = f.id, true
			}
		}
		s.mu.Unlock()
		g.Frontends = append(g.Frontends, m)
	}
	return g
}

// data is everything there is, as the frontend f would serve it.
func (s *fakeSite) data(f *fakeFront) web.Data {
	d := web.Data{Frontend: f.id, Frontends: s.frontends(), Store: "fake-" + s.fronts[0].addr}
	err := s.machine.View(func(v *fsm.View) error {
		list, _, err := v.Contests(score.Filter{}, "", 1000)
		if err != nil {
			return err
		}
		d.Scores, d.Revision = list, v.Revision()
		for _, competition := range competitionsOf(list) {
			m, ok, err := v.Medals(competition)
			if err != nil {
				return err
			}
			if ok {
				d.Medals = append(d.Medals, m.Medals())
			}
		}
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
	return d
}

func competitionsOf(list []score.Record) (names []string) {
	for i := range list {
		if c := list[i].Competition; !slices.Contains(names, c) {
			names = append(names, c)
		}
	}
	return names
}

func (f *fakeFront) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if err := web.Page(w, r, f.site.data(f)); err != nil {
			f.site.t.Error(err)
		}
	})
	mux.Handle("GET "+web.AssetsPath, web.Assets())
	mux.HandleFunc("GET /v1/watch", f.watch)
	mux.HandleFunc("GET /v1/frontends", func(w http.ResponseWriter, r *http.Request) { say(w, f.site.frontends()) })
	mux.HandleFunc("GET /v1/leaderboard/{contest...}", f.leaderboard)
	mux.HandleFunc("GET /v1/timeline/{contest...}", func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.ParseUint(r.FormValue("after"), 10, 64)
		_ = f.site.machine.View(func(v *fsm.View) error {
			list, next, err := v.Timeline(r.PathValue("contest"), after, 500)
			answer := struct {
				Events []score.TimelineEvent `json:"events"`
				Next   string                `json:"next"`
			}{list, ""}
			if next != 0 {
				answer.Next = strconv.FormatUint(next, 10)
			}
			say(w, answer)
			return err
		})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cache-Control", "no-cache")
		mux.ServeHTTP(w, r)
	})
}

func say(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}

// watch is a stream as the interface describes it. Its ids are the revision up to which everything was told.
func (f *fakeFront) watch(w http.ResponseWriter, r *http.Request) {
	me := &watcher{f, make(chan struct{}, 1)}
	f.site.mu.Lock()
	f.site.watchers[me] = true
	f.site.mu.Unlock()
	defer func() {
		f.site.mu.Lock()
		delete(f.site.watchers, me)
		f.site.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	out := &eventStream{w: w, front: f, query: r.URL.Query()}
	out.begin()
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for out.alive(r.Context()) {
		out.flush()
		select {
		case <-r.Context().Done():
			return
		case <-me.wake:
			out.changes()
		case <-beat.C:
			out.changes()
			out.heartbeat()
		}
	}
}

type eventStream struct {
	w     http.ResponseWriter
	front *fakeFront
	query url.Values
	told  uint64
	board fakeBoard
	err   error
}

func (o *eventStream) alive(ctx context.Context) bool { return o.err == nil && ctx.Err() == nil }

func (o *eventStream) flush() {
	if o.err == nil {
		o.err = http.NewResponseController(o.w).Flush()
	}
}

func (o *eventStream) send(name string, v any) {
	o.front.site.mu.Lock()
	mute := o.front.mute
	o.front.site.mu.Unlock()
	if mute || o.err != nil {
		return
	}
	b, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(o.w, "event: %s\nid: %d\ndata: %s\n\n", name, o.told, b)
	}
	o.err = err
}

func (o *eventStream) begin() {
	if last, err := strconv.ParseUint(o.query.Get("last_event_id"), 10, 64); err == nil {
		o.told = last
		o.changes()
	} else {
		d := o.data()
		o.told = d.Revision
		o.send("snapshot", map[string]any{"revision": d.Revision, "store": d.Store, "scores": d.Scores, "medals": d.Medals, "timeline": []score.TimelineEvent{}})
	}
	o.leaderboard()
	o.heartbeat()
}

func (o *eventStream) changes() {
	d := o.data()
	since := o.told
	o.told = d.Revision
	for _, r := range d.Scores {
		if r.Revision > since {
			o.send("score", r)
		}
	}
	for _, m := range d.Medals {
		if m.Revision > since {
			o.send("medals", m)
		}
	}
	o.leaderboard()
	o.home()
}

func (o *eventStream) heartbeat() {
	d := o.front.site.data(o.front)
	o.send("heartbeat", map[string]any{"revision": d.Revision, "epoch": 7, "mode": "push", "frontend": o.front.id, "store": d.Store})
}

// home tells a client whose own frontend is back.
func (o *eventStream) home() {
	home := o.query.Get("home")
	for _, m := range o.front.site.frontends().Frontends {
		if home != o.front.id && m.ID == home && m.State == score.Serving {
			o.send("home", map[string]any{"id": m.ID, "url": m.URL})
		}
	}
}

// games are the first n events of the demo's Games.
func games(t testing.TB, from, to int) []string {
	b, err := os.ReadFile("../../../testdata/games/og50bc.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")[from:to]
}
