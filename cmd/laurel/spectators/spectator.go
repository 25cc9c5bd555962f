package spectators

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"laurel/client"
)

// spectator is one simulated client.
type spectator struct {
	o        *Options
	contests *contestList
	stats    *stats
	client   *client.Client
	rand     *rand.Rand
	seen     map[string]uint64 // the highest revision read, by contest
	servedBy string            // the frontend that answered the last attempt
}

func newRand(seed uint64, i int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(i))) }

// run reads and watches until ctx ends.
func (s *spectator) run(ctx context.Context) {
	defer s.client.Close()
	arrival := s.rand.Float64() * float64(s.o.Count) / arrivalsPerSecond
	sleep(ctx, time.Duration(arrival*float64(time.Second)))
	var stream sync.WaitGroup
	defer stream.Wait()
	if s.o.Watch && ctx.Err() == nil {
		contest, competition := s.contests.choose(s.rand)
		stream.Go(func() {
			s.watch(ctx, client.WatchOptions{Contests: []string{contest}, Medals: []string{competition}})
		})
	}
	AtRandom(ctx, s.rand, s.o.Rate, func(due time.Time) { s.read(ctx, due) })
}

// AtRandom calls read at random moments, on average perSecond times a second (a Poisson
// process), until ctx ends. The moments do not depend on how long the reads take; a read
// that is late learns when it was due. With perSecond 0, AtRandom only waits for the end
// of ctx.
func AtRandom(ctx context.Context, random *rand.Rand, perSecond float64, read func(due time.Time)) {
	if perSecond <= 0 {
		<-ctx.Done()
		return
	}
	for due := time.Now(); ; {
		due = due.Add(time.Duration(random.ExpFloat64() / perSecond * float64(time.Second)))
		sleep(ctx, time.Until(due))
		if ctx.Err() != nil {
			return
		}
		read(due)
	}
}

// read makes one read.
func (s *spectator) read(ctx context.Context, due time.Time) {
	contest, competition := s.contests.choose(s.rand)
	path, query := client.ScorePath(contest), (map[string][]string)(nil)
	if s.rand.Float64() >= s.o.ScoreShare {
		contest = ""
		path = client.MedalsPath(competition, "")
		if s.rand.IntN(2) == 0 {
			path, query = client.ScorePath(""), map[string][]string{"competition": {competition}, "limit": {"20"}}
		}
	}
	body, err := s.client.Get(ctx, path, query, client.JSON)
	if ctx.Err() != nil {
		return // the end of ctx is not the frontends' fault
	}
	// That a medal table does not exist yet is an answer, too.
	if err != nil && !isNotFound(err) {
		s.stats.failed(err)
		return
	}
	older := false
	if r, ok := revisionOf(body); ok && contest != "" {
		older = r < s.seen[contest]
		s.seen[contest] = max(s.seen[contest], r)
	}
	s.stats.served(s.servedBy, time.Since(due), older)
}

func (s *spectator) watch(ctx context.Context, w client.WatchOptions) {
	for u, err := range s.client.Watch(ctx, w) {
		if err != nil {
			s.stats.failed(err)
			return
		}
		s.stats.update(u)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
