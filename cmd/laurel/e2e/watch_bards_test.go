package e2e

import (
	"context"
	"fmt"
	"sync"
	"time"

	laurel "laurel/client"
)

// watchedBards post plays, each about its own contest, and sometimes a void or a medal.
type watchedBards struct {
	g       *group
	stop    chan struct{}
	streams []*laurel.Stream
	client  *laurel.Client
	singing sync.WaitGroup

	mu    sync.Mutex
	acked [watchedEach][]uint64 // revisions, by contest
	n     int
}

func newWatchedBards(g *group) *watchedBards {
	b := &watchedBards{g: g, stop: make(chan struct{})}
	for i := range watchedEach {
		for k, body := range []string{
			`"contest.define","contest_id":%q,"data":{"kind":"head_to_head","sport":"stone-curling","title":"GAU vs ROM",
			 "competitors":[{"code":"GAU","name":"Gaul","organisation":"GAU"},{"code":"ROM","name":"Rome","organisation":"ROM"}]}}`,
			`"contest.status","contest_id":%q,"data":{"schedule_status":"RUNNING","result_status":"LIVE","period":"END1"}}`,
		} {
			output := apply(g.t, g.frontends[0], fmt.Sprintf(`{"id":"begin-%d-%d","type":`+body, i, k, watchedContest(i)))
			b.acked[i] = append(b.acked[i], output.Results[0].Revision)
		}
	}
	return b
}

func (b *watchedBards) sing(ctx context.Context) {
	c, err := laurel.New([]string{b.g.frontends[0].url, b.g.frontends[1].url, b.g.frontends[2].url}, laurel.Options{})
	if err != nil {
		b.g.t.Fatal(err)
	}
	b.client = c
	for i := range watchedEach {
		s := c.Stream(ctx, laurel.StreamOptions{Patience: patience, Answered: func(a laurel.Answer) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.acked[i], b.n = append(b.acked[i], a.Result.Revision), b.n+1
		}})
		b.streams = append(b.streams, s)
		b.singing.Go(func() { b.singOne(i, s) })
	}
}

func (b *watchedBards) singOne(i int, s *laurel.Stream) {
	tick := time.NewTicker(bardPause)
	defer tick.Stop()
	for seq := uint64(1); ; seq++ {
		select {
		case <-b.stop:
			return
		case <-tick.C:
		}
		id := fmt.Sprintf("w%d-%d", i, seq)
		what := `"score.play","data":{"competitor":"GAU","delta":1}`
		switch {
		case seq%10 == 0:
			what = fmt.Sprintf(`"event.void","data":{"voids":"w%d-%d","reason":"the stone was over the line"}`, i,
				seq-1)
		case seq%15 == 1:
			what = fmt.Sprintf(`"medal.award","data":{"award_id":%q,"medal":"GOLD","organisation":"GAU"}`, id)
		}
		line := fmt.Sprintf(`{"id":%q,"source":"bard/w%d","seq":%d,"contest_id":%q,"type":%s}`, id, i, seq,
			watchedContest(i), what)
		if s.SendLine(laurel.Line{ID: id, Seq: seq, JSON: []byte(line)}) != nil {
			return // end reports why
		}
	}
}

// count returns the number of acknowledged events.
func (b *watchedBards) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n
}

// more waits until n more events of each bard are acknowledged.
func (b *watchedBards) more(n int) {
	b.g.t.Helper()
	b.mu.Lock()
	var want [watchedEach]int
	for i, list := range b.acked {
		want[i] = len(list) + n
	}
	b.mu.Unlock()
	eventually(b.g.t, "the bards go on", func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		for i, list := range b.acked {
			if len(list) < want[i] {
				return fmt.Errorf("%d events about %s are acked; want %d", len(list), watchedContest(i), want[i])
			}
		}
		return nil
	})
}

// end stops the bards. Everything they sent must be acknowledged.
func (b *watchedBards) end() {
	b.g.t.Helper()
	close(b.stop)
	b.singing.Wait()
	for _, s := range b.streams {
		if err := s.Close(); err != nil {
			b.g.t.Fatalf("a bard: %v", err)
		}
	}
	b.client.Close()
}
