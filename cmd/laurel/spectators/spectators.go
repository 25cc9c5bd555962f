// Package spectators simulates spectators: many clients in one process that read scores
// at random moments, as people do, and count how they were served.
//
// [Run] is what laurel client does. [AtRandom], [NewClient] and [Sleep] are also used by
// the demo.
package spectators

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"time"

	"laurel/client"
	"laurel/internal/textfmt"
	"laurel/score"
)

// Options describe the spectators and what they do.
type Options struct {
	URLs        []string
	Count       int           // of spectators
	Rate        float64       // reads of each per second, on average; 0: none
	Duration    time.Duration // 0: until the context ends
	Competition string        // "": all
	// ScoreShare is the share of the reads that ask for one contest, from 0 to 1. The
	// others ask for a medal table or for a list.
	ScoreShare float64
	// Zipf is the exponent, above 1, of the choice of contests. 0: uniform.
	Zipf   float64
	Watch  bool           // each spectator also watches a contest and the medals of its competition
	Client client.Options // of each spectator: the time that a read may take, and whom it trusts
	Seed   uint64
	Out    io.Writer
	Notify func(spectator int, n client.Notice) // may be nil
}

const (
	// refreshInterval is the age at which a spectator reads the list of frontends again.
	// Thousands of spectators in one process do so less often than a client alone.
	refreshInterval = 30 * time.Second
	// contestsInterval is the time between two looks at which contests are running.
	contestsInterval = 10 * time.Second
	// arrivalsPerSecond is the number of spectators that start in a second.
	arrivalsPerSecond = 500
)

// Run runs the spectators until ctx or the duration ends. It prints how they are served,
// every second and at the end. It is an error if none was served.
func Run(ctx context.Context, o Options) error {
	if o.Client.Transport == nil {
		transport := client.NewTransport(max(64, o.Count))
		transport.TLSClientConfig = o.Client.TLS
		defer transport.CloseIdleConnections()
		o.Client.Transport = transport
	}
	own, err := client.New(o.URLs, o.Client)
	if err != nil {
		return err
	}
	defer own.Close()
	contests := &contestList{competition: o.Competition, zipf: o.Zipf}
	if err := contests.read(ctx, own); err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "%s spectators, %s\n", textfmt.Thousands(o.Count), contests)

	if o.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Duration)
		defer cancel()
	}
	s := newStats(time.Now())
	var all sync.WaitGroup
	for i := range o.Count {
		one, err := newSpectator(i, &o, contests, s)
		if err != nil {
			return err
		}
		all.Go(func() { one.run(ctx) })
	}
	printProgress(ctx, o.Out, s, func() { _ = contests.read(ctx, own) })
	all.Wait()
	_, err = io.WriteString(o.Out, s.report(time.Now()))
	if err == nil && s.all.Count == 0 && s.streams == 0 {
		err = errors.New("no spectator was served")
	}
	return err
}

// printProgress prints a line every second, and calls readContests now and then.
func printProgress(ctx context.Context, out io.Writer, s *stats, readContests func()) {
	line, contests := time.NewTicker(time.Second), time.NewTicker(contestsInterval)
	defer line.Stop()
	defer contests.Stop()
	for {
		select {
		case now := <-line.C:
			fmt.Fprintln(out, s.progress(now))
		case <-contests.C:
			// Concurrently: a group that has just lost its master takes time to answer.
			go readContests()
		case <-ctx.Done():
			return
		}
	}
}

// NewClient returns a client whose first frontend is the ith of urls, modulo their
// number, so that many clients spread over all frontends.
func NewClient(urls []string, i int, o client.Options) (*client.Client, error) {
	i %= len(urls)
	return client.New(slices.Concat(urls[i:], urls[:i]), o)
}

func newSpectator(i int, o *Options, contests *contestList, st *stats) (s *spectator, err error) {
	s = &spectator{o: o, contests: contests, stats: st, rand: rand.New(rand.NewPCG(o.Seed, uint64(i))),
		seen: map[string]uint64{}}
	co := o.Client
	co.Refresh = refreshInterval
	co.Notify = func(n client.Notice) {
		st.notice(n)
		if o.Notify != nil {
			o.Notify(i, n)
		}
	}
	co.Attempted = func(a client.Attempt) {
		// The list of frontends is read beside the reads, by another goroutine.
		if a.Path != "/v1/frontends" && a.Status != 0 {
			s.servedBy = a.Frontend
		}
	}
	s.client, err = NewClient(o.URLs, i, co)
	return s, err
}

type spectator struct {
	o        *Options
	contests *contestList
	stats    *stats
	client   *client.Client
	rand     *rand.Rand
	seen     map[string]uint64 // the highest revision read, by contest
	servedBy string            // the frontend that answered the last attempt
}

// run reads and watches until ctx ends.
func (s *spectator) run(ctx context.Context) {
	defer s.client.Close()
	arrival := s.rand.Float64() * float64(s.o.Count) / arrivalsPerSecond
	Sleep(ctx, time.Duration(arrival*float64(time.Second)))
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
		if !Sleep(ctx, time.Until(due)) {
			return
		}
		read(due)
	}
}

func (s *spectator) read(ctx context.Context, due time.Time) {
	contest, competition := s.contests.choose(s.rand)
	path, query := client.ScorePath(contest), url.Values(nil)
	if s.rand.Float64() >= s.o.ScoreShare {
		contest = ""
		path = client.MedalsPath(competition, "")
		if s.rand.IntN(2) == 0 {
			path, query = client.ScorePath(""), url.Values{"competition": {competition}, "limit": {"20"}}
		}
	}
	body, err := s.client.Get(ctx, path, query, client.JSON)
	if ctx.Err() != nil {
		return // the end of ctx is not the frontends' fault
	}
	// That a medal table does not exist yet is an answer, too.
	if err != nil && score.CodeOf(err) != score.NotFound {
		s.stats.failed(err)
		return
	}
	older := false
	if r := revisionOf(body); r > 0 && contest != "" {
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

// Sleep waits for d. It reports false if ctx ended first.
func Sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// contestList is the contests to choose from. It is safe for concurrent use.
type contestList struct {
	competition string
	zipf        float64

	mu       sync.Mutex
	contests []string
	running  bool
}

// maxContests bounds the contests to choose from.
const maxContests = 1000

// read reads which contests are running. If none is, it takes all.
func (l *contestList) read(ctx context.Context, c *client.Client) error {
	for _, status := range []string{score.Running, ""} {
		var ids []string
		for r, err := range c.AllScores(ctx, score.Filter{Competition: l.competition, Status: status}) {
			if err != nil {
				return err
			}
			if ids = append(ids, r.ContestID); len(ids) == maxContests {
				break
			}
		}
		if len(ids) > 0 {
			l.mu.Lock()
			l.contests, l.running = ids, status != ""
			l.mu.Unlock()
			return nil
		}
	}
	if l.competition != "" {
		return fmt.Errorf("there is no contest of %s", l.competition)
	}
	return errors.New("there is no contest; post some, for example with bard sing")
}

func (l *contestList) choose(random *rand.Rand) (contest, competition string) {
	l.mu.Lock()
	contests := l.contests
	l.mu.Unlock()
	var i int
	if l.zipf > 1 {
		i = int(rand.NewZipf(random, l.zipf, 1, uint64(len(contests)-1)).Uint64())
	} else {
		i = random.IntN(len(contests))
	}
	return contests[i], score.CompetitionOf(contests[i])
}

func (l *contestList) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running {
		return fmt.Sprintf("contests running: %d", len(l.contests))
	}
	return fmt.Sprintf("contests: %d, none of them running", len(l.contests))
}

// revisionOf finds the revision in the JSON of a contest; 0 if there is none. Decoding
// the rest would cost too much for thousands of spectators in one process.
func revisionOf(body []byte) (r uint64) {
	const name = `"revision":`
	if i := bytes.LastIndex(body, []byte(name)); i >= 0 {
		_, _ = fmt.Sscan(string(body[i+len(name):]), &r)
	}
	return r
}
