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

// frontends is what the client knows of the group: the URLs it was given, which it never forgets, and those it learned from the
// group, which it holds for as long as the group names them. One of them is its home.
type frontends struct {
	given  []string
	notify func(Notice)

	mu          sync.Mutex
	known       []frontend // the given ones first
	homeID      string     // which frontend is home; "" until it is chosen
	home        string     // its URL; "" while nobody names it
	choseHome   bool       // the home was chosen here, not by the caller
	visitedHome bool       // a call was answered there
	current     string     // where the last call went well
	learned     bool
	due         time.Time // when the list is to be asked for again
	refreshing  bool
}

type frontend struct {
	url string
	// What the group said of it; the zero values where it did not name it.
	id       string
	state    string
	watchers int
	reads    int // a second

	failed    time.Time // zero: it has not failed since it last answered
	untrusted bool      // it was told that its certificate is not trusted
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
		return nil, errors.New("no frontend is named; want at least one URL, such as http://127.0.0.1:8001")
	}
	return f, nil
}

// baseURL checks the URL of a frontend and brings it into one form, so that the same frontend is known once.
func baseURL(given string) (string, error) {
	s := strings.TrimSpace(given)
	if s != "" && !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q is not the URL of a frontend; want one such as http://127.0.0.1:8001", given)
	}
	return strings.TrimRight(s, "/"), nil
}

// pick is the frontend to try next: home, else the one that answered last, else the best of the others.
func (f *frontends) pick() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, url := range []string{f.home, f.current} {
		if k := f.find(url); k != nil && k.failed.IsZero() {
			return url
		}
	}
	return f.best(f.known).url
}

// pickExcept is pick for a stream whose home may be another than the client's, and which some frontends have refused; "" if all have.
func (f *frontends) pickExcept(home string, refused func(url string) bool) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var left []frontend
	for _, k := range f.known {
		switch {
		case refused(k.url):
		case k.url == home && k.failed.IsZero():
			return home
		default:
			left = append(left, k)
		}
	}
	if len(left) == 0 {
		return ""
	}
	return f.best(left).url
}

// best is the best of some: what serves before what does not or is not known to, what has failed last. Among those that serve the load decides.
func (f *frontends) best(of []frontend) frontend {
	for _, suits := range []func(frontend) bool{
		func(k frontend) bool { return k.failed.IsZero() && k.state == score.Serving },
		func(k frontend) bool { return k.failed.IsZero() && k.state == "" },
		func(k frontend) bool { return k.failed.IsZero() },
	} {
		var list []frontend
		for _, k := range of {
			if suits(k) {
				list = append(list, k)
			}
		}
		switch {
		case len(list) == 0:
		case list[0].state == score.Serving:
			return leastLoaded(list)
		default:
			return list[0]
		}
	}
	return slices.MinFunc(of, func(a, b frontend) int { return a.failed.Compare(b.failed) })
}

// leastLoaded is the one with the fewest watchers, then the fewest reads. Among equals chance decides, and what differs little is equal: the
// numbers are a moment old and the same for all clients, which would otherwise all go to the same one. Reads come and go from one second to
// the next; only when one frontend has many more than another do they say something.
func leastLoaded(list []frontend) frontend {
	list = withLoadUpTo(list, func(k frontend) int { return k.watchers }, func(least int) int { return least + least/10 + 50 })
	list = withLoadUpTo(list, func(k frontend) int { return k.reads }, func(least int) int { return 2*least + 100 })
	return list[mathrand.N(len(list))]
}

// upTo are those whose load is at most what bound makes of the least.
func withLoadUpTo(list []frontend, load func(frontend) int, bound func(least int) int) (some []frontend) {
	most := bound(load(slices.MinFunc(list, func(a, b frontend) int { return cmp.Compare(load(a), load(b)) })))
	for _, k := range list {
		if load(k) <= most {
			some = append(some, k)
		}
	}
	return some
}

// find gives what is known of a URL; f.mu is held.
func (f *frontends) find(url string) *frontend {
	if i := slices.IndexFunc(f.known, func(k frontend) bool { return k.url == url }); i >= 0 {
		return &f.known[i]
	}
	return nil
}

// worked notes that a call was answered.
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

// recovered notes that a frontend answers again.
func (f *frontends) markRecovered(url string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clearFailure(url)
}

func (f *frontends) clearFailure(url string) {
	if k := f.find(url); k != nil {
		k.failed, k.untrusted = time.Time{}, false
	}
}

// broke notes that an attempt came to nothing.
func (f *frontends) markFailed(url string, err error) {
	n := Notice{Kind: NoticeFailed, Frontend: url, Err: err}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		n.Kind = NoticeUntrusted
	}
	f.mu.Lock()
	said := false
	if k := f.find(url); k != nil {
		k.failed = time.Now()
		said = k.untrusted && n.Kind == NoticeUntrusted
		k.untrusted = n.Kind == NoticeUntrusted
	}
	f.mu.Unlock()
	if !said { // that does not change by itself: once is enough
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

func (f *frontends) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.known)
}

// homeOf gives the id and the URL of a home: of the frontend with the given id or, for "", of the client's own. The URL is "" while nobody names it.
func (f *frontends) homeOf(id string) (string, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id == "" || id == f.homeID {
		return f.homeID, f.home
	}
	return id, f.urlOf(id)
}

// urlOf is the URL of a frontend; f.mu is held.
func (f *frontends) urlOf(id string) string {
	if i := slices.IndexFunc(f.known, func(k frontend) bool { return k.id == id }); i >= 0 {
		return f.known[i].url
	}
	return ""
}

// learn takes the group's own list in, and chooses a home from it where there is none. The list is good for about refresh.
func (f *frontends) learn(g score.Frontends, refresh time.Duration) {
	f.mu.Lock()
	old := f.known
	f.known = nil
	add := func(k frontend) {
		if f.find(k.url) != nil {
			return
		}
		if i := slices.IndexFunc(old, func(o frontend) bool { return o.url == k.url }); i >= 0 {
			k.failed, k.untrusted = old[i].failed, old[i].untrusted
		}
		f.known = append(f.known, k)
	}
	var listed []frontend
	for _, m := range g.Frontends {
		if url, err := baseURL(m.URL); err == nil {
			listed = append(listed, frontend{url: url, id: m.ID, state: m.State, watchers: m.Watchers, reads: m.Reads})
		}
	}
	for _, url := range f.given {
		if i := slices.IndexFunc(listed, func(k frontend) bool { return k.url == url }); i >= 0 {
			add(listed[i])
		} else {
			add(frontend{url: url})
		}
	}
	for _, k := range listed {
		add(k)
	}
	f.learned = true
	// Clients that lost the same frontend at the same moment must not all ask, and go home, at the same moment again.
	f.due = time.Now().Add(refresh/2 + mathrand.N(refresh))
	chosen := f.updateHome(g)
	f.mu.Unlock()
	if chosen != "" {
		f.notify(Notice{Kind: NoticeHome, Frontend: chosen})
	}
}

// findHome brings the home up to date with the list, and returns its URL if another was chosen.
func (f *frontends) updateHome(g score.Frontends) (chosen string) {
	member := false
	var serving []frontend
	for _, m := range g.Frontends {
		member = member || m.ID == f.homeID
	}
	for _, k := range f.known {
		if k.id != "" && k.state == score.Serving && k.failed.IsZero() {
			serving = append(serving, k)
		}
	}
	switch {
	case f.homeID != "" && member:
		// A frontend that nobody has heard from has no URL in the list; it is home all the same.
		if url := f.urlOf(f.homeID); url != "" {
			f.home = url
		}
		return ""
	case len(serving) == 0:
		return ""
	}
	k := leastLoaded(serving)
	f.homeID, f.home, f.choseHome, f.visitedHome = k.id, k.url, true, false
	return k.url
}

// mayAdopt gives the id of a frontend that from has sent a stream on to, if that may be the client's home instead of from: the client has chosen
// from by itself, and more have done so than was known.
func (f *frontends) adoptable(from, url string) (id string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.find(url)
	if !f.choseHome || f.home != from || k == nil || k.id == "" {
		return "", false
	}
	return k.id, true
}

// adopt makes another frontend the home.
func (f *frontends) adopt(id, url string) {
	f.mu.Lock()
	f.homeID, f.home, f.visitedHome = id, url, false
	f.mu.Unlock()
	f.notify(Notice{Kind: NoticeHome, Frontend: url})
}
