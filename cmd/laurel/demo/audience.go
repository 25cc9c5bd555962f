package demo

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"laurel/client"
	"laurel/internal/localgroup"
	"laurel/score"
)

const (
	// spectators is how many clients there are: as many at home at each frontend, and half of those watch.
	spectators = 30
	// askEvery is how often one of the other half asks, on average.
	askEvery = 250 * time.Millisecond
)

// audience is clients as other people's programs have them. They go elsewhere when their frontend dies, and home when it is back, by
// themselves: that is package client's doing. Here is only noted where each is served. It is safe for concurrent use.
type audience struct {
	urls []string
	ids  map[string]string // of the frontends, by their URLs

	// changed has room for one word: that somebody is served elsewhere than before.
	changed chan struct{}

	mu          sync.Mutex
	spectators  []*spectator
	competition string              // what they follow
	journeys    map[string]*journey // by the frontend that is left, or come home to
}

// spectator is one client. Its audience guards what changes.
type spectator struct {
	home     string
	watching bool

	at    string    // who serves it; "": nobody at the moment
	last  string    // who served it last, which may be now
	from  string    // who served it before that
	since time.Time // when last began to serve it
}

func newAudience(frontends []localgroup.Frontend) *audience {
	a := &audience{ids: map[string]string{}, changed: make(chan struct{}, 1), journeys: map[string]*journey{}}
	for _, f := range frontends {
		a.urls = append(a.urls, f.URL())
		a.ids[f.URL()] = f.ID
	}
	for i := range spectators {
		a.spectators = append(a.spectators, &spectator{home: frontends[i%len(frontends)].ID, watching: i/len(frontends)%2 == 0})
	}
	return a
}

// attend lets the spectators in. They stay until ctx ends, and are gone when leave returns, which ends it for them.
func (a *audience) attend(ctx context.Context) (leave func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	transport := client.NewTransport(spectators)
	var all sync.WaitGroup
	leave = func() {
		cancel()
		all.Wait()
		transport.CloseIdleConnections()
	}
	for i, s := range a.spectators {
		// Each asks its home first, also while it has not heard yet which one that is.
		home := i % len(a.urls)
		urls := append(slices.Clone(a.urls[home:]), a.urls[:home]...)
		c, err := client.New(urls, client.Options{Home: s.home, Transport: transport, Attempted: func(t client.Attempt) { a.attempted(s, t) }})
		if err != nil {
			leave()
			return nil, err
		}
		all.Go(func() {
			defer c.Close()
			for ctx.Err() == nil {
				if s.watching {
					a.watch(ctx, s, c)
				} else {
					a.ask(ctx, c)
				}
			}
		})
	}
	return leave, nil
}

// attempted notes how a question of a spectator went.
func (a *audience) attempted(s *spectator, t client.Attempt) {
	switch {
	case t.Path == "/v1/frontends": // is asked beside the rest, and of whoever there is
	case t.Status == http.StatusOK:
		a.served(s, t.URL, time.Now())
	case t.Status == 0 || t.Status >= http.StatusInternalServerError:
		a.served(s, "", time.Now())
	}
}

// watch watches what is sung until other Games begin.
func (a *audience) watch(ctx context.Context, s *spectator, c *client.Client) {
	competition := a.following()
	var w client.Watching // everything, before there is anything
	if competition != "" {
		w.Competitions = []string{competition}
	}
	for u, err := range c.Watch(ctx, w) {
		switch {
		case err != nil:
			a.served(s, "", time.Now())
			sleep(ctx, time.Second)
			return
		case u.Kind == client.UpdateConnected:
			a.served(s, u.Frontend, time.Now())
		case u.Kind == client.UpdateLost && ctx.Err() == nil:
			a.served(s, "", time.Now())
		}
		if a.following() != competition {
			return
		}
	}
}

func (a *audience) ask(ctx context.Context, c *client.Client) {
	if sleep(ctx, time.Duration(2*rand.Float64()*float64(askEvery))) {
		_, _ = c.Scores(ctx, score.Filter{Competition: a.following()}, client.Page{Limit: 20}) // how that went, Attempted is told
	}
}

// follow makes the spectators follow other Games.
func (a *audience) follow(competition string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.competition = competition
}

func (a *audience) following() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.competition
}

// served notes who serves a spectator: the frontend with a URL or, if that is "", nobody at the moment.
func (a *audience) served(s *spectator, by string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.ids[by]
	if s.at == at {
		return
	}
	if s.at = at; at != "" {
		s.since = now
		if at != s.last {
			s.from, s.last = s.last, at
		}
	}
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// seats is how many spectators each frontend serves, how many look for one that does, and how many are where they belong.
type seats struct {
	at      map[string]int
	looking int
	atHome  int
}

func (a *audience) seats() seats {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := seats{at: map[string]int{}}
	for _, id := range a.ids {
		s.at[id] = 0
	}
	for _, one := range a.spectators {
		if one.at == "" {
			s.looking++
			continue
		}
		s.at[one.at]++
		if one.at == one.home {
			s.atHome++
		}
	}
	return s
}

// gist is what of the seats is worth a line when it changes: that all are at home, or which frontends have been left by all. Before that is so, it
// stays what it was.
func (s seats) gist(before string) string {
	empty := ""
	for _, id := range slices.Sorted(maps.Keys(s.at)) {
		if s.at[id] == 0 {
			empty += " " + id
		}
	}
	switch {
	case s.looking > 0:
		return before
	case empty != "":
		return "nobody at" + empty
	case s.atHome == spectators:
		return "all at home"
	}
	return before
}
