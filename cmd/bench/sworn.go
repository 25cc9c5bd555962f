package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	laurel "laurel/client"
	certified "laurel/client/verify"
	"laurel/cmd/bench/load"
	"laurel/trust/keyfile"
	"laurel/witness"
)

// swornSize is the least number of frontends of which one may be corrupt.
const swornSize = 4

// The two groups that are compared.
const (
	secureGroup = "secure"
	swornGroup  = "sworn"
)

// swornWorks are what is measured, in order. Those that are not both are of the sworn group
// only.
var swornWorks = []struct {
	name string
	both bool
	run  func(s *sworn, ctx context.Context, r *rival) (figures, error)
}{
	{"stream", true, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		return s.stream(ctx, r.frontends, streamCell{signed: true, secure: true})
	}},
	{"posters64", true, func(s *sworn, ctx context.Context, r *rival) (figures, error) { return s.signed(ctx, r, 64) }},
	{"posters256", true, func(s *sworn, ctx context.Context, r *rival) (figures, error) { return s.signed(ctx, r, 256) }},
	{"reads", true, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		return s.wrk(ctx, target{group: r.frontends, addr: r.order[0], path: r.path})
	}},
	{"proofs", false, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		path := strings.Replace(r.path, "/v1/", "/v1/proof/", 1)
		return s.wrk(ctx, target{group: r.frontends, addr: r.order[0], path: path})
	}},
	{"certificate", false, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		return s.certificates(ctx, r, time.Second)
	}},
	{"certificate-loaded", false, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		writers := func(ctx context.Context, n int) ([]load.Writer, error) { return r.signers(ctx, n) }
		return s.whileWriting(ctx, r, writers, s.rate, func(ctx context.Context) (figures, error) {
			return s.certificates(ctx, r, 40*time.Millisecond)
		})
	}},
	{"scores", true, func(s *sworn, ctx context.Context, r *rival) (figures, error) { return s.commands(ctx, r) }},
	{"scores-verify", false, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		return s.commands(ctx, r, "--verify", "--policy", r.policyFile())
	}},
	{"scores-verify-now", false, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		return s.commands(ctx, r, "--verify=now", "--policy", r.policyFile())
	}},
}

type swornCell struct{ work, group string }

// sworn is the options of the experiment.
type sworn struct {
	*bench
	works []string
	rate  float64
}

func swornCommand(b *bench) *cobra.Command {
	s := &sworn{bench: b}
	var known []string
	for _, w := range swornWorks {
		known = append(known, w.name)
	}
	return b.command("sworn", "Four frontends of a sworn group beside four of a secure one that is not",
		"Both groups run all the time, and are loaded in turn with the same: signed events, reads, and reads of a\n"+
			"process from its start to its end. Of the sworn group alone: the time from a post to the certificate that\n"+
			"covers it, verified by a reader who asks every 10 ms, idle and while others write; proofs from a\n"+
			"frontend's cache; and verifying reads. Needs wrk (apt-get install wrk).",
		func(f *pflag.FlagSet) {
			f.StringSliceVar(&s.works, "works", known, "what to measure, in turn")
			number(f, &s.rate, "write-rate", 3000.0, 1, 100_000, "events/s that others write in certificate-loaded")
		},
		func(ctx context.Context) error {
			if err := errors.Join(oneOf(known, s.works), lookPath("wrk", "wrk")); err != nil {
				return err
			}
			return s.experiment().run(ctx, b)
		})
}

func (s *sworn) experiment() *experiment[*rivals, swornCell] {
	x := &experiment[*rivals, swornCell]{
		name:   "sworn",
		heads:  []string{"work", "group"},
		labels: func(c swornCell) []string { return []string{c.work, c.group} },
		columns: append(eventColumns[swornCell](),
			medianOf[swornCell]("events/s beside", beside, thousands),
			ratioTo("sworn : secure", perSecond, func(c swornCell) (swornCell, bool) {
				return swornCell{c.work, secureGroup}, c.group == swornGroup
			})),
		start:   s.start,
		measure: s.measure,
	}
	for _, w := range swornWorks {
		if !slices.Contains(s.works, w.name) {
			continue
		}
		if w.both {
			x.cells = append(x.cells, swornCell{w.name, secureGroup})
		}
		x.cells = append(x.cells, swornCell{w.name, swornGroup})
	}
	return x
}

func (s *sworn) measure(ctx context.Context, both *rivals, c swornCell) (figures, error) {
	r := both.secure
	if c.group == swornGroup {
		r = both.sworn
	}
	for _, w := range swornWorks {
		if w.name == c.work {
			return w.run(s, ctx, r)
		}
	}
	return nil, fmt.Errorf("no work %q", c.work)
}

// rivals are the groups that are compared.
type rivals struct{ secure, sworn *rival }

// rival is one of them, with a contest that is read.
type rival struct {
	*frontends
	order []string     // addresses of the frontends, the master last
	path  string       // of the contest
	bard  *load.Signer // of the contest
}

func (r *rivals) stop() {
	for _, g := range []*rival{r.secure, r.sworn} {
		if g != nil {
			g.stop()
		}
	}
}

func (s *sworn) start(ctx context.Context, dir string, _ swornCell) (_ *rivals, err error) {
	both := &rivals{}
	defer func() {
		if err != nil {
			both.stop()
		}
	}()
	of := func(name, key string) (*rival, error) {
		g := &frontends{members: members{program: s.programs[s.program], dir: filepath.Join(dir, name)}, key: key}
		if _, err := s.startGroup(ctx, g, swornSize, true); err != nil {
			return nil, err
		}
		return startRival(ctx, g)
	}
	key := filepath.Join(dir, "operator.key")
	if _, err := keyfile.New(key); err != nil {
		return nil, err
	}
	if both.secure, err = of(secureGroup, ""); err != nil {
		return nil, err
	}
	both.sworn, err = of(swornGroup, key)
	return both, err
}

// signed measures n writers, each of which signs and posts one event after another.
func (s *sworn) signed(ctx context.Context, r *rival, n int) (figures, error) {
	writers, err := r.signers(ctx, n)
	if err != nil {
		return nil, err
	}
	return s.closedLoop(ctx, r, writers)
}

// certificates measures the time from the start of a post to the first answer under a
// certificate that covers it. One bard posts, with pauses of about a mean between the
// posts; one reader asks a frontend that is not the master.
func (s *sworn) certificates(ctx context.Context, r *rival, pause time.Duration) (figures, error) {
	text, err := os.ReadFile(r.policyFile())
	if err != nil {
		return nil, err
	}
	policy, err := witness.ReadPolicy(text)
	if err != nil {
		return nil, err
	}
	c, err := laurel.New([]string{"http://" + r.order[0]}, laurel.Options{})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	reader := certified.NewCertified(c, policy, "")
	span := s.span()
	return measured(ctx, span, r.list, func(ctx context.Context) (figures, error) {
		w := waiting{meter: load.NewMeter(span)}
		both, ctx := errgroup.WithContext(ctx)
		both.Go(func() error {
			return repeat(ctx, span, func() time.Duration { return pause/2 + rand.N(pause) }, func() error {
				sent := time.Now()
				err := r.bard.Write(ctx)
				w.add(sent, r.bard.Revision())
				return err
			})
		})
		both.Go(func() error {
			return repeat(ctx, span, func() time.Duration { return 10 * time.Millisecond }, func() error {
				a, err := reader.Get(ctx, r.path, nil)
				if err == nil {
					w.certified(a.Round.Revision)
				}
				return err
			})
		})
		err := both.Wait()
		f := rates(w.meter, span)
		delete(f, perSecond) // as many as were posted
		return f, err
	})
}

// repeat calls a function, with pauses, until the span ends.
func repeat(ctx context.Context, span load.Span, pause func() time.Duration, do func() error) error {
	for time.Now().Before(span.Until) {
		if err := do(); err != nil {
			return err
		}
		if err := load.Sleep(ctx, pause()); err != nil {
			return err
		}
	}
	return nil
}

// waiting is the posts that no certificate covers yet, in the order of their revisions.
type waiting struct {
	mu        sync.Mutex
	sent      []time.Time
	revisions []uint64
	meter     *load.Meter
}

func (w *waiting) add(sent time.Time, revision uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent, w.revisions = append(w.sent, sent), append(w.revisions, revision)
}

// certified records the posts up to a revision.
func (w *waiting) certified(revision uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.sent) > 0 && w.revisions[0] <= revision {
		w.meter.Record(w.sent[0], time.Now())
		w.sent, w.revisions = w.sent[1:], w.revisions[1:]
	}
}

// commands measures the command that shows a contest, from its start to its end.
func (s *sworn) commands(ctx context.Context, r *rival, more ...string) (figures, error) {
	id := strings.TrimPrefix(r.path, "/v1/scores/")
	args := append([]string{"scores", id, "--to", strings.Join(r.urls, ",")}, more...)
	m := load.NewMeter(load.Span{})
	f, err := measuredAround(r.list, func() (figures, time.Duration, error) {
		var used time.Duration
		from := time.Now()
		for time.Since(from) < s.duration {
			sent := time.Now()
			cmd := r.command(ctx, args...)
			if out, err := cmd.CombinedOutput(); err != nil {
				return nil, 0, fmt.Errorf("%s: %w: %s", cmd, err, out)
			}
			m.Add(time.Since(sent))
			used += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		}
		return rates(m, load.Span{From: from, Until: time.Now()}), used, nil
	})
	return f, err
}
