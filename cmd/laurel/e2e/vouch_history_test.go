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
	g := newVouchedGroup(t)
	h := newHistory()
	c := g.client(g.urls()...)
	for i := range directContests {
		for j, line := range []string{
			`{"type":"contest.define","contest_id":"%s","data":{"kind":"head_to_head","sport":"stone-curling","competitors":[{"code":"GAU"},{"code":"ROM"}]}}`,
			`{"type":"contest.status","contest_id":"%s","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`,
		} {
			id, call := fmt.Sprintf("setup-%d-%d", i, j), h.now()
			e, p := score.Decode(fmt.Appendf(nil, line, directContest(i)))
			if p != nil {
				t.Fatal(p)
			}
			e.ID, e.IDGiven, e.Source, e.Seq = id, true, "bard/setup", uint64(2*i+j+1)
			h.acked(call, request{thing: directContest(i), verb: set, event: id, how: "setup"}, g.post(c, e))
		}
	}
	l := newLiar(t, g.master())
	urls := []string{l.server.URL}
	for _, f := range l.others() {
		urls = append(urls, f.url)
	}
	seed := rand.Uint64N(1_000_000)
	t.Logf("seed %d", seed)
	ctx, stop := context.WithTimeout(t.Context(), byForm(4*time.Second, 12*time.Second, longHistory))
	defer stop()
	var clients sync.WaitGroup
	for i := range directWriters {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		clients.Go(func() { g.writeDirect(ctx, h, i, r) })
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
	timelines := map[string]uint64{}
	for i := range directContests {
		l.others()[0].pages(t, "/v1/timeline/"+directContest(i)+"?limit=1000", func(a answer) {
			for _, e := range decode[laurel.Timeline](t, a).Events {
				timelines[e.ID] = e.Revision
			}
		})
	}
	if _, err := h.close(timelines); err != nil {
		t.Error(err)
	}
	if len(h.wrong) > 0 {
		t.Errorf("%d answers that no lie excuses, the first: %v", len(h.wrong), errors.Join(h.wrong[:min(len(h.wrong), 5)]...))
	}
	if len(h.posted) < 20 || len(h.read) < 50 {
		t.Errorf("%d events acked and %d reads answered are too few to show anything", len(h.posted), len(h.read))
	}
	if err := h.check(); err != nil {
		t.Error(err)
	}
	t.Logf("%d events acked, %d reads verified, %v", len(h.posted), len(h.read), h.counts)
}

// writeDirect posts signed events until ctx ends.
func (g *vouchedGroup) writeDirect(ctx context.Context, h *history, i int, r *rand.Rand) {
	c := g.client(g.urls()...)
	for n := uint64(1); ctx.Err() == nil; n++ {
		thing := directContest(r.IntN(directContests))
		e, _ := score.Decode(fmt.Appendf(nil, `{"type":"score.play","contest_id":%q,"data":{"competitor":"GAU","delta":1}}`, thing))
		e.ID, e.IDGiven, e.Source, e.Seq = fmt.Sprintf("w%d-%d", i, n), true, fmt.Sprintf("bard/w%d", i), n
		call, q := h.now(), request{thing: thing, verb: add, event: e.ID, how: e.Source}
		results, err := c.Post(context.WithoutCancel(ctx), []score.Event{e})
		if err != nil {
			h.unknown(call, q)
			h.addError(err)
			return
		}
		h.acked(call, q, results[0].Revision)
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
