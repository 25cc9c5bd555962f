// Package spectators simulates spectators: many clients in one process that read scores as people do, and tell how they were served.
package spectators

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"laurel/client"
	"laurel/internal/textfmt"
)

// Options say who comes and what they do.
type Options struct {
	URLs        []string
	Count       int           // spectators
	Rate        float64       // reads of each in a second, on average; 0: none
	Duration    time.Duration // 0: until the context ends
	Competition string        // "": all
	// ScoreShare is the part of the reads that ask for one contest; the others ask for a medal table or for a list. 0 to 1.
	ScoreShare float64
	// Zipf is how much the spectators prefer the same contests: the exponent, above 1. 0: all alike.
	Zipf     float64
	Watch    bool          // each has a stream open, too, of one contest and its competition's medals
	Patience time.Duration // how long a read is tried
	Token    string        // of a reader, where the group is private
	TLS      *tls.Config   // which certificates are trusted; nil: those that this machine trusts
	Seed     uint64
	Out      io.Writer
	Notes    func(spectator int, n client.Notice) // may be nil
}

const (
	// listAge is how old a spectator's list of frontends gets. Thousands of them in one place ask less often than one does alone.
	listAge = 30 * time.Second
	// reread is how often it is looked up which contests are running.
	reread = 10 * time.Second
	// arrivals is how many spectators come in a second.
	arrivals = 500
)

// Run lets the spectators in, prints how they are served, every second and at the end, and returns when ctx or the duration is over. It is an error if
// none was served.
func Run(ctx context.Context, o Options) error {
	transport := client.NewTransport(max(64, o.Count))
	transport.TLSClientConfig = o.TLS
	defer transport.CloseIdleConnections()
	host, err := client.New(o.URLs, client.Options{Timeout: o.Patience, Token: o.Token, Transport: transport})
	if err != nil {
		return err
	}
	defer host.Close()
	p := &programme{competition: o.Competition, zipf: o.Zipf}
	if err := p.read(ctx, host); err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "%s spectators, %s\n", textfmt.Thousands(o.Count), p)

	if o.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Duration)
		defer cancel()
	}
	t := newTally(time.Now())
	var crowd sync.WaitGroup
	for i := range o.Count {
		s, err := newSpectator(i, &o, p, t, transport)
		if err != nil {
			return err
		}
		crowd.Go(func() { s.attend(ctx) })
	}
	watch(ctx, o.Out, t, func() { _ = p.read(ctx, host) })
	crowd.Wait()
	_, err = io.WriteString(o.Out, t.report(time.Now()))
	if err == nil && t.servedNobody() {
		err = errors.New("nobody was served")
	}
	return err
}

// watch prints a line every second until ctx ends.
func watch(ctx context.Context, out io.Writer, t *tally, again func()) {
	second, look := time.NewTicker(time.Second), time.NewTicker(reread)
	defer second.Stop()
	defer look.Stop()
	for {
		select {
		case now := <-second.C:
			fmt.Fprintln(out, t.progress(now))
		case <-look.C:
			// Beside the lines: a group that has just lost its master takes its time to answer.
			go again()
		case <-ctx.Done():
			return
		}
	}
}

// spectator is one client with a mind of its own.
type spectator struct {
	o         *Options
	programme *programme
	tally     *tally
	client    *client.Client
	chance    *rand.Rand
	read      map[string]uint64 // the revision of each contest that it has seen
	servedBy  string            // who answered the last attempt
}

func newSpectator(i int, o *Options, p *programme, t *tally, transport http.RoundTripper) (*spectator, error) {
	s := &spectator{o: o, programme: p, tally: t, chance: rand.New(rand.NewPCG(o.Seed, uint64(i))), read: map[string]uint64{}}
	// Where each looks first is as different as the addresses that a name gives to them.
	urls := append(append([]string{}, o.URLs[i%len(o.URLs):]...), o.URLs[:i%len(o.URLs)]...)
	var err error
	s.client, err = client.New(urls, client.Options{Timeout: o.Patience, Refresh: listAge, Token: o.Token, Transport: transport,
		Notify: func(n client.Notice) {
			t.notice(n)
			if o.Notes != nil {
				o.Notes(i, n)
			}
		},
		Attempted: func(a client.Attempt) {
			// The list is asked for beside the reads, in another goroutine.
			if a.Path != "/v1/frontends" && a.Status != 0 {
				s.servedBy = a.Frontend
			}
		}})
	return s, err
}

// attend reads, at moments that do not depend on how fast the answers are, until ctx ends.
func (s *spectator) attend(ctx context.Context) {
	defer s.client.Close()
	sleep(ctx, time.Duration(s.chance.Float64()*float64(s.o.Count)/arrivals*float64(time.Second)))
	var stream sync.WaitGroup
	defer stream.Wait()
	if s.o.Watch && ctx.Err() == nil {
		contest, competition := s.programme.choose(s.chance)
		stream.Go(func() { s.watch(ctx, client.Watching{Contests: []string{contest}, Medals: []string{competition}}) })
	}
	if s.o.Rate <= 0 {
		<-ctx.Done()
		return
	}
	for due := time.Now(); ; {
		due = due.Add(time.Duration(s.chance.ExpFloat64() / s.o.Rate * float64(time.Second)))
		sleep(ctx, time.Until(due))
		if ctx.Err() != nil {
			return
		}
		s.ask(ctx, due)
	}
}

// ask makes one read that was due at a time.
func (s *spectator) ask(ctx context.Context, due time.Time) {
	contest, competition := s.programme.choose(s.chance)
	path, query := client.ScorePath(contest), (map[string][]string)(nil)
	if s.chance.Float64() >= s.o.ScoreShare {
		contest = ""
		path = client.MedalsPath(competition, "")
		if s.chance.IntN(2) == 0 {
			path, query = client.ScorePath(""), map[string][]string{"competition": {competition}, "limit": {"20"}}
		}
	}
	body, err := s.client.Get(ctx, path, query, client.JSON)
	if ctx.Err() != nil {
		return // whatever came of it, it is not the frontends' doing
	}
	// A table that does not exist yet is an answer.
	if err != nil && !isNotFound(err) {
		s.tally.failed(err)
		return
	}
	older := false
	if r, ok := revisionOf(body); ok && contest != "" {
		older = r < s.read[contest]
		s.read[contest] = max(s.read[contest], r)
	}
	s.tally.served(s.servedBy, time.Since(due), older)
}

func (s *spectator) watch(ctx context.Context, w client.Watching) {
	for u, err := range s.client.Watch(ctx, w) {
		if err != nil {
			s.tally.failed(err)
			return
		}
		s.tally.told(u)
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
