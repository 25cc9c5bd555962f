package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	laurel "laurel/client"
	"laurel/client/verify"
	"laurel/score"
	"laurel/witness"
)

const flippedContests = 3

func flippedPath(i int) string { return laurel.ScorePath(fmt.Sprintf("OG50BC/FLIP-%d", i)) }

// flippedGroup has a bard that posts all the time, and readers that verify.
type flippedGroup struct {
	*vouchedGroup
	seen   string // the readers' file
	victim *frontend
	honest []*frontend
	events []score.Event          // of the bard
	points [flippedContests]int64 // that it has posted

	mu     sync.Mutex
	shown  [flippedContests]int64           // that an honest frontend has shown
	proven [flippedContests]int64           // that a reader has accepted by certificate
	truths [flippedContests]map[string]bool // what honest frontends have shown
	reads  []flippedRead
	counts map[string]int
}

// flippedRead is an answer that a reader has accepted.
type flippedRead struct {
	how     string
	contest int
	body    string
	least   int64 // the points that it must show
}

// newFlippedGroup starts a group, whose reads are counted.
func newFlippedGroup(t *testing.T, counts map[string]int) *flippedGroup {
	t.Helper()
	g := &flippedGroup{vouchedGroup: newVouchedGroup(t), counts: counts}
	g.seen = filepath.Join(g.dir, "seen")
	g.honest = g.frontends
	g.define(g.client(g.urls()...)) // more to flip
	c, r := g.client(g.urls()...), rand.New(rand.NewPCG(1, 1))
	for i := range flippedContests {
		g.truths[i] = map[string]bool{}
		g.add(i, "contest.define", twoTeams)
		g.add(i, "contest.status", `{"schedule_status":"RUNNING","result_status":"LIVE"}`)
		if err := g.sing(c, i, r); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func (g *flippedGroup) stop() {
	for _, f := range g.frontends {
		f.Kill()
	}
}

// add makes the bard's next event.
func (g *flippedGroup) add(contest int, kind, data string) {
	e, p := score.Decode(fmt.Appendf(nil, `{"type":%q,"contest_id":"OG50BC/FLIP-%d","data":%s}`, kind, contest, data))
	if p != nil {
		g.t.Fatal(p)
	}
	e.Source, e.Seq = "bard/flips", uint64(len(g.events)+1)
	g.events = append(g.events, e)
}

// post posts what an honest frontend does not have. What a corrupt master acknowledged can be
// lost before it is certified, so the bard does not believe acknowledgements.
func (g *flippedGroup) post(c *laurel.Client, f *frontend) error {
	a, err := ask("GET", f.url+"/v1/bards/bard/flips", "")
	var has struct {
		LastSeq int `json:"last_seq"`
	}
	if err == nil && a.status == http.StatusOK { // else there is none yet
		err = json.Unmarshal([]byte(a.body), &has)
	}
	if err != nil {
		return fmt.Errorf("%s: %d %s: %w", f.id, a.status, a.body, err)
	}
	if has.LastSeq > len(g.events) {
		g.t.Errorf("%s has %d events of the bard, who has sung %d", f.id, has.LastSeq, len(g.events))
	}
	if has.LastSeq >= len(g.events) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), impatience)
	defer cancel()
	_, err = c.Post(ctx, slices.Clone(g.events[has.LastSeq:]))
	return errors.Join(err, errors.New("posted, and not seen yet"))
}

// sing posts a point, and notes what an honest frontend shows then. It is the only writer.
func (g *flippedGroup) sing(c *laurel.Client, contest int, r *rand.Rand) error {
	g.points[contest]++
	g.add(contest, "score.play", `{"competitor":"GAU","delta":1}`)
	return poll(patience, func() error {
		f := g.honest[r.IntN(len(g.honest))]
		if err := g.post(c, f); err != nil {
			return err
		}
		a, err := ask("GET", f.url+flippedPath(contest), "")
		if err != nil || a.status != http.StatusOK {
			return fmt.Errorf("%s: %d %s, %w", f.id, a.status, a.body, err)
		}
		points, err := pointsOf(a.body)
		if err != nil || points != g.points[contest] {
			return fmt.Errorf("%s shows %d points of %d: %s, %w", f.id, points, g.points[contest], a.body, err)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.truths[contest][a.body] = true
		g.shown[contest] = points
		return nil
	})
}

func pointsOf(body string) (int64, error) {
	var rec score.Record
	if err := json.Unmarshal([]byte(body), &rec); err != nil {
		return 0, err
	}
	s, err := scoreOf(rec)
	return s.value, err
}

// read reads a contest from all frontends, or by certificate, and notes what it accepts.
func (g *flippedGroup) read(ctx context.Context, c *laurel.Client, contest int, certified bool) error {
	g.mu.Lock()
	q := flippedRead{how: "direct", contest: contest, least: g.shown[contest]}
	if certified {
		q.how, q.least = "certified", g.proven[contest]
	}
	g.mu.Unlock()
	body, err := g.get(ctx, c, flippedPath(contest), certified)
	if score.CodeOf(err) == score.NotFound || errors.As(err, new(*witness.ForkError)) {
		g.t.Errorf("a %s read of contest %d: %v", q.how, contest, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.counts[q.how+", nothing to verify"]++
		return err
	}
	g.counts[q.how]++
	q.body = string(body)
	g.reads = append(g.reads, q)
	if points, err := pointsOf(q.body); err == nil && certified {
		g.proven[contest] = max(g.proven[contest], points)
	}
	return nil
}

// get returns what a reader accepts. A reader stays with the frontend that gave a good answer,
// so each read has its own.
func (g *flippedGroup) get(ctx context.Context, c *laurel.Client, path string, certified bool) ([]byte, error) {
	if certified {
		reader := verify.NewCertified(c, g.policy, g.seen)
		reader.Timeout = impatience
		a, err := reader.Get(ctx, path, nil)
		if err != nil {
			return nil, err
		}
		return a.Body, nil
	}
	reader := verify.New(c, g.policy)
	reader.Timeout = impatience
	a, err := reader.Get(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	return a.Body, nil
}

// judge checks all answers that readers have accepted. The bard must have ended.
func (g *flippedGroup) judge() {
	g.t.Helper()
	for _, q := range g.reads {
		points, err := pointsOf(q.body)
		switch known := g.truths[q.contest][q.body]; {
		case err != nil || points < q.least:
			g.t.Errorf("a %s reader accepted, when %d points were known (%v)\n%s", q.how, q.least, err, q.body)
		case !known && (q.how == "certified" || !g.taken(q)):
			g.t.Errorf("a %s reader accepted, and no honest frontend has shown\n%s", q.how, q.body)
		}
	}
	g.reads = nil
}

// taken reports whether an answer differs from what is true in its revision only: what a
// corrupt master has not settled can be taken back, and get another place.
func (g *flippedGroup) taken(q flippedRead) bool {
	var said score.Record
	if json.Unmarshal([]byte(q.body), &said) != nil {
		return false
	}
	for body := range g.truths[q.contest] {
		var is score.Record
		if json.Unmarshal([]byte(body), &is) == nil {
			said.Revision, said.UpdatedAt = is.Revision, is.UpdatedAt
			if reflect.DeepEqual(said, is) {
				g.counts["direct, taken back"]++
				return true
			}
		}
	}
	return false
}
