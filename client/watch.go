package client

import (
	"context"
	"errors"
	"iter"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"laurel/score"
)

// Watching is what a watch is about. Without any subject it is everything: all contests and all medal tables.
type WatchOptions struct {
	Contests     []string
	Competitions []string // all their contests, and their medal tables
	Medals       []string // competitions
	Timelines    []string // contests, every event of theirs
	Leaderboards []string // ranked contests, at most ten
	// Part is the part of each leaderboard. Without a limit it has ten rows; it cannot have more than a hundred, and After does not count.
	Part BoardPart
	Home string // the id of the frontend to be at, as far as it can be; "": the client's home
}

func (w WatchOptions) query() url.Values {
	q := url.Values{}
	if len(w.Leaderboards) > 0 {
		w.Part.After = ""
		q = LeaderboardQuery(w.Part)
	}
	for name, list := range map[string][]string{"contest": w.Contests, "competition": w.Competitions, "medals": w.Medals, "timeline": w.Timelines, "leaderboard": w.Leaderboards} {
		if len(list) > 0 {
			q[name] = list
		}
	}
	return q
}

// UpdateKind is what an Update tells.
type UpdateKind string

// Kinds of updates.
const (
	// UpdateSnapshot: Scores, Medals, Timeline and Leaderboards have all that is watched. One that comes after a connection was lost has what is new.
	UpdateSnapshot UpdateKind = "snapshot"
	// UpdateScore: Scores has one contest that has changed, whole.
	UpdateScore UpdateKind = "score"
	// UpdateMedals: Medals has one table that has changed, whole.
	UpdateMedals UpdateKind = "medals"
	// UpdateTimeline: Timeline has one new event.
	UpdateTimeline UpdateKind = "timeline"
	// UpdateLeaderboard: Leaderboards has one part of a leaderboard in which something has changed, whole.
	UpdateLeaderboard UpdateKind = "leaderboard"
	// UpdateHeartbeat: all is well, and Beat tells how the frontend stands. It comes every few seconds.
	UpdateHeartbeat UpdateKind = "heartbeat"
	// UpdateConnected: from now on what comes is from Frontend.
	UpdateConnected UpdateKind = "connected"
	// UpdateLost: nothing comes any more from Frontend, for Err; the watch connects again in Wait, there or elsewhere.
	UpdateLost UpdateKind = "lost"
)

// Update is one thing that a watch tells. Members that do not belong to its kind are zero.
type Update struct {
	Kind     UpdateKind
	Scores   []score.Record
	Medals   []score.Medals
	Timeline []score.TimelineEvent
	// Leaderboards are told at most about twice a second each.
	Leaderboards []Window
	// Anew, of a snapshot: it is of another store than what came before, which is void.
	NewStore bool
	Beat     Beat
	// Frontend is the URL of the frontend that this is from or about. AtHome tells whether it is the watch's home, whose id is Home where it is known.
	Frontend string
	Home     string
	AtHome   bool
	Err      error
	Wait     time.Duration
}

// Beat is what a heartbeat says.
type Beat struct {
	Revision uint64          `json:"revision"`
	Epoch    uint64          `json:"epoch"`
	Mode     score.CacheMode `json:"mode"`
	Frontend string          `json:"frontend"` // its id
}

const (
	// silence is after what time without a word a stream is lost: the server's heartbeat comes every 5 s.
	silence = 12 * time.Second
	// watchBegin is what a frontend may need for the beginning of a stream beside the time of any request: it may have to catch up with
	// what the watcher has seen elsewhere.
	watchBegin = 2 * time.Second
	// retryDefault is the first bound of the wait before connecting again, where the server has not asked for one.
	retryDefault = 500 * time.Millisecond
	// retryMost is the bound that it grows to.
	retryMax = 10 * time.Second
)

// Watch tells what is watched and all that changes of it, until ctx ends, the caller breaks off, or the frontends refuse it, which is the last
// item's error, a *score.Problem. When a connection is lost it goes on at another frontend, where the last one ended: no change is left
// out, none comes twice, and a record never goes back to a lower revision. A caller that takes its time is told the latest of each
// record and leaderboard, not all that was between; of timelines it is told every event.
//
// When a home comes back, the frontend that has taken in its watchers sends them there.
func (c *Client) Watch(ctx context.Context, w WatchOptions) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s := &watch{c: c, options: w, ctx: ctx, yield: yield, refused: map[string]time.Time{}, retry: retryDefault}
		s.run()
	}
}

// watch is a Watch that is going on. It runs in its caller's goroutine.
type watch struct {
	c         *Client
	options   WatchOptions
	ctx       context.Context
	yield     func(Update, error) bool
	brokenOff bool // the caller has broken off

	dedup   dedup
	lastID  string
	retry   time.Duration        // what the server asked for
	lastURL string               // where the last stream was
	refused map[string]time.Time // until when frontends want to be left alone
}

func (s *watch) run() {
	if !s.c.frontends.isLearned() {
		s.c.refresh(s.ctx) // so as to know where home is
	}
	var last error
	for round, tries := 0, 0; !s.ended(); {
		url := s.pickFrontend()
		if url != "" {
			conn, err := s.connect(url)
			if err == nil {
				url, last = s.listen(conn)
				round, tries = 0, s.c.frontends.count()
			} else {
				last, tries = err, tries+1
				s.connectFailed(url, err)
			}
			if isFinal(last) && !s.ended() {
				s.yield(Update{}, last)
				return
			}
		}
		if url == "" || tries >= s.c.frontends.count() {
			s.wait(url, round, last)
			round, tries = round+1, 0
		}
	}
}

func (s *watch) ended() bool { return s.brokenOff || s.ctx.Err() != nil }

// tell hands an update to the caller. It tells whether the caller wants more.
func (s *watch) yieldUpdate(u Update) bool {
	if s.ctx.Err() != nil {
		return false
	}
	s.brokenOff = s.brokenOff || !s.yield(u, nil)
	return !s.brokenOff
}

// next is where to try next; "" while all frontends have refused and none wants to be asked again yet.
func (s *watch) pickFrontend() string {
	now := time.Now()
	_, home := s.c.frontends.homeOf(s.options.Home)
	return s.c.frontends.pickExcept(home, func(url string) bool { return now.Before(s.refused[url]) })
}

// failed notes that a frontend gave no stream.
func (s *watch) connectFailed(url string, err error) {
	if s.ended() {
		return
	}
	if r, ok := errors.AsType[*refusal](err); ok {
		// It lives: only streams do not go there.
		s.refused[r.url] = time.Now().Add(max(r.after, s.retry))
		s.c.o.Notify(Notice{Kind: NoticeRefused, Frontend: r.url, Err: r.err, Wait: r.after})
	} else {
		s.c.frontends.markFailed(url, err)
	}
	s.c.refreshInBackground(true)
}

// wait waits before connecting again: a random part of a bound that grows from what the server asked for. All of it is random, so that thousands who
// lost the same frontend do not come to the next one at once.
func (s *watch) wait(url string, round int, err error) {
	if s.ended() {
		return
	}
	bound := max(s.retry, min(s.retry<<min(round, 16), retryMax))
	d := mathrand.N(bound)
	if url == "" {
		d += s.untilRetry()
	}
	s.c.o.Notify(Notice{Kind: NoticeLost, Frontend: s.lastURL, Err: err, Wait: d})
	home, _ := s.c.frontends.homeOf(s.options.Home)
	if s.yieldUpdate(Update{Kind: UpdateLost, Frontend: s.lastURL, Home: home, Err: err, Wait: d}) {
		sleep(s.ctx, d)
	}
}

// untilWelcome is how long it is until the first frontend is to be asked again.
func (s *watch) untilRetry() time.Duration {
	least := retryMax
	for _, until := range s.refused {
		if d := time.Until(until); d < least {
			least = max(d, 0)
		}
	}
	return least
}

// final tells whether no frontend would say anything else.
func isFinal(err error) bool {
	p, ok := errors.AsType[*score.Problem](err)
	return ok && !transient(p.Status) && p.Status != http.StatusRequestTimeout
}

// isLearned tells whether the group has been heard of.
func (f *frontends) isLearned() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.learned
}
