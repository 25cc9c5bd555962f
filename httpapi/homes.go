package httpapi

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
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
	if len(b.serving) > 0 {
		b.share = float64(total) / float64(len(b.serving))
	}
	return b
}

// elsewhere is the URL at which a new watcher is better served; "" if that is here. Who has been sent once stays.
func (a *API) elsewhere(r *http.Request, q url.Values) string {
	if q.Get("moved") != "" {
		return ""
	}
	b := a.balance()
	if float64(b.own+1) <= b.share*tooMany+someWatchers {
		return ""
	}
	// Any that has less than its share will do: the counts are a moment old, so many who come together must not all go to the same.
	var below []score.Frontend
	for _, f := range b.serving {
		if f.ID != a.group.ID() && float64(f.Watchers) < b.share {
			below = append(below, f)
		}
	}
	if len(below) == 0 {
		return ""
	}
	next := url.Values{"moved": {"1"}}
	maps.Copy(next, q)
	return below[rand.N(len(below))].URL + r.URL.EscapedPath() + "?" + next.Encode()
}

// homes are the homes of guests that serve again, and since when.
type homes map[string]time.Time

// sending is how many watchers are to be sent to a home.
type sending struct {
	home score.Frontend
	some int
}

// decide tells who is to be sent home now. Of the guests, counted by their homes, those who are going are none any more.
func (h homes) decide(b balance, guests map[string]int, going int, now time.Time) (list []sending) {
	for id := range h {
		if _, serves := b.serving[id]; !serves {
			delete(h, id)
		}
	}
	spare := b.own - going - int(b.share*(1+evenEnough)) // who may go before this frontend has too few itself
	for home, count := range guests {
		f, serves := b.serving[home]
		if !serves {
			continue
		}
		if h[home].IsZero() {
			h[home] = now
		}
		if now.Sub(h[home]) < settled {
			continue
		}
		// A home that has its share but less than this frontend takes some too: it has guests of its own to send on, whose homes have room.
		if some := min(spare, (b.own-going-f.Watchers+1)/2, max(1, count/homePart, b.own/homeLeast)); some > 0 {
			list = append(list, sending{f, some})
			spare -= some
		}
	}
	return list
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
	h := homes{}
	for {
		select {
		case <-a.closed:
			return
		case <-tick.C:
		}
		going := a.hub.Departing()
		guests := a.hub.Guests(a.group.ID())
		if len(guests) == 0 {
			clear(h) // the balance need not be looked up
			continue
		}
		for _, s := range h.decide(a.balance(), guests, going, time.Now()) {
			if data, err := json.Marshal(homeData{s.home.ID, s.home.URL}); err == nil {
				a.hub.SendHome(s.home.ID, data, s.some)
			}
		}
	}
}
