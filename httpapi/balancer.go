package httpapi

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/httpapi/handler"
	"laurel/httpapi/watch"
	"laurel/internal/address"
	"laurel/score"
)

// A watcher has a home: the frontend to which its client returns. While that is away,
// other frontends take its watchers; when it is back, they send them home in small steps,
// so that the load becomes even without a rush.

const (
	// A frontend sends new watchers elsewhere if it has more than maxLoad times its share
	// and minExcess more. The counts are up to 250 ms old, so small numbers mean little.
	maxLoad   = 1.2
	minExcess = 10
	// homeInterval is how often watchers are sent home. A guestFraction-th of the guests
	// from one home go at once, or an ownFraction-th of all watchers if that is more.
	homeInterval  = 500 * time.Millisecond
	guestFraction = 8
	ownFraction   = 64
	// settleTime is how long a home must have been back before watchers are sent there.
	settleTime = time.Second
	// A frontend that drains sends its watchers to others within drainSteps times
	// homeInterval, at least drainLeast of them at once, and ends the streams of those that
	// do not go within leaveTime.
	drainSteps = 6
	drainLeast = 16
	leaveTime  = 2 * time.Second
	// tolerance is how far a frontend may be from its share without watchers being moved.
	tolerance = 0.03
)

type balancer struct {
	url      address.URL // of this frontend
	direct   bool        // see Options.Direct
	status   Status
	hub      *watch.Hub
	counters readCounters
	reads    atomic.Int64 // answered in a second
	steps    int          // of draining that are done
}

func (b *balancer) load() score.Load {
	return score.Load{Watchers: b.hub.Count(), Reads: int(b.reads.Load())}
}

// balance is how the watchers are spread over the serving frontends, without those that
// this one has put out.
type balance struct {
	own      int
	draining bool    // this frontend is
	share    float64 // of each frontend
	serving  map[string]score.Frontend
}

func (b *balancer) balance() balance {
	now := balance{own: b.hub.Count(), serving: map[string]score.Frontend{}}
	total := 0
	for _, f := range b.status.Frontends().Frontends {
		if f.ID == b.status.ID() && f.State == score.Draining {
			now.draining = true
		}
		if f.State != score.Serving || f.URL == "" || f.PutOut != nil {
			continue
		}
		if f.ID == b.status.ID() {
			f.Watchers = now.own
		}
		now.serving[f.ID] = f
		total += f.Watchers
	}
	if len(now.serving) > 0 {
		now.share = float64(total) / float64(len(now.serving))
	}
	return now
}

// canSend reports whether the client of a request can be sent to the URLs of other
// frontends: it has come by the URL of this one. Behind a proxy or by another name it may
// have no way to them. A session is of no use there: browsers send its cookie to the origin
// of the page only.
func (b *balancer) canSend(r *handler.Request) bool {
	_, hr := r.Transport()
	if r.Caller != nil && r.Caller.Session {
		return false
	}
	scheme := "http"
	if r.Peer().Encrypted() {
		scheme = "https"
	}
	return b.url.Serves(scheme, hr.Host) && !(b.direct && cameByProxy(hr))
}

// cameByProxy reports whether a proxy has passed a request on. Some proxies give their
// own address of the frontend as Host, and speak HTTP/1.0.
func cameByProxy(r *http.Request) bool {
	signs := []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"}
	return r.ProtoMajor == 1 && r.ProtoMinor == 0 ||
		slices.ContainsFunc(signs, func(name string) bool { return len(r.Header[name]) > 0 })
}

// reaches returns the URL of another frontend if clients of this one can be sent there.
func (b *balancer) reaches(f *score.Frontend) (u address.URL, ok bool) {
	u, err := address.Parse(f.URL)
	return u, err == nil && f.ID != b.status.ID() && b.url.Reaches(u)
}

// home returns the home that the client of a request names, "" if it cannot be sent there.
func (b *balancer) home(r *handler.Request, q url.Values) string {
	if !b.canSend(r) {
		return ""
	}
	return q.Get("home")
}

// elsewhere returns the URL at which a new watcher is served better, "" if that is here.
// A watcher is sent elsewhere once.
func (b *balancer) elsewhere(r *handler.Request, q url.Values) string {
	if q.Get("moved") != "" || !b.canSend(r) {
		return ""
	}
	now := b.balance()
	if !now.draining && float64(now.own+1) <= now.share*maxLoad+minExcess {
		return ""
	}
	// Any frontend below its share will do, or any at all if this one drains. The counts
	// are a moment old, so watchers that come together must not all go to the same one.
	var below []address.URL
	for _, f := range now.serving {
		if u, ok := b.reaches(&f); ok && (now.draining || float64(f.Watchers) < now.share) {
			below = append(below, u)
		}
	}
	if len(below) == 0 {
		return ""
	}
	next := url.Values{"moved": {"1"}}
	maps.Copy(next, q)
	return below[rand.N(len(below))].String() + r.Path + "?" + next.Encode()
}

// homes are the homes of guests that serve again, and since when.
type homes map[string]time.Time

type move struct {
	home  score.Frontend
	count int
}

// decide returns which watchers to send home now. guests are counted by their homes,
// without the departing watchers, which were sent home but are still here.
func (h homes) decide(b balance, guests map[string]int, departing int, now time.Time) (moves []move) {
	maps.DeleteFunc(h, func(id string, _ time.Time) bool { return b.serving[id].ID == "" })
	spare := b.own - departing - int(b.share*(1+tolerance)) // how many may go until this frontend has too few
	for home, count := range guests {
		f, serves := b.serving[home]
		if !serves {
			continue
		}
		if h[home].IsZero() {
			h[home] = now
		}
		if now.Sub(h[home]) < settleTime {
			continue
		}
		// A home that has its share but fewer watchers than this frontend takes some,
		// too: it has guests of its own to send on to homes with room.
		n := min(spare, (b.own-departing-f.Watchers+1)/2, max(1, count/guestFraction, b.own/ownFraction))
		if n > 0 {
			moves = append(moves, move{f, n})
			spare -= n
		}
	}
	return moves
}

// run counts reads and sends watchers home until stop is closed.
func (b *balancer) run(stop <-chan struct{}) {
	tick := time.NewTicker(homeInterval)
	defer tick.Stop()
	h := homes{}
	for before := b.counters.answered(); ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		answered := b.counters.answered()
		b.reads.Store(int64(float64(answered-before) / homeInterval.Seconds()))
		before = answered
		if now := b.balance(); now.draining {
			b.drain(now)
		} else {
			b.steps = 0
			b.sendHome(h)
		}
	}
}

// drains reports whether this frontend is draining and others serve, to which it sends its
// clients. Without others it goes on to take watchers.
func (b *balancer) drains() bool {
	now := b.balance()
	return now.draining && len(now.serving) > 0
}

// drain sends a part of the watchers to other frontends: by the event with which they are
// sent home, which a client follows without a gap, or by the end of their stream.
func (b *balancer) drain(now balance) {
	if len(now.serving) == 0 {
		return
	}
	var to [][]byte
	for _, f := range now.serving {
		if _, ok := b.reaches(&f); !ok {
			continue
		}
		data, err := json.Marshal(map[string]string{"id": f.ID, "url": f.URL}, json.Deterministic(true))
		if err == nil {
			to = append(to, data)
		}
	}
	left := max(drainSteps-b.steps, 1)
	b.steps++
	b.hub.SendAway(to, max(drainLeast, (now.own+left-1)/left), leaveTime)
}

func (b *balancer) sendHome(h homes) {
	departing := b.hub.Departing()
	guests := b.hub.Guests(b.status.ID())
	if len(guests) == 0 {
		clear(h) // without guests the balance does not matter
		return
	}
	now := b.balance()
	maps.DeleteFunc(guests, func(home string, _ int) bool {
		f := now.serving[home]
		_, ok := b.reaches(&f)
		return !ok
	})
	for _, m := range h.decide(now, guests, departing, time.Now()) {
		home := map[string]string{"id": m.home.ID, "url": m.home.URL}
		if data, err := json.Marshal(home, json.Deterministic(true)); err == nil {
			b.hub.SendHome(m.home.ID, data, m.count)
		}
	}
}
