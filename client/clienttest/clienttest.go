// Package clienttest is a group of frontends in memory, for tests of programs that use package client: it keeps the promises about
// posts (order, exactly once, refusals by the rules of package score) and breaks down where a test tells it to.
// It has none of the rest: no disk, no Raft.
package clienttest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	"laurel/score"
	"laurel/trust/access"
)

// Fault is what goes wrong with a request or an event.
type Fault int

const (
	// None: all is well.
	None Fault = iota
	// Unavailable: it is answered with 503 and no_master.
	Unavailable
	// Busy: it is answered with 429.
	Busy
	// CutBefore: the connection breaks and nothing was done.
	CutBefore
	// CutAfter: it is done, and the connection breaks before the answer is out.
	CutAfter
	// Hang: nothing is done and nothing answered until the client turns away.
	Hang
)

// Group is a group of frontends that share their state. It is safe for concurrent use.
type Group struct {
	Frontends []*Frontend

	mu       sync.Mutex
	fault    func(f *Frontend, r *http.Request, e *score.Event) Fault
	accepted []score.Event
	changed  chan struct{} // closed when more is accepted
	requests []string
	medals   map[string]map[string]*award // by competition and award
	sources  map[string]*source
	contests map[string]*score.Contest
	marks    map[string]*marks // by contest
	keys     []access.KeyView
}

// Frontend is one of the group.
type Frontend struct {
	ID  string
	URL string

	group  *Group
	server *httptest.Server
	// Under the group's lock:
	seen    score.Frontend // what the list says beside the id and the URL
	sendsTo *Frontend      // nil: it has room
	streams map[*stream]bool
}

type source struct {
	last uint64
	id   string
	seqs map[uint64]entry
	ids  map[string]entry
}

type entry struct {
	revision uint64
	seq      uint64
	said     string // type, contest and canonical data
}

// NewGroup starts n frontends, f1, f2 and so on, on loopback ports.
func NewGroup(n int) *Group {
	g := &Group{sources: map[string]*source{}, contests: map[string]*score.Contest{}, marks: map[string]*marks{}, medals: map[string]map[string]*award{}, changed: make(chan struct{})}
	for i := range n {
		f := &Frontend{ID: fmt.Sprintf("f%d", i+1), group: g, streams: map[*stream]bool{}}
		f.seen = score.Frontend{Master: i == 0, Voter: true, State: score.Serving}
		f.server = httptest.NewServer(g.handler(f))
		f.URL = f.server.URL
		g.Frontends = append(g.Frontends, f)
	}
	return g
}

// Close stops the frontends.
func (g *Group) Close() {
	for _, f := range g.Frontends {
		f.Stop()
	}
}

// Stop closes a frontend: its connections break and its port refuses new ones. The list goes on to call it serving until SetState says otherwise.
func (f *Frontend) Stop() {
	f.group.mu.Lock()
	for s := range f.streams {
		s.cancel()
	}
	f.group.mu.Unlock()
	f.server.CloseClientConnections()
	f.server.Close()
}

// Start brings a stopped frontend back at its old URL.
func (f *Frontend) Start() error {
	l, err := net.Listen("tcp", strings.TrimPrefix(f.URL, "http://"))
	if err != nil {
		return fmt.Errorf("frontend %s cannot come back: %w", f.ID, err)
	}
	s := httptest.NewUnstartedServer(f.group.handler(f))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	f.server = s
	return nil
}

// SetState sets what the list says of a frontend: one of score's states, and its load.
func (f *Frontend) SetState(state string, watchers, reads int) {
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	f.seen.State, f.seen.Watchers, f.seen.Reads = state, watchers, reads
}

// URLs are those of all frontends.
func (g *Group) URLs() []string {
	var urls []string
	for _, f := range g.Frontends {
		urls = append(urls, f.URL)
	}
	return urls
}

// Break sets what goes wrong from now on. The function is asked for each request, with a nil event, and for each event that is posted.
func (g *Group) Break(fault func(f *Frontend, r *http.Request, e *score.Event) Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = fault
}

// Accepted are the events that were applied, in order.
func (g *Group) Accepted() []score.Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.accepted)
}

// Requests are the methods, frontends and paths of what was asked, in order: "GET f1 /v1/frontends".
func (g *Group) Requests() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.requests)
}

func (g *Group) goesWrong(f *Frontend, r *http.Request, e *score.Event) Fault {
	g.mu.Lock()
	fault := g.fault
	g.mu.Unlock()
	if fault == nil {
		return None
	}
	return fault(f, r, e)
}

// post applies events in order, all or none or until one is refused.
func (g *Group) post(events []score.Event, mode score.PostMode) (results []score.Result) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if mode == score.AllOrNone && len(events) > 1 {
		trial := g.copy()
		for i := range events {
			if r := trial.apply(&events[i]); r.Problem != nil {
				p := *r.Problem
				p.ID, p.Index = events[i].ID, &i
				return []score.Result{{ID: r.ID, Problem: &p}}
			}
		}
	}
	for i := range events {
		r := g.apply(&events[i])
		results = append(results, r)
		if r.Problem != nil {
			break
		}
	}
	return results
}

// copy shares nothing with g that apply changes.
func (g *Group) copy() *Group {
	c := &Group{accepted: slices.Clone(g.accepted), sources: map[string]*source{}, contests: map[string]*score.Contest{},
		marks: map[string]*marks{}, medals: map[string]map[string]*award{}, changed: make(chan struct{})}
	for name, s := range g.sources {
		d := &source{last: s.last, id: s.id, seqs: map[uint64]entry{}, ids: map[string]entry{}}
		for k, v := range s.seqs {
			d.seqs[k] = v
		}
		for k, v := range s.ids {
			d.ids[k] = v
		}
		c.sources[name] = d
	}
	for id, contest := range g.contests {
		c.contests[id] = contest.Clone()
	}
	for id, list := range g.marks {
		c.marks[id] = list.copy()
	}
	return c
}

func (g *Group) apply(e *score.Event) score.Result {
	if e.Source == "" {
		e.Source = "anonymous"
	}
	s := g.sources[e.Source]
	if s == nil {
		s = &source{seqs: map[uint64]entry{}, ids: map[string]entry{}}
		g.sources[e.Source] = s
	}
	data, err := score.MarshalData(e.Data)
	if err != nil {
		return score.Result{ID: e.ID, Problem: score.Problemf(score.InvalidEvent, "the data cannot be written: %v", err)}
	}
	said := fmt.Sprintf("%s %s %s", e.Type, e.ContestID, data)
	if e.TimeGiven {
		said += e.Time.UTC().String()
	}
	old, known := s.seqs[e.Seq]
	if !known {
		old, known = s.ids[e.ID]
	}
	switch {
	case known && old.said == said && (e.Seq == 0 || e.Seq == old.seq):
		return score.Result{ID: e.ID, Seq: old.seq, Revision: old.revision, Status: score.Duplicate}
	case known:
		return score.Result{ID: e.ID, Problem: score.Problemf(score.IDConflict, "%s has another event with seq %d or id %q", e.Source, e.Seq, e.ID)}
	case e.Seq == 0:
		e.Seq = s.last + 1
	case e.Seq != s.last+1:
		p := score.Problemf(score.SeqGap, "got seq %d of %s; want %d", e.Seq, e.Source, s.last+1)
		p.ExpectedSeq = s.last + 1
		return score.Result{ID: e.ID, Problem: p}
	}
	if p := g.fold(e, uint64(len(g.accepted)+1)); p != nil {
		return score.Result{ID: e.ID, Problem: p}
	}
	g.accepted = append(g.accepted, *e)
	n := entry{uint64(len(g.accepted)), e.Seq, said}
	s.seqs[e.Seq], s.last, s.id = n, e.Seq, e.ID
	if e.ID != "" {
		s.ids[e.ID] = n
	}
	close(g.changed)
	g.changed = make(chan struct{})
	return score.Result{ID: e.ID, Seq: e.Seq, Revision: n.revision, Status: score.Applied}
}

// fold changes the contest that an event is about; other events change nothing that this package shows.
func (g *Group) fold(e *score.Event, revision uint64) *score.Problem {
	c := g.contests[e.ContestID]
	switch d := e.Data.(type) {
	case *score.MedalAward:
		g.award(e.ContestID, d, revision)
		return nil
	case *score.ContestDefine:
		if c == nil {
			c = score.NewContest(e.ContestID)
		}
	case *score.ContestStatus, *score.ScorePlay, *score.ScoreSet:
		if c == nil {
			return score.Problemf(score.NotFound, "there is no contest %q; define it first", e.ContestID)
		}
	case *score.ResultSet:
		if c == nil {
			return nil // a mark of a contest that nobody asks for
		}
	default:
		return nil
	}
	if p := c.Fold(e, g.marksOf(c), score.Live); p != nil {
		return p
	}
	g.marks[e.ContestID].least = c.Definition.LowerIsBetter()
	c.Revision = revision
	g.contests[e.ContestID] = c
	return nil
}
