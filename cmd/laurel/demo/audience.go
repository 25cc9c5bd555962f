package demo

import (
	"context"
	"crypto/tls"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"laurel/client"
	"laurel/cmd/laurel/spectators"
	"laurel/internal/localgroup"
	"laurel/score"
)

const (
	// audienceSize is the number of clients. Each frontend is the home of its share of
	// them; half of those watch.
	audienceSize = 30
	// readsPerSecond is how often one of the other half reads, on average.
	readsPerSecond = 4
)

// audience is a number of clients that follow the Games. Package client moves them to
// another frontend when theirs dies, and home when it is back; the audience only records
// which frontend serves each. It is safe for concurrent use.
type audience struct {
	urls []string
	ids  map[string]string // of the frontends, by their URLs
	tls  *tls.Config       // nil if they have no certificates

	competition atomic.Value // a string: the one that they follow

	mu         sync.Mutex
	spectators []*spectator
	moves      map[string]*move // by the frontend that is left or returned to
}

// spectator is one client. The audience's mutex guards what changes.
type spectator struct {
	home     string
	watching bool

	at       string    // the frontend that serves it; "": none at the moment
	last     string    // the last one that served it, which may be at
	previous string    // the one before that
	since    time.Time // when last began to serve it
}

func newAudience(frontends []localgroup.Frontend) *audience {
	a := &audience{ids: map[string]string{}, moves: map[string]*move{}}
	a.competition.Store("")
	for _, f := range frontends {
		a.urls = append(a.urls, f.URL())
		a.ids[f.URL()] = f.ID
	}
	n := len(frontends)
	for i := range audienceSize {
		a.spectators = append(a.spectators, &spectator{home: frontends[i%n].ID, watching: i/n%2 == 0})
	}
	return a
}

// run runs the clients until ctx ends.
func (a *audience) run(ctx context.Context) error {
	transport := client.NewTransport(audienceSize)
	transport.TLSClientConfig = a.tls
	defer transport.CloseIdleConnections()
	all, ctx := errgroup.WithContext(ctx)
	for i, s := range a.spectators {
		all.Go(func() error {
			// The ith URL, its home's, is asked before it knows the list of frontends.
			c, err := spectators.NewClient(a.urls, i, client.Options{Home: s.home, Transport: transport,
				Attempted: func(t client.Attempt) { a.attempted(s, t) }})
			if err != nil {
				return err
			}
			defer c.Close()
			if !s.watching {
				random := rand.New(rand.NewPCG(1, uint64(i)))
				spectators.AtRandom(ctx, random, readsPerSecond, func(time.Time) {
					// attempted records the outcome.
					_, _ = c.Scores(ctx, score.Filter{Competition: a.followed()}, client.Page{Limit: 20})
				})
			}
			for ctx.Err() == nil {
				a.watch(ctx, s, c)
			}
			return nil
		})
	}
	return all.Wait()
}

func (a *audience) attempted(s *spectator, t client.Attempt) {
	switch {
	case t.Path == "/v1/frontends": // is read beside the rest, from any frontend
	case t.Status == http.StatusOK:
		a.served(s, t.URL, time.Now())
	case t.Status == 0 || t.Status >= http.StatusInternalServerError:
		a.served(s, "", time.Now())
	}
}

// watch watches the competition until another one begins.
func (a *audience) watch(ctx context.Context, s *spectator, c *client.Client) {
	competition := a.followed()
	var w client.WatchOptions // everything, before there is a competition
	if competition != "" {
		w.Competitions = []string{competition}
	}
	for u, err := range c.Watch(ctx, w) {
		switch {
		case err != nil:
			a.served(s, "", time.Now())
			spectators.Sleep(ctx, time.Second)
			return
		case u.Kind == client.UpdateConnected:
			a.served(s, u.Frontend, time.Now())
		case u.Kind == client.UpdateLost && ctx.Err() == nil:
			a.served(s, "", time.Now())
		}
		if a.followed() != competition {
			return
		}
	}
}

func (a *audience) follow(competition string) { a.competition.Store(competition) }

func (a *audience) followed() string { return a.competition.Load().(string) }

// served records that the frontend with a URL serves a client; "": none.
func (a *audience) served(s *spectator, url string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.ids[url]
	if s.at == at {
		return
	}
	if s.at = at; at != "" {
		s.since = now
		if at != s.last {
			s.previous, s.last = s.last, at
		}
	}
}

// distribution is how many clients are at each frontend, at none, and at home.
type distribution struct {
	at      map[string]int
	looking int
	atHome  int
}

func (a *audience) distribution() distribution {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := distribution{at: map[string]int{}}
	for _, id := range a.ids {
		d.at[id] = 0
	}
	for _, s := range a.spectators {
		if s.at == "" {
			d.looking++
			continue
		}
		d.at[s.at]++
		if s.at == s.home {
			d.atHome++
		}
	}
	return d
}

// summary returns what is worth printing when it changes: that all are at home, or which
// frontends serve nobody. While clients look for a frontend, and in other states, it is
// the summary before.
func (d distribution) summary(before string) string {
	empty := ""
	for _, id := range slices.Sorted(maps.Keys(d.at)) {
		if d.at[id] == 0 {
			empty += " " + id
		}
	}
	switch {
	case d.looking > 0:
		return before
	case empty != "":
		return "nobody at" + empty
	case d.atHome == audienceSize:
		return "all at home"
	}
	return before
}

// move is that clients leave a frontend that died, or return to one that is back.
type move struct {
	frontend string
	homeward bool
	clients  []*spectator
	began    time.Time

	// Of a move that is finished:
	moved int      // clients
	to    []string // the frontends that serve them
	took  time.Duration
}

const (
	// awayWithin and homeWithin are the times after which a move that is not finished is
	// printed. A stream waits up to 2 s before it continues elsewhere; clients return
	// home one after the other.
	awayWithin = 10 * time.Second
	homeWithin = 25 * time.Second
	// leftBefore is how long before the death of a frontend its clients may have left it:
	// one that is told to stop takes its time.
	leftBefore = 6 * time.Second
)

// frontendDown begins the move of the clients of a frontend that has died.
func (a *audience) frontendDown(id string, now time.Time) {
	a.beginMove(id, false, now, func(s *spectator) bool {
		justLeft := s.previous == id && s.last != s.home && now.Sub(s.since) < leftBefore
		return s.last == id || justLeft
	})
}

// frontendUp begins the return of the clients whose home is back. Some may be there.
func (a *audience) frontendUp(id string, now time.Time) {
	a.beginMove(id, true, now, func(s *spectator) bool { return s.home == id })
}

// beginMove replaces the move of a frontend by one of the selected clients.
func (a *audience) beginMove(id string, homeward bool, now time.Time, selected func(*spectator) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := &move{frontend: id, homeward: homeward, began: now}
	for _, s := range a.spectators {
		if selected(s) {
			m.clients = append(m.clients, s)
		}
	}
	if delete(a.moves, id); len(m.clients) > 0 {
		a.moves[id] = m
	}
}

// finishedMoves returns and forgets the moves that are complete or have taken too long.
func (a *audience) finishedMoves(now time.Time) (list []*move) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, m := range a.moves {
		if m.finish(now) {
			list = append(list, m)
			delete(a.moves, id)
		}
	}
	return list
}

// finish sets the outcome of the move. It reports false if the move goes on.
func (m *move) finish(now time.Time) bool {
	m.moved, m.to, m.took = 0, nil, 0
	for _, s := range m.clients {
		if s.at != "" && (s.at == m.frontend) == m.homeward {
			m.moved++
			m.to = append(m.to, s.at)
			m.took = max(m.took, s.since.Sub(m.began))
		}
	}
	slices.Sort(m.to)
	m.to = slices.Compact(m.to)
	if m.moved == len(m.clients) {
		return true
	}
	m.took = awayWithin
	if m.homeward {
		m.took = homeWithin
	}
	return now.Sub(m.began) >= m.took
}
