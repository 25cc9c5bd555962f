package client

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"laurel/score"
)

// frontends is what the client knows of the group: the URLs that it was given, and those
// that the group lists. One of them is its home.
type frontends struct {
	given  []string
	notify func(Notice)

	mu          sync.Mutex
	known       []frontend // the given ones first
	homeID      string     // the id of the home; "" until it is chosen
	home        string     // its URL; "" while that is not known
	choseHome   bool       // the client chose the home, not its caller
	visitedHome bool       // the home has answered a call
	current     string     // the URL that answered the last call
	due         time.Time  // of the next refresh of the list; zero before the first
}

type frontend struct {
	url string
	// As the group lists it; zero values if it does not.
	id       string
	state    string
	watchers int
	reads    int // a second

	failed    time.Time // zero if it has not failed since it last answered
	untrusted bool      // the last failure was reported as NoticeUntrusted
}

func newFrontends(urls []string, home string, notify func(Notice)) (*frontends, error) {
	f := &frontends{homeID: home, notify: notify}
	for _, given := range urls {
		u, err := baseURL(given)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(f.given, u) {
			f.given = append(f.given, u)
			f.known = append(f.known, frontend{url: u})
		}
	}
	if len(f.given) == 0 {
		return nil, errors.New("no frontend is given; want at least one URL, such as http://127.0.0.1:8001")
	}
	return f, nil
}

// baseURL validates the URL of a frontend and returns its normal form, so that each
// frontend is known once.
func baseURL(given string) (string, error) {
	s := strings.TrimSpace(given)
	if s != "" && !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q is not the URL of a frontend; want one such as http://127.0.0.1:8001", given)
	}
	return strings.TrimRight(s, "/"), nil
}

// pick returns the frontend to try next: the home, else the one that answered last, else
// the best of the others.
func (f *frontends) pick() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, url := range []string{f.home, f.current} {
		if k := find(f.known, url); k != nil && k.failed.IsZero() {
			return url
		}
	}
	return best(f.known).url
}

// pickExcept is pick for a watch, whose home may be another than the client's, and which
// some frontends have refused. It returns "" if all have.
func (f *frontends) pickExcept(home string, refused func(url string) bool) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(f.known), func(k frontend) bool { return refused(k.url) })
	if len(left) == 0 {
		return ""
	}
	if k := find(left, home); k != nil && k.failed.IsZero() {
		return home
	}
	return best(left).url
}

// serves reports whether a frontend serves, as far as the client knows.
func (k frontend) serves() bool { return k.failed.IsZero() && k.state == score.Serving }

// best returns the best of some frontends: the least loaded of those that serve, else one
// of unknown state, else one that does not serve, else the one that failed first.
func best(of []frontend) frontend {
	serving := slices.DeleteFunc(slices.Clone(of), func(k frontend) bool { return !k.serves() })
	if len(serving) > 0 {
		return leastLoaded(serving)
	}
	return slices.MinFunc(of, func(a, b frontend) int {
		return cmp.Or(a.failed.Compare(b.failed), cmp.Compare(min(len(a.state), 1), min(len(b.state), 1)))
	})
}

// leastLoaded returns a random one of the frontends with about the fewest watchers, then
// the fewest reads. Small differences do not count: all clients have the same numbers, a
// moment old, and would all go to the same frontend. Reads vary from second to second.
func leastLoaded(list []frontend) frontend {
	watchers, reads := func(k frontend) int { return k.watchers }, func(k frontend) int { return k.reads }
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
	list := make([]string, len(f.known))
	for i, k := range f.known {
		list[i] = k.url
	}
	return list
}

func (f *frontends) count() int { return len(f.urls()) }

// homeOf returns the id and the URL of a home: of the frontend with the id or, for "", of
// the client's own. The URL is "" while it is not known.
func (f *frontends) homeOf(id string) (string, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id == "" || id == f.homeID {
		return f.homeID, f.home
	}
	return id, f.urlOf(id)
}

// urlOf returns the URL of a frontend, or "". f.mu must be held.
func (f *frontends) urlOf(id string) string {
	if i := slices.IndexFunc(f.known, func(k frontend) bool { return k.id == id }); i >= 0 {
		return f.known[i].url
	}
	return ""
}

// learn takes in the group's list, and chooses a home from it if there is none. The list
// is valid for about refresh.
func (f *frontends) learn(g score.Frontends, refresh time.Duration) {
	f.mu.Lock()
	old := f.known
	f.known = nil
	for _, url := range f.given {
		f.known = append(f.known, frontend{url: url})
	}
	for _, m := range g.Frontends {
		url, err := baseURL(m.URL)
		if err != nil {
			continue
		}
		k := find(f.known, url)
		if k == nil {
			f.known = append(f.known, frontend{url: url})
			k = &f.known[len(f.known)-1]
		}
		k.id, k.state, k.watchers, k.reads = m.ID, m.State, m.Watchers, m.Reads
	}
	for i := range f.known {
		if k := find(old, f.known[i].url); k != nil {
			f.known[i].failed, f.known[i].untrusted = k.failed, k.untrusted
		}
	}
	// Jitter: clients that lost the same frontend at the same time must not all refresh,
	// and return home, at the same time.
	f.due = time.Now().Add(refresh/2 + mathrand.N(refresh))
	chosen := f.updateHome(g)
	f.mu.Unlock()
	if chosen != "" {
		f.notify(Notice{Kind: NoticeHome, Frontend: chosen})
	}
}

// updateHome updates the home from the list. It returns the URL of the home if it chose
// another one.
func (f *frontends) updateHome(g score.Frontends) (chosen string) {
	isHome := func(m score.Frontend) bool { return m.ID == f.homeID }
	if f.homeID != "" && slices.ContainsFunc(g.Frontends, isHome) {
		// A frontend whose URL the group does not know yet has none in the list. It stays
		// the home.
		f.home = cmp.Or(f.urlOf(f.homeID), f.home)
		return ""
	}
	serving := slices.DeleteFunc(slices.Clone(f.known), func(k frontend) bool { return k.id == "" || !k.serves() })
	if len(serving) == 0 {
		return ""
	}
	k := leastLoaded(serving)
	f.homeID, f.home, f.choseHome, f.visitedHome = k.id, k.url, true, false
	return k.url
}

// adoptable returns the id of the frontend at url, to which from has redirected a watch,
// if it may become the client's home instead of from. That is so if the client itself
// chose from, which had less room than the list said.
func (f *frontends) adoptable(from, url string) (id string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := find(f.known, url)
	if !f.choseHome || f.home != from || k == nil || k.id == "" {
		return "", false
	}
	return k.id, true
}

func (f *frontends) adopt(id, url string) {
	f.mu.Lock()
	f.homeID, f.home, f.visitedHome = id, url, false
	f.mu.Unlock()
	f.notify(Notice{Kind: NoticeHome, Frontend: url})
}
