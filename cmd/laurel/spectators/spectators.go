// Package spectators simulates spectators: many clients in one process that read scores
// at random moments, as people do, and count how they were served.
//
// [Run] is what laurel client does. [AtRandom], [NewClient] and [Sleep] are also used by
// the demo.
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
	// Zipf is the exponent, above 1, of the distribution by which the contests are
	// chosen. 0: uniform.
	Zipf     float64
	Watch    bool          // each spectator also watches a contest and the medals of its competition
	Patience time.Duration // how long a read is tried
	Token    string        // of a reader, where scores are private
	TLS      *tls.Config   // the trusted certificates; nil: those of this machine
	Seed     uint64
	Out      io.Writer
	Notify   func(spectator int, n client.Notice) // may be nil
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
	transport := client.NewTransport(max(64, o.Count))
	transport.TLSClientConfig = o.TLS
	defer transport.CloseIdleConnections()
	own, err := client.New(o.URLs, client.Options{Timeout: o.Patience, Token: o.Token, Transport: transport})
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
		one, err := newSpectator(i, &o, contests, s, transport)
		if err != nil {
			return err
		}
		all.Go(func() { one.run(ctx) })
	}
	printProgress(ctx, o.Out, s, func() { _ = contests.read(ctx, own) })
	all.Wait()
	_, err = io.WriteString(o.Out, s.report(time.Now()))
	if err == nil && s.nobodyServed() {
		err = errors.New("no spectator was served")
	}
	return err
}

// printProgress prints a line every second and calls readContests now and then, until ctx
// ends.
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
	return client.New(append(append([]string{}, urls[i:]...), urls[:i]...), o)
}

func newSpectator(
	i int, o *Options, contests *contestList, st *stats, transport http.RoundTripper,
) (*spectator, error) {
	s := &spectator{o: o, contests: contests, stats: st, rand: rand.New(rand.NewPCG(o.Seed, uint64(i))),
		seen: map[string]uint64{}}
	notify := func(n client.Notice) {
		st.notice(n)
		if o.Notify != nil {
			o.Notify(i, n)
		}
	}
	attempted := func(a client.Attempt) {
		// The list of frontends is read beside the reads, by another goroutine.
		if a.Path != "/v1/frontends" && a.Status != 0 {
			s.servedBy = a.Frontend
		}
	}
	var err error
	s.client, err = NewClient(o.URLs, i, client.Options{Timeout: o.Patience, Refresh: refreshInterval,
		Token: o.Token, Transport: transport, Notify: notify, Attempted: attempted})
	return s, err
}
