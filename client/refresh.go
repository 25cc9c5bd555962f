package client

import (
	"context"
	"net/http"
	"slices"
	"time"

	"laurel/score"

	"github.com/go-json-experiment/json"
)

// homeRetry is the time after which a home that has failed is asked for the list again,
// unless the list is refreshed more often.
const homeRetry = time.Second

// refreshOrder returns the frontends in the order in which to ask them for the list. A
// home that has failed a while ago comes first: its response is how the client learns
// that it is back.
func (f *frontends) refreshOrder(refresh time.Duration) []string {
	first := f.pick()
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	if k := find(f.known, f.home); k != nil && !k.failed.IsZero() && time.Since(k.failed) >= min(refresh, homeRetry) {
		list = append(list, k.url)
	}
	list = append(list, first)
	rest := slices.Clone(f.known)
	slices.SortStableFunc(rest, func(a, b frontend) int { return a.failed.Compare(b.failed) })
	for _, k := range rest {
		if !slices.Contains(list, k.url) {
			list = append(list, k.url)
		}
	}
	return list
}

// serves reports whether a list calls the frontend with this URL serving.
func serves(list score.Frontends, url string) bool {
	for _, m := range list.Frontends {
		if u, err := baseURL(m.URL); err == nil && u == url {
			return m.State == score.Serving
		}
	}
	return false
}

// refreshInBackground refreshes the list if it is old or now is true.
func (c *Client) refreshInBackground(now bool) {
	due := now || c.frontends.overdue() >= 0
	if c.ctx.Err() != nil || !due || !c.refreshing.TryLock() {
		return
	}
	c.refreshes.Go(func() {
		defer c.refreshing.Unlock()
		c.refresh(c.ctx)
	})
}

// watchRefreshDelay is how much older the list may get during a watch, which needs it
// only when its connection is lost.
const watchRefreshDelay = time.Minute

func (c *Client) refreshIfOld() {
	if c.frontends.overdue() > watchRefreshDelay {
		c.refreshInBackground(false)
	}
}

func (f *frontends) isLearned() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.due.IsZero()
}

// overdue returns for how long a refresh has been due.
func (f *frontends) overdue() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.due)
}

// refresh requests the list from one frontend after the other, until one has answered. It
// makes one round only; the next call refreshes again.
func (c *Client) refresh(ctx context.Context) {
	for _, url := range c.frontends.refreshOrder(c.o.Refresh) {
		attempt, cancel := context.WithTimeout(ctx, c.o.AttemptTimeout)
		a, err := c.attempt(attempt, url, call{method: http.MethodGet, path: "/v1/frontends"})
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.frontends.markFailed(url, err)
			continue
		}
		var g score.Frontends
		if a.Status != http.StatusOK || json.Unmarshal(a.Body, &g) != nil {
			continue
		}
		if serves(g, url) {
			c.frontends.markRecovered(url)
		}
		c.frontends.learn(g, c.o.Refresh)
		return
	}
}

// Frontends returns the group as one of its frontends sees it.
func (c *Client) Frontends(ctx context.Context) (score.Frontends, error) {
	g, err := get[score.Frontends](ctx, c, "/v1/frontends", nil)
	if err == nil {
		c.frontends.learn(g, c.o.Refresh)
	}
	return g, err
}

// Home returns the id of the client's home; "" while it has none.
func (c *Client) Home() string {
	id, _ := c.frontends.homeOf("")
	return id
}
