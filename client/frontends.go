package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"laurel/internal/address"
	"laurel/score"

	"github.com/go-json-experiment/json"
)

// frontends is what the client knows of the group: the URLs that it was given, and those
// that the group lists. One of them is its home.
type frontends struct {
	given   []address.URL
	token   tokenRule
	refresh time.Duration // for about how long a list is valid
	notify  func(Notice)

	mu          sync.Mutex
	known       []frontend // the given ones first
	unused      []string   // the listed ones that may not get the token
	homeID      string     // the id of the home; "" until it is chosen
	home        string     // its URL; "" while that is not known
	choseHome   bool       // the client chose the home, not its caller
	visitedHome bool       // the home has answered a call
	current     string     // the URL that answered the last call
	due         time.Time  // of the next refresh of the list; zero before the first
}

type frontend struct {
	score.Frontend // as the group lists it; zero if it does not

	at        address.URL
	url       string    // at as text
	failed    time.Time // zero if it has not failed since it last answered
	untrusted bool      // the last failure was reported as NoticeUntrusted
}

func newFrontends(urls []string, o Options) (*frontends, error) {
	f := &frontends{homeID: o.Home, token: newTokenRule(o), refresh: o.Refresh, notify: o.Notify}
	for _, given := range urls {
		u, err := address.ParseTyped(given)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(f.given, u) {
			f.given = append(f.given, u)
			f.known = append(f.known, frontend{at: u, url: u.String()})
		}
	}
	if len(f.given) == 0 {
		return nil, errors.New("no frontend is given; want at least one URL, such as http://127.0.0.1:8001")
	}
	return f, nil
}

// pick returns the frontend to try next: the home, else the one that answered last, else
// the best of the others.
func (f *frontends) pick() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return preferred(f.known, f.home, f.current)
}

// pickForWatch is pick without those that refused a watch; "" if all have.
func (f *frontends) pickForWatch(refused func(url string) bool) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(f.known), func(k frontend) bool { return refused(k.url) })
	if len(left) == 0 {
		return ""
	}
	return preferred(left, f.home)
}

// preferred returns the first of the urls whose frontend has not failed and is not
// draining, else the best.
func preferred(list []frontend, urls ...string) string {
	for _, url := range urls {
		if k := find(list, url); k != nil && k.failed.IsZero() && k.State != score.Draining {
			return url
		}
	}
	return best(list).url
}

// serves reports whether a frontend answers, and is believed by the one that sent the list.
func (k frontend) serves() bool {
	return k.failed.IsZero() && k.State == score.Serving && k.PutOut == nil
}

// best returns the best of some frontends: the least loaded of those that serve, else one
// of unknown state, else one that does not serve, else the one that failed first.
func best(of []frontend) frontend {
	serving := slices.DeleteFunc(slices.Clone(of), func(k frontend) bool { return !k.serves() })
	if len(serving) > 0 {
		return leastLoaded(serving)
	}
	return slices.MinFunc(of, func(a, b frontend) int {
		return cmp.Or(a.failed.Compare(b.failed), cmp.Compare(min(len(a.State), 1), min(len(b.State), 1)))
	})
}

// leastLoaded returns a random one of the frontends with about the fewest watchers, then
// the fewest reads. Small differences do not count: all clients have the same numbers, a
// moment old, and would all go to the same frontend. Reads vary from second to second.
func leastLoaded(list []frontend) frontend {
	watchers, reads := func(k frontend) int { return k.Watchers }, func(k frontend) int { return k.Reads }
	list = withLoadUpTo(list, watchers, func(least int) int { return least + least/10 + 50 })
	list = withLoadUpTo(list, reads, func(least int) int { return 2*least + 100 })
	return list[mathrand.N(len(list))]
}

// withLoadUpTo returns the frontends whose load is at most bound(the least load).
func withLoadUpTo(list []frontend, load func(frontend) int, bound func(least int) int) []frontend {
	most := bound(load(slices.MinFunc(list, func(a, b frontend) int { return cmp.Compare(load(a), load(b)) })))
	return slices.DeleteFunc(slices.Clone(list), func(k frontend) bool { return load(k) > most })
}

func find(list []frontend, url string) *frontend {
	if i := slices.IndexFunc(list, func(k frontend) bool { return k.url == url }); i >= 0 {
		return &list[i]
	}
	return nil
}

// markOK notes that a frontend has answered a call, and reports a move.
func (f *frontends) markOK(url string) {
	f.mu.Lock()
	from, home, been := f.current, f.home, f.visitedHome
	f.current, f.visitedHome = url, been || url == home
	f.clearFailure(url)
	f.mu.Unlock()
	switch {
	case from == "" || from == url || url == home && !been:
	case url == home:
		f.notify(Notice{Kind: NoticeWentHome, Frontend: url, From: from})
	default:
		f.notify(Notice{Kind: NoticeFailover, Frontend: url, From: from})
	}
}

func (f *frontends) markRecovered(url string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clearFailure(url)
}

func (f *frontends) clearFailure(url string) {
	if k := find(f.known, url); k != nil {
		k.failed, k.untrusted = time.Time{}, false
	}
}

func (f *frontends) markFailed(url string, err error) {
	n := Notice{Kind: NoticeFailed, Frontend: url, Err: err}
	if errors.As(err, new(*tls.CertificateVerificationError)) {
		n.Kind = NoticeUntrusted
	}
	f.mu.Lock()
	reported := false
	if k := find(f.known, url); k != nil {
		k.failed = time.Now()
		reported = k.untrusted && n.Kind == NoticeUntrusted
		k.untrusted = n.Kind == NoticeUntrusted
	}
	f.mu.Unlock()
	if !reported { // a certificate does not change by itself, so once is enough
		f.notify(n)
	}
}

func (f *frontends) urls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return urlsOf(f.known)
}

func urlsOf(list []frontend) (urls []string) {
	for _, k := range list {
		urls = append(urls, k.url)
	}
	return urls
}

func (f *frontends) knows(url string) bool { return slices.Contains(f.urls(), url) }

func (f *frontends) count() int { return len(f.urls()) }

// unreachable returns the error of a call to which no frontend responded.
func (f *frontends) unreachable(last error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &UnreachableError{Tried: urlsOf(f.known), Unused: slices.Clone(f.unused), Err: last}
}

// allUntrusted reports whether no frontend has a certificate that is trusted. It makes no
// sense to ask them again soon.
func (f *frontends) allUntrusted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !slices.ContainsFunc(f.known, func(k frontend) bool { return !k.untrusted })
}

// homeNow returns the id and the URL of the home; "" while they are not known.
func (f *frontends) homeNow() (id, url string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.homeID, f.home
}

// learn takes in the list that the frontend at url has sent, and chooses a missing home.
func (f *frontends) learn(g score.Frontends, url string) {
	f.mu.Lock()
	old := f.known
	f.known, f.unused = nil, nil
	for _, at := range f.given {
		f.known = append(f.known, frontend{at: at, url: at.String()})
	}
	for _, m := range g.Frontends {
		at, err := address.Parse(m.URL)
		if err != nil {
			continue
		}
		switch k := find(f.known, at.String()); {
		case k != nil:
			k.Frontend = m
		case f.admits(at):
			f.known = append(f.known, frontend{Frontend: m, at: at, url: at.String()})
		default:
			f.unused = append(f.unused, at.String())
		}
	}
	for i := range f.known {
		k := &f.known[i]
		// A frontend that says of itself that it serves has recovered.
		if was := find(old, k.url); was != nil && (k.url != url || k.State != score.Serving) {
			k.failed, k.untrusted = was.failed, was.untrusted
		}
	}
	// Jitter: clients that lost the same frontend at the same time must not all refresh,
	// and return home, at the same time.
	f.due = time.Now().Add(f.refresh/2 + mathrand.N(f.refresh))
	chosen := f.updateHome(g)
	f.mu.Unlock()
	if chosen != "" {
		f.notify(Notice{Kind: NoticeHome, Frontend: chosen})
	}
}

// updateHome updates the home from the list. It returns its URL if it chose another one.
func (f *frontends) updateHome(g score.Frontends) (chosen string) {
	i := slices.IndexFunc(g.Frontends, func(m score.Frontend) bool { return m.ID == f.homeID })
	if f.homeID != "" && i >= 0 {
		// It stays the home while the group does not know its URL.
		if u, err := address.Parse(g.Frontends[i].URL); err == nil {
			f.home = u.String()
		}
		return ""
	}
	serving := slices.DeleteFunc(slices.Clone(f.known), func(k frontend) bool { return k.ID == "" || !k.serves() })
	if len(serving) == 0 {
		return ""
	}
	k := leastLoaded(serving)
	f.homeID, f.home, f.choseHome, f.visitedHome = k.ID, k.url, true, false
	return k.url
}

// replaceHome makes the frontend at url, to which the home at from has redirected the
// first watch, the home. It does so only if the client itself chose from, which had less
// room than the list said.
func (f *frontends) replaceHome(from, url string) bool {
	f.mu.Lock()
	k := find(f.known, url)
	replace := f.choseHome && f.home == from && k != nil && k.ID != ""
	if replace {
		f.homeID, f.home, f.visitedHome = k.ID, url, false
	}
	f.mu.Unlock()
	if replace {
		f.notify(Notice{Kind: NoticeHome, Frontend: url})
	}
	return replace
}

// homeRetry is the time after which a home that has failed is asked for the list again,
// unless the list is refreshed more often.
const homeRetry = time.Second

// refreshOrder returns the frontends in the order in which to ask them for the list: the
// one that calls go to, then the others. A home that has failed a while ago comes first:
// its response is how the client learns that it is back.
func (f *frontends) refreshOrder() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := preferred(f.known, f.home, f.current)
	rank := func(k frontend) int {
		switch {
		case k.url == f.home && !k.failed.IsZero() && time.Since(k.failed) >= min(f.refresh, homeRetry):
			return 0
		case k.url == first:
			return 1
		}
		return 2
	}
	order := slices.Clone(f.known)
	slices.SortStableFunc(order, func(a, b frontend) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.failed.Compare(b.failed))
	})
	return urlsOf(order)
}

// overdue returns for how long a refresh has been due.
func (f *frontends) overdue() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.due)
}

// refreshInBackground refreshes the list if it is old or now is true.
func (c *Client) refreshInBackground(now bool) {
	if !now && c.frontends.overdue() < 0 || !c.refreshing.TryLock() {
		return
	}
	go func() {
		defer c.refreshing.Unlock()
		if c.ctx.Err() == nil { // Close has waited for those before only
			c.refresh(c.ctx)
		}
	}()
}

// waitForRefresh returns when no list is being asked for.
func (c *Client) waitForRefresh() {
	c.refreshing.Lock()
	defer c.refreshing.Unlock()
}

// refresh requests the list from one frontend after the other, until one has answered. It
// makes one round only; the next call refreshes again.
func (c *Client) refresh(ctx context.Context) {
	for _, url := range c.frontends.refreshOrder() {
		a, err := c.attempt(ctx, url, call{method: http.MethodGet, path: "/v1/frontends"})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.frontends.markFailed(url, err)
			continue
		}
		var g score.Frontends
		if a.status == http.StatusOK && json.Unmarshal(a.body, &g) == nil {
			c.frontends.learn(g, url)
			return
		}
	}
}

// Frontends returns the group as one of its frontends sees it.
func (c *Client) Frontends(ctx context.Context) (score.Frontends, error) {
	g, err := get[score.Frontends](ctx, c, "/v1/frontends", nil)
	if err == nil {
		c.frontends.learn(g, "")
	}
	return g, err
}

// Home returns the id of the client's home; "" while it has none.
func (c *Client) Home() string {
	id, _ := c.frontends.homeNow()
	return id
}
