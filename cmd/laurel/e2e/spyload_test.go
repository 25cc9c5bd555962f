//go:build spy

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	laurel "laurel/client"
	"laurel/score"
	"laurel/score/mark"
	"laurel/trust/signing"
)

// say posts the next events about a contest, all or none.
func (g *spiedGroup) say(contest, kind string, data ...string) {
	g.t.Helper()
	events := g.next(contest, kind, data...)
	eventually(g.t, "events are taken", func() error {
		_, err := g.bard.Post(g.t.Context(), events)
		return err
	})
}

// next returns the next events about a contest.
func (g *spiedGroup) next(contest, kind string, data ...string) (events []score.Event) {
	g.t.Helper()
	for _, text := range data {
		g.said++
		g.seq++
		line := fmt.Sprintf(`{"id":%q,"type":%q,"contest_id":%q,"data":%s}`, nameOf(g.said), kind, contest, text)
		e, p := score.Decode([]byte(line))
		if p != nil {
			g.t.Fatal(p)
		}
		e.Source, e.Seq, e.Time, e.TimeGiven = desk, g.seq, time.Now().UTC(), true
		events = append(events, e)
	}
	return events
}

// sayUntilRefused posts goals of Gaul in one entry of the log, of which each counts for
// itself.
func (g *spiedGroup) sayUntilRefused(contest string, goals int) {
	g.t.Helper()
	events := g.next(contest, "score.play", slices.Repeat([]string{goalOf(1)}, goals)...)
	if a := g.postAt(g.liar, events); a.status != http.StatusOK {
		g.t.Fatalf("events are not taken: %d %s", a.status, a.body)
	}
}

// postAt signs events, and posts them at a frontend in one stream. It repeats that while they are
// refused because there is no master, as on a busy machine. Each event counts once.
func (g *spiedGroup) postAt(f *frontend, events []score.Event) (a answer) {
	g.t.Helper()
	if err := signing.Sign(g.vouchedGroup.bard, g.policy.Store, events); err != nil {
		g.t.Fatal(err)
	}
	var lines []byte
	for i := range events {
		line, err := json.Marshal(&events[i])
		if err != nil {
			g.t.Fatal(err)
		}
		lines = append(append(lines, line...), '\n')
	}
	refused := regexp.MustCompile(fmt.Sprintf(`"code":"(%s|%s)"`, score.NoMaster, score.NotReady))
	eventually(g.t, f.id+" answers a post", func() (err error) {
		a, err = ask("POST", f.url+"/v1/events", string(lines), "Content-Type", "application/x-ndjson")
		if err == nil && refused.MatchString(a.body) {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	return a
}

const (
	desk = "bard/desk"
	// Nobody lies about these contests. Bards and readers are busy with one while a lie is told.
	other = "OG50BC/OTHER"
	busy  = "OG50BC/BUSY"
)

// nameOf returns the id of an event that say posts.
func nameOf(n uint64) string { return fmt.Sprintf("desk-%06d", n) }

// forget forgets the events that do not count, because the master has lied about them.
func (g *spiedGroup) forget() {
	g.t.Helper()
	var b score.Bard
	if err := json.Unmarshal([]byte(g.settled("/v1/bards/"+desk)), &b); err != nil {
		g.t.Fatal(err)
	}
	g.seq = b.LastSeq
}

// begin posts a contest in which Gaul leads by 2 to 0.
func (g *spiedGroup) begin(contest string) {
	g.t.Helper()
	g.say(contest, "contest.define", twoTeams)
	g.say(contest, "contest.status", `{"schedule_status":"RUNNING","result_status":"LIVE"}`)
	g.goal(contest, 2)
}

// goal posts goals of Gaul, in one entry of the log.
func (g *spiedGroup) goal(contest string, points ...int64) {
	g.t.Helper()
	var data []string
	for _, p := range points {
		data = append(data, goalOf(p))
	}
	g.say(contest, "score.play", data...)
}

func goalOf(points int64) string {
	return fmt.Sprintf(`{"competitor":"GAU","delta":%s}`, mark.Points(points))
}

// load has a bard post points of Gaul to the busy contest at honest frontends, and readers who
// verify read it, until stop is called. stop returns how many answers they have accepted.
func (g *spiedGroup) load() (stop func() (accepted int64)) {
	g.t.Helper()
	ctx, cancel := context.WithCancel(g.t.Context())
	var all sync.WaitGroup
	var accepted atomic.Int64
	loop := func(f func()) {
		all.Go(func() {
			for ctx.Err() == nil {
				f()
				select {
				case <-time.After(20 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	play := score.Event{Source: "bard/load", Type: score.TypeScorePlay, ContestID: busy}
	one := mark.Points(1)
	bard := g.client(g.honest[1].url, g.honest[2].url)
	loop(func() {
		e := play
		e.Data = &score.ScorePlay{Competitor: "GAU", Delta: &one}
		g.posted.Add(1)
		_, _ = bard.Post(ctx, []score.Event{e}) // the liar may have it fail
	})
	path := laurel.ScorePath(busy)
	loop(func() {
		if a, err := g.now.Get(ctx, path, nil); err == nil {
			accepted.Add(1)
			g.accept("--verify=now", a.Body)
		}
	})
	loop(func() {
		if a, err := g.certified.Get(ctx, path, nil); err == nil {
			accepted.Add(1)
			g.seen.Store(g.accept("--verify", a.Body))
		}
	})
	return func() int64 {
		cancel()
		all.Wait()
		return accepted.Load()
	}
}

// accept checks an answer about the busy contest that a reader has accepted. It returns the
// points of Gaul.
func (g *spiedGroup) accept(how string, body []byte) (points int64) {
	least := int64(0)
	if how == "--verify" {
		least = g.seen.Load()
	}
	var r score.Record
	if err := json.Unmarshal(body, &r); err != nil {
		g.t.Error(err)
	}
	for _, c := range r.Competitors {
		if c.Code == "GAU" && c.Result != nil {
			points, _ = strconv.ParseInt(c.Result.String(), 10, 64)
		}
	}
	if most := 2 + g.posted.Load(); romeScores(body) || points < least || points > most {
		g.t.Errorf("%s: a reader accepted %s; it should have %d to %d points", how, body, least, most)
	}
	return points
}
