package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	laurel "laurel/client"
	"laurel/client/verify"
	"laurel/score"
)

const (
	directContests = 3
	directWriters  = 3
	directReaders  = 4
)

func directContest(i int) string { return fmt.Sprintf("OG50BC/CUR-%d", i+1) }

// TestEveryHistoryOfDirectReadsIsLinearizable has readers who ask all frontends, of which one lies
// to them in every way by turns, while bards post signed events.
func TestEveryHistoryOfDirectReadsIsLinearizable(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	eachSeed(t, directHistory)
}

func directHistory(t *testing.T, seed uint64) {
	g := newVouchedGroup(t)
	h := newHistory()
	g.beginDirect(h)
	l := newLiar(t, g.master())
	urls := []string{l.server.URL}
	for _, f := range l.others() {
		urls = append(urls, f.url)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	time.AfterFunc(byForm(4*time.Second, 12*time.Second, longHistory), func() {
		defer stop()
		_ = poll(patience, func() error { return h.enough(20, 50) })
	})
	var clients sync.WaitGroup
	for i := range directWriters {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		clients.Go(func() { g.writeDirect(ctx, h, i, r, false) })
	}
	for i := range directReaders {
		reader := verify.New(g.client(urls...), g.policy)
		reader.Timeout = impatience
		r := rand.New(rand.NewPCG(seed, uint64(100+i)))
		clients.Go(func() { readDirect(ctx, h, reader, r) })
	}
	for turn := 0; ctx.Err() == nil; turn++ {
		l.lie.Store(&lies[turn%len(lies)].tell)
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	clients.Wait()
	g.endDirect(h, l.others()[0])
	if len(h.read) < 50 {
		t.Errorf("%d reads answered are too few to show anything", len(h.read))
	}
	t.Logf("%d events acked, %d reads verified, %v", len(h.posted), len(h.read), h.counts)
}

// enough returns an error if fewer events are acked, or reads answered, than show anything.
func (h *history) enough(posts, reads int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.posted) < posts || len(h.read) < reads {
		return fmt.Errorf("%d events acked and %d reads answered; want %d and %d", len(h.posted), len(h.read),
			posts, reads)
	}
	return nil
}

// awaitEnough has the clients go on until there is enough of them.
func (h *history) awaitEnough(t testing.TB, posts, reads int) {
	t.Helper()
	eventually(t, "the clients go on", func() error { return h.enough(posts, reads) })
}

// beginDirect defines the contests that writeDirect posts about.
func (g *vouchedGroup) beginDirect(h *history) {
	g.t.Helper()
	c := g.client(g.urls()...)
	for i := range directContests {
		for j, line := range []string{
			`{"type":"contest.define","contest_id":"%s","data":` + twoTeams + `}`,
			`{"type":"contest.status","contest_id":"%s","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`,
		} {
			id, call := fmt.Sprintf("setup-%d-%d", i, j), h.now()
			e, p := score.Decode(fmt.Appendf(nil, line, directContest(i)))
			if p != nil {
				g.t.Fatal(p)
			}
			e.ID, e.IDGiven, e.Source, e.Seq = id, true, "bard/setup", uint64(2*i+j+1)
			h.acked(call, request{thing: directContest(i), verb: set, event: id, how: "setup"}, g.post(c, e))
		}
	}
}

// endDirect compares what the clients saw with what a frontend has in the end.
func (g *vouchedGroup) endDirect(h *history, f *frontend) {
	g.t.Helper()
	timelines := map[string]uint64{}
	for i := range directContests {
		f.pages(g.t, "/v1/timeline/"+directContest(i)+"?limit=1000", func(a answer) {
			for _, e := range decode[laurel.Timeline](g.t, a).Events {
				timelines[e.ID] = e.Revision
			}
		})
	}
	if _, err := h.close(timelines); err != nil {
		g.t.Error(err)
	}
	if len(h.wrong) > 0 {
		g.t.Errorf("%d answers that no lie excuses, the first: %v", len(h.wrong), errors.Join(h.wrong[:min(len(h.wrong), 5)]...))
	}
	if len(h.posted) < 20 {
		g.t.Errorf("%d events acked are too few to show anything", len(h.posted))
	}
	if err := h.check(); err != nil {
		g.t.Error(err)
	}
}

// writeDirect posts signed events until ctx ends. With faults it goes on as another source after
// an event of which it does not know whether it had an effect.
func (g *vouchedGroup) writeDirect(ctx context.Context, h *history, i int, r *rand.Rand, faults bool) {
	c := g.client(g.urls()...)
	feed, seq := 0, uint64(0)
	for n := 1; ctx.Err() == nil; n++ {
		seq++
		thing := directContest(r.IntN(directContests))
		e, _ := score.Decode(fmt.Appendf(nil, `{"type":"score.play","contest_id":%q,"data":{"competitor":"GAU","delta":1}}`, thing))
		e.ID, e.IDGiven, e.Source, e.Seq = fmt.Sprintf("w%d-%d", i, n), true, fmt.Sprintf("bard/w%d-%d", i, feed), seq
		call, q := h.now(), request{thing: thing, verb: add, event: e.ID, how: e.Source}
		var results []score.Result
		events := []score.Event{e} // Post sets the time, which must be the same when it is repeated
		post := func() (err error) {
			results, err = c.Post(context.WithoutCancel(ctx), events)
			return err
		}
		err := post()
		if err != nil && !faults { // the machine is busy
			err = poll(patience, post)
		}
		switch {
		case err == nil:
			h.acked(call, q, results[0].Revision)
		case !faults:
			h.unknown(call, q)
			h.addError(err)
			return
		default:
			h.unknown(call, q)
			h.count("post: no answer")
			feed, seq = feed+1, 0
		}
		pauseFor(ctx, writePause/2+time.Duration(r.Int64N(int64(writePause))))
	}
}

// readDirect reads contests, one by one and together, until ctx ends.
func readDirect(ctx context.Context, h *history, reader *verify.Reader, r *rand.Rand) {
	for ctx.Err() == nil {
		call, path, list := h.now(), "/v1/scores?competition=OG50BC", r.IntN(4) == 0
		if !list {
			path = "/v1/scores/" + directContest(r.IntN(directContests))
		}
		a, err := reader.Get(context.WithoutCancel(ctx), path, nil)
		if err != nil {
			h.count("read: nothing to verify")
			continue
		}
		var page laurel.Scores
		if list {
			err = json.Unmarshal(a.Body, &page)
		} else {
			page.Scores = make([]score.Record, 1)
			err = json.Unmarshal(a.Body, &page.Scores[0])
		}
		together := map[string]uint64{}
		for _, rec := range page.Scores {
			s, bad := scoreOf(rec)
			err = errors.Join(err, bad)
			h.observed(call, 0, request{thing: rec.ContestID, how: strings.Join(a.Agreed, " ")}, s)
			together[rec.ContestID] = s.revision
		}
		if err != nil {
			h.addError(fmt.Errorf("%s: %w: %s", path, err, a.Body))
		}
		h.mu.Lock()
		h.lists = append(h.lists, together)
		h.mu.Unlock()
		pauseFor(ctx, readPause)
	}
}

// pauseFor waits for d or until ctx ends.
func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
