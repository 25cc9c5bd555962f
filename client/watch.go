package client

import (
	"context"
	"errors"
	"iter"
	mathrand "math/rand/v2"
	"net/url"
	"time"

	"laurel/score"
	"laurel/score/mark"
	"laurel/score/medal"
	"laurel/score/ranking"
)

// WatchOptions select what is watched: without a subject, all contests and medal tables.
type WatchOptions struct {
	// Now has the watch begin with what is live, next and finished last in place of all
	// contests. Every change of any contest follows. It does not go with Competitions.
	Now          bool
	Contests     []string
	Competitions []string // all contests of these, and their medal tables
	Medals       []string // the medal tables of these competitions
	Timelines    []string // every event of these contests
	Leaderboards []string // of these ranked contests, at most ten
	// Part is the part of each leaderboard. It has ten rows if Limit is 0, and at most a
	// hundred. After is ignored.
	Part BoardPart
}

func (w WatchOptions) query() url.Values {
	q := url.Values{}
	if len(w.Leaderboards) > 0 {
		w.Part.After = ""
		q = LeaderboardQuery(w.Part)
	}
	if w.Now {
		q.Set("scope", "now")
	}
	q["contest"] = w.Contests
	q["competition"] = w.Competitions
	q["medals"] = w.Medals
	q["timeline"] = w.Timelines
	q["leaderboard"] = w.Leaderboards
	return q
}

// UpdateKind is the kind of an Update.
type UpdateKind string

// Kinds of updates.
const (
	// UpdateSnapshot: Scores, Medals, Timeline and Leaderboards have all that is watched,
	// or a part of it if More is true; after a lost connection, only what is new of it.
	// Removed or Dropped has the contests that are no longer in it.
	UpdateSnapshot UpdateKind = "snapshot"
	// UpdateScore: Scores has the new record of one contest.
	UpdateScore UpdateKind = "score"
	// UpdateRemoved: Removed has one contest, whose definition was voided.
	UpdateRemoved UpdateKind = "removed"
	// UpdateMedals: Medals has one new medal table.
	UpdateMedals UpdateKind = "medals"
	// UpdateTimeline: Timeline has one new event.
	UpdateTimeline UpdateKind = "timeline"
	// UpdateLeaderboard: Leaderboards has one part that has changed, with all its rows.
	UpdateLeaderboard UpdateKind = "leaderboard"
	// UpdateHeartbeat: Beat has the state of the frontend. It comes every few seconds.
	UpdateHeartbeat UpdateKind = "heartbeat"
	// UpdateConnected: the following updates are from Frontend.
	UpdateConnected UpdateKind = "connected"
	// UpdateLost: the connection to Frontend has ended with Err. The watch reconnects
	// after Wait, there or elsewhere.
	UpdateLost UpdateKind = "lost"
)

// Update is one item of a watch. Fields that do not belong to its kind are zero.
type Update struct {
	Kind     UpdateKind
	Scores   []score.Record
	Medals   []medal.Standings
	Timeline []score.TimelineEvent
	// Removed are the ids of contests that are gone. One that is defined again comes again.
	Removed []string
	// Dropped are the ids of contests that are not in a new snapshot of a watch of Now: they
	// may have changed meanwhile, or be gone. One that changes comes again.
	Dropped []string
	// More is true for a snapshot that the next update continues.
	More bool
	// Sections are the numbers of all contests, in the last part of a snapshot of Now and in
	// heartbeats; else nil.
	Sections *score.Sections
	// Leaderboards changes at most about twice a second for each leaderboard.
	Leaderboards []Window
	// NewStore is true for a snapshot of another incarnation: of another store, or of this
	// one after it was restored. What came before is void.
	NewStore bool
	Beat     Beat
	// Frontend is the URL of the frontend that the update is from or about. AtHome is
	// true if that is the watch's home. Home is the home's id, "" if that is not known.
	Frontend string
	Home     string
	AtHome   bool
	Err      error
	Wait     time.Duration
}

// Window is the watched part of a leaderboard, with all its rows.
type Window struct {
	ContestID string `json:"contest_id"`
	Split     string `json:"split"` // "" if there is no such leaderboard
	Category  string `json:"category,omitzero"`
	Around    string `json:"around,omitzero"` // in the middle; without a mark of it there are no rows
	Total     int    `json:"total"`           // the number of rows of the leaderboard
	mark.Format
	Revision uint64        `json:"revision"`
	Rows     []ranking.Row `json:"rows"`
}

// Beat is the data of a heartbeat.
type Beat struct {
	Revision uint64          `json:"revision"`
	Epoch    uint64          `json:"epoch"`
	Mode     score.CacheMode `json:"mode"`
	Frontend string          `json:"frontend"` // its id
	// Sections are the numbers of contests; nil if the frontend does not know them now.
	Sections *score.Sections `json:"sections,omitzero"`
}

const (
	// silence is the time without data after which a stream counts as lost. The server
	// sends a heartbeat every 5 s.
	silence = 12 * time.Second
	// watchBegin is the additional time to begin a stream: the frontend may have to catch
	// up with what the watcher has seen elsewhere.
	watchBegin = 2 * time.Second
	// retryDefault is the first bound of the wait to reconnect, if the server sent none.
	retryDefault = 500 * time.Millisecond
	// retryMax is the bound to which it grows.
	retryMax = 10 * time.Second
	// formerPause is how long the watch avoids a frontend whose incarnation has ended.
	formerPause = 10 * time.Second
	// listDelay is how much older the list of frontends may get during a watch, which
	// needs it only when its connection is lost.
	listDelay = time.Minute
)

// Watch returns an iterator over what is watched: first all of it, then every change. It
// ends when ctx ends, when the caller breaks off, or when the frontends refuse the watch;
// then the last item has the error, a *score.Problem.
//
// When a connection is lost, the watch continues at another frontend where the last one
// ended: no change is left out, none comes twice, and a record never goes back to a lower
// revision. A slow caller gets the latest state of each record and leaderboard, not every
// state in between; of timelines it gets every event.
//
// A frontend whose store is in an incarnation that has ended, as far as the watch knows, is
// left: its group was recovered without it. See [Update.NewStore].
//
// When the watch's home is back, the frontend that served the watch meanwhile sends it
// there.
func (c *Client) Watch(ctx context.Context, w WatchOptions) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s := &watch{c: c, query: w.query(), ctx: ctx, yield: yield, retry: retryDefault,
			refused: map[string]time.Time{}, revisions: map[subject]uint64{}}
		s.run()
	}
}

// watch is the state of a Watch. It runs in its caller's goroutine.
type watch struct {
	c         *Client
	query     url.Values
	ctx       context.Context
	yield     func(Update, error) bool
	brokenOff bool // the caller has left the loop

	lastID  string
	retry   time.Duration        // the delay that the server asked for
	lastURL string               // of the last stream
	stay    bool                 // the last redirect led nowhere, so none is wanted
	refused map[string]time.Time // until when not to try the frontends that refused the watch

	incarnation string             // of the last snapshot
	former      []string           // the incarnations that the store had before
	revisions   map[subject]uint64 // that the caller has been given
}

func (s *watch) run() {
	if _, home := s.c.frontends.homeNow(); home == "" {
		s.c.refresh(s.ctx)
	}
	var last error
	for round, tries := 0, 0; !s.ended(); {
		now := time.Now()
		url := s.c.frontends.pickForWatch(func(url string) bool { return now.Before(s.refused[url]) })
		if url != "" {
			conn, err := s.connect(url)
			if err == nil {
				url, last = s.listen(conn)
				round, tries = 0, s.c.frontends.count()
			} else {
				last, tries = err, tries+1
				s.connectFailed(url, err)
			}
			if isRefusal(last) && !s.ended() {
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

// yieldUpdate passes an update to the caller. It reports whether the caller wants more.
func (s *watch) yieldUpdate(u Update) bool {
	if s.ctx.Err() != nil {
		return false
	}
	s.brokenOff = s.brokenOff || !s.yield(u, nil)
	return !s.brokenOff
}

func (s *watch) connectFailed(url string, err error) {
	if s.ended() {
		return
	}
	if r, ok := errors.AsType[*refusal](err); ok {
		// It serves calls, so it is not marked as failed.
		s.refused[r.url] = time.Now().Add(max(r.after, s.retry))
		s.c.o.Notify(Notice{Kind: NoticeRefused, Frontend: r.url, Err: r.err, Wait: r.after})
	} else {
		s.c.frontends.markFailed(url, err)
	}
	s.c.refreshInBackground(true)
}

// wait waits before the watch reconnects, for a random part of a bound that grows from
// the delay that the server asked for. Thousands of watches that lost the same frontend
// must not come to the next one at once.
func (s *watch) wait(url string, round int, err error) {
	if s.ended() {
		return
	}
	bound := max(s.retry, min(s.retry<<min(round, 16), retryMax))
	d := mathrand.N(bound)
	if url == "" {
		least := retryMax
		for _, until := range s.refused {
			least = min(least, time.Until(until))
		}
		d += max(least, 0)
	}
	s.c.o.Notify(Notice{Kind: NoticeLost, Frontend: s.lastURL, Err: err, Wait: d})
	if s.yieldUpdate(Update{Kind: UpdateLost, Frontend: s.lastURL, Home: s.c.Home(), Err: err, Wait: d}) {
		sleep(s.ctx, d)
	}
}
