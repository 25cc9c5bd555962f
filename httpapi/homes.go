package httpapi

import (
	"cmp"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// Who watches has a home: the frontend that its client goes back to. While it is away, others take its watchers in; when it is back, they send
// them home in small steps, so that the load ends even and nobody rushes.

const (
	// tooMany is how far above its share of the watchers a frontend must be to send new ones elsewhere, and someWatchers by how many at least: below
	// that the counts, which are up to 250 ms old, say nothing.
	tooMany      = 1.2
	someWatchers = 10
	// homeEvery is how often watchers are sent home, and homePart which part of those who are away from one home go at once, or, if
	// that is more, homeLeast which part of all here.
	homeEvery = 500 * time.Millisecond
	homePart  = 8
	homeLeast = 64
	// settled is how long a home must have been back before anybody is sent there.
	settled = time.Second
	// evenEnough is how far from its share a frontend may be without anybody being moved.
	evenEnough = 0.03
)

// loadMeter tells what this frontend carries.
type loadMeter struct {
	api *API

	mu       sync.Mutex
	at       time.Time
	answered uint64
	reads    int
}

// meterSpan is the time over which reads are counted.
const meterSpan = time.Second

func newLoadMeter(a *API) *loadMeter { return &loadMeter{api: a, at: time.Now()} }

func (l *loadMeter) load() score.Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	if span := time.Since(l.at); span >= meterSpan {
		answered := l.api.metrics.reads.answered()
		l.reads = int(float64(answered-l.answered) / span.Seconds())
		l.answered, l.at = answered, time.Now()
	}
	return score.Load{Watchers: l.api.hub.Count(), Reads: l.reads}
}

// balance is how the watchers are spread over the frontends that serve.
type balance struct {
	own     int
	share   float64 // of each
	least   score.Frontend
	serving map[string]score.Frontend
}

func (a *API) balance() balance {
	b := balance{own: a.hub.Count(), serving: map[string]score.Frontend{}}
	total := 0
	for _, f := range a.group.Frontends().Frontends {
		if f.State != score.Serving || f.URL == "" {
			continue
		}
		if f.ID == a.group.ID() {
			f.Watchers = b.own
		}
		b.serving[f.ID] = f
		total += f.Watchers
	}
	if len(b.serving) == 0 {
		return b
	}
	b.share = float64(total) / float64(len(b.serving))
	list := make([]score.Frontend, 0, len(b.serving))
	for _, f := range b.serving {
		list = append(list, f)
	}
	b.least = slices.MinFunc(list, func(x, y score.Frontend) int {
		return cmp.Or(cmp.Compare(x.Watchers, y.Watchers), cmp.Compare(x.ID, y.ID))
	})
	return b
}

// elsewhere is the URL at which a new watcher is better served; "" if that is here. Who has been sent once stays.
func (a *API) elsewhere(r *http.Request, q url.Values) string {
	if q.Get("moved") != "" {
		return ""
	}
	b := a.balance()
	if b.least.ID == "" || b.least.ID == a.group.ID() || float64(b.own+1) <= b.share*tooMany+someWatchers {
		return ""
	}
	// The counts are a moment old, so many who come together must not all go to the same.
	var below []score.Frontend
	for _, f := range b.serving {
		if f.ID != a.group.ID() && float64(f.Watchers) < b.share {
			below = append(below, f)
		}
	}
	if len(below) == 0 {
		return ""
	}
	b.least = below[rand.N(len(below))]
	next := url.Values{"moved": {"1"}}
	for name, values := range q {
		next[name] = values
	}
	return b.least.URL + r.URL.EscapedPath() + "?" + next.Encode()
}

// homeData is the data of the event that sends a watcher home.
type homeData struct {
	ID  string `json:"id"`
	URL string `json:"url"`
}

// sendHome sends watchers home for as long as the API is open.
func (a *API) sendHome() {
	tick := time.NewTicker(homeEvery)
	defer tick.Stop()
	since := map[string]time.Time{} // when a frontend was first seen serving
	for {
		select {
		case <-a.closed:
			return
		case <-tick.C:
		}
		going := a.hub.Going()
		guests := a.hub.Guests(a.group.ID())
		if len(guests) == 0 {
			clear(since)
			continue
		}
		b := a.balance()
		spare := b.own - going - int(b.share*(1+evenEnough)) // who may go before this frontend has too few itself
		for id := range since {
			if _, serves := b.serving[id]; !serves {
				delete(since, id)
			}
		}
		for home, count := range guests {
			f, serves := b.serving[home]
			if !serves {
				continue
			}
			if since[home].IsZero() {
				since[home] = time.Now()
			}
			if time.Since(since[home]) < settled {
				continue
			}
			// A home that has its share but less than this frontend takes some too: it has guests of its own to send on, whose homes have room.
			some := min(spare, (b.own-going-f.Watchers+1)/2, max(1, count/homePart, b.own/homeLeast))
			data, err := json.Marshal(homeData{f.ID, f.URL})
			if err == nil && some > 0 {
				a.hub.SendHome(home, data, some)
				spare -= some
			}
		}
	}
}
