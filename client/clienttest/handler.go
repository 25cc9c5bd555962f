package clienttest

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"laurel/score"

	"github.com/go-json-experiment/json"
)

func (g *Group) handler(f *Frontend) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/frontends", g.list)
	mux.HandleFunc("GET /v1/bards/{source...}", g.bard)
	mux.HandleFunc("GET /v1/keys", g.keyList)
	mux.HandleFunc("GET /v1/keys/{id}", g.key)
	mux.HandleFunc("GET /v1/medals/{competition}", g.medalTable)
	mux.HandleFunc("GET /v1/leaderboard/{contest...}", g.leaderboard)
	mux.HandleFunc("GET /v1/watch", f.watch)
	mux.HandleFunc("GET /v1/scores", g.scores)
	mux.HandleFunc("GET /v1/scores/{contest...}", g.score)
	mux.HandleFunc("POST /v1/events", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") == "application/x-ndjson" {
			g.stream(f, w, r)
			return
		}
		g.array(f, w, r)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.requests = append(g.requests, r.Method+" "+f.ID+" "+r.URL.RequestURI())
		g.mu.Unlock()
		w.Header().Set("Laurel-Frontend", f.ID)
		fault := g.goesWrong(f, r, nil)
		if fault == CutAfter {
			mux.ServeHTTP(&deaf{header: http.Header{}}, r)
		}
		if p := suffer(r, fault); p != nil {
			problem(w, p)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// suffer lets a fault happen, unless it is one that can be said; then it is returned.
func suffer(r *http.Request, fault Fault) *score.Problem {
	switch fault {
	case Unavailable:
		return score.Problemf(score.NoMaster, "the group has no master; try again")
	case Busy:
		return score.Problemf(score.RateLimited, "too many events wait already")
	case CutBefore, CutAfter:
		panic(http.ErrAbortHandler)
	case Hang:
		// Only while the body is read does the server see that the client is gone.
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}

// deaf is where an answer goes that nobody gets.
type deaf struct{ header http.Header }

func (d *deaf) Header() http.Header         { return d.header }
func (d *deaf) WriteHeader(int)             {}
func (d *deaf) Write(p []byte) (int, error) { return len(p), nil }

func problem(w http.ResponseWriter, p *score.Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "0")
	}
	w.WriteHeader(p.Status)
	_ = json.MarshalWrite(w, p)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.MarshalWrite(w, v)
}

func (g *Group) list(w http.ResponseWriter, _ *http.Request) {
	l := score.Frontends{Mode: score.Push, Epoch: 1, Master: "f1"}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.Frontends {
		m := f.seen
		m.ID, m.URL, m.Watchers = f.ID, f.URL, m.Watchers+len(f.streams)
		l.Frontends = append(l.Frontends, m)
	}
	answer(w, l)
}

func (g *Group) bard(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("source")
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sources[name]
	if s == nil {
		problem(w, score.Problemf(score.NotFound, "no event of %q is known", name))
		return
	}
	answer(w, score.Bard{Source: name, LastSeq: s.last, LastID: s.id})
}

func (g *Group) score(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("contest")
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.contests[id]
	if c == nil {
		problem(w, score.Problemf(score.NotFound, "there is no contest %q", id))
		return
	}
	answer(w, c.Record())
}

func (g *Group) scores(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f := score.Filter{Competition: q.Get("competition"), Sport: q.Get("sport"), Status: q.Get("status"), Competitor: q.Get("competitor")}
	limit := 100
	if n, err := strconv.Atoi(q.Get("limit")); err == nil {
		limit = n
	}
	var page struct {
		Scores []score.Record `json:"scores"`
		Next   string         `json:"next"`
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(g.contests)) {
		if c := g.contests[id]; id > q.Get("after") && f.Matches(c) {
			if len(page.Scores) == limit {
				page.Next = page.Scores[limit-1].ContestID
				break
			}
			page.Scores = append(page.Scores, c.Record())
		}
	}
	answer(w, page)
}

func (g *Group) array(f *Frontend, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	events, _, p := score.DecodeArray(body)
	if p != nil {
		problem(w, p)
		return
	}
	fault := g.goesWrong(f, r, &events[0])
	var results []score.Result
	if fault == None || fault == CutAfter {
		results = g.post(events, score.AllOrNone)
	}
	if p := suffer(r, fault); p != nil {
		problem(w, p)
		return
	}
	last := results[len(results)-1]
	if last.Problem != nil {
		problem(w, last.Problem)
		return
	}
	answer(w, struct {
		Revision uint64         `json:"revision"`
		Results  []score.Result `json:"results"`
	}{last.Revision, results})
}

func (g *Group) stream(f *Frontend, w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex() // a deaf writer has none
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Connection", "close") // a stream that is left half-way has bytes behind it that are no request
	write := func(res score.Result) {
		b, err := json.Marshal(res)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(append(b, '\n'))
		_ = rc.Flush()
	}
	lines := bufio.NewReader(r.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) == 0 || err != nil && err != io.EOF {
			if err != nil {
				return
			}
			continue
		}
		e, p := score.Decode(line)
		if p != nil {
			write(score.Result{ID: e.ID, Problem: p})
			return
		}
		fault := g.goesWrong(f, r, &e)
		var res score.Result
		if fault == None || fault == CutAfter {
			res = g.post([]score.Event{e}, score.UntilRefused)[0]
		}
		if p := suffer(r, fault); p != nil {
			res = score.Result{ID: e.ID, Problem: p}
		}
		write(res)
		if res.Problem != nil {
			return
		}
	}
}
