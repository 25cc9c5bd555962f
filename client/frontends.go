package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"laurel/score"

	"github.com/go-json-experiment/json"
)

// frontends is what the client knows of the group: the URLs it was given, which it never forgets, and those it learned from the
// group, which it holds for as long as the group names them.
type frontends struct {
	given []string

	mu         sync.Mutex
	known      []frontend // the given ones first
	current    string     // where the last call went well
	learned    time.Time
	refreshing bool
}

type frontend struct {
	url    string
	failed time.Time // zero: it has not failed since it last answered
}

func newFrontends(urls []string) (*frontends, error) {
	f := &frontends{}
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

// pick is the frontend to try next: the one that answered last, else the first that has not failed, else the one whose failure is the oldest.
func (f *frontends) pick() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	best := f.known[0]
	for _, k := range f.known {
		switch {
		case k.failed.IsZero() && k.url == f.current:
			return k.url
		case k.failed.Before(best.failed):
			best = k
		}
	}
	return best.url
}

func (f *frontends) worked(url string) { f.note(url, time.Time{}) }
func (f *frontends) broke(url string)  { f.note(url, time.Now()) }

func (f *frontends) note(url string, failed time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if failed.IsZero() {
		f.current = url
	}
	for i := range f.known {
		if f.known[i].url == url {
			f.known[i].failed = failed
		}
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

// learn takes the group's own list in.
func (f *frontends) learn(group score.Frontends) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.known
	f.known = nil
	add := func(url string) {
		if slices.ContainsFunc(f.known, func(k frontend) bool { return k.url == url }) {
			return
		}
		k := frontend{url: url}
		if i := slices.IndexFunc(old, func(o frontend) bool { return o.url == url }); i >= 0 {
			k = old[i]
		}
		f.known = append(f.known, k)
	}
	for _, url := range f.given {
		add(url)
	}
	for _, m := range group.Frontends {
		if url, err := baseURL(m.URL); err == nil {
			add(url)
		}
	}
	f.learned = time.Now()
}

// stale tells, once, that the list should be asked for again.
func (f *frontends) stale(age time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refreshing || time.Since(f.learned) < age {
		return false
	}
	f.refreshing = true
	return true
}

func (f *frontends) refreshed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refreshing = false
}

// freshen asks for the list of frontends in the background if it is older than age.
func (c *Client) freshen(age time.Duration) {
	if c.ctx.Err() != nil || !c.frontends.stale(age) {
		return
	}
	c.refreshes.Go(func() {
		defer c.frontends.refreshed()
		// One round and no more: the next call asks again.
		for range c.frontends.count() {
			url := c.frontends.pick()
			ctx, cancel := context.WithTimeout(c.ctx, c.o.AttemptTimeout)
			a, err := c.attempt(ctx, url, call{method: "GET", path: "/v1/frontends"})
			cancel()
			var group score.Frontends
			if err == nil && a.status == 200 && json.Unmarshal(a.body, &group) == nil {
				c.frontends.learn(group)
				return
			}
			if c.ctx.Err() != nil {
				return
			}
			if err != nil {
				c.frontends.broke(url)
			}
		}
	})
}

// Frontends asks for the group as one of its frontends sees it.
func (c *Client) Frontends(ctx context.Context) (score.Frontends, error) {
	var group score.Frontends
	if err := c.get(ctx, "/v1/frontends", nil, &group); err != nil {
		return score.Frontends{}, err
	}
	c.frontends.learn(group)
	return group, nil
}
