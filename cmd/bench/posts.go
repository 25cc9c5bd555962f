package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/cmd/bench/load"
	"laurel/trust/access"
)

type postsCell struct {
	system    string
	frontends int // or members
	to        string
	posters   int
}

// posts is the options of the experiment.
type posts struct {
	*bench
	systems, to        []string
	frontends, posters []int
}

func postsCommand(b *bench) *cobra.Command {
	p := &posts{bench: b}
	allSystems, allTo := []string{laurelName, etcdName, natsName}, []string{toMaster, toAll}
	return b.command("posts", "Durable single events over HTTP, beside single puts into etcd and NATS JetStream",
		"Each poster posts one event and waits for its answer. At the end of a cell the store's last seq of every\n"+
			"source must be the number of acknowledged events. JetStream has one stream in files with three replicas,\n"+
			"which are synced always.",
		func(f *pflag.FlagSet) {
			f.IntSliceVar(&p.posters, "posters", []int{1, 16, 64, 256}, "posters at once")
			f.IntSliceVar(&p.frontends, "frontends", []int{groupSize}, "frontends of a group of Laurel")
			f.StringSliceVar(&p.systems, "systems", []string{laurelName, etcdName}, strings.Join(allSystems, ", "))
			f.StringSliceVar(&p.to, "to", allTo, "members to post to")
		},
		func(ctx context.Context) error {
			if err := errors.Join(
				between(1, 1024, p.posters...), between(1, 15, p.frontends...),
				oneOf(allSystems, p.systems), oneOf(allTo, p.to),
			); err != nil {
				return err
			}
			return p.experiment().run(ctx, b)
		})
}

func (p *posts) experiment() *experiment[system, postsCell] {
	x := &experiment[system, postsCell]{
		name:  "posts",
		heads: []string{"to", "posters", "system", "members"},
		labels: func(c postsCell) []string {
			return []string{c.to, strconv.Itoa(c.posters), c.system, strconv.Itoa(c.frontends)}
		},
		servers: func(c postsCell) string { return fmt.Sprint(c.system, c.frontends) },
		foreign: func(c postsCell) bool { return c.system != laurelName },
		start: func(ctx context.Context, dir string, c postsCell) (system, error) {
			return p.startSystem(ctx, dir, c.system, c.frontends)
		},
		measure: func(ctx context.Context, s system, c postsCell) (figures, error) {
			return p.post(ctx, s, c.to, c.posters)
		},
		columns: eventColumns[postsCell](),
	}
	if len(p.frontends) > 1 {
		x.columns = append(x.columns, p.costOfOneMore())
	}
	for _, t := range p.to {
		for _, n := range p.posters {
			for _, s := range p.systems {
				sizes := []int{groupSize}
				if s == laurelName {
					sizes = p.frontends
				}
				for _, size := range sizes {
					x.cells = append(x.cells, postsCell{s, size, t, n})
				}
			}
		}
	}
	for _, peer := range []string{etcdName, natsName} {
		toPeer := func(c postsCell) (postsCell, bool) {
			return postsCell{peer, groupSize, c.to, c.posters}, c.system == laurelName
		}
		if slices.Contains(p.systems, peer) {
			x.columns = append(x.columns,
				ratioTo("events/s : "+peer, perSecond, toPeer), ratioTo("p50 : "+peer, p50, toPeer))
		}
	}
	return x
}

// costOfOneMore is a column with the processor time that each frontend more than the
// first number takes of an event.
func (p *posts) costOfOneMore() column[postsCell] {
	return column[postsCell]{"µs more for each further frontend", func(t table[postsCell], c postsCell) string {
		few := c
		few.frontends = p.frontends[0]
		above, has := median(t[c], cost)
		below, hasFew := median(t[few], cost)
		if !has || !hasFew || c.frontends == few.frontends {
			return ""
		}
		return oneDigit((above - below) / float64(c.frontends-few.frontends))
	}}
}

// post measures n writers, each of which writes one event after another.
func (b *bench) post(ctx context.Context, s system, to string, n int) (figures, error) {
	writers, err := s.writers(ctx, to, n)
	if err != nil {
		return nil, err
	}
	return b.closedLoop(ctx, s, writers)
}

// closedLoop measures writers, each of which writes one event after another, and closes them.
func (b *bench) closedLoop(ctx context.Context, s system, writers []load.Writer) (figures, error) {
	defer load.CloseAll(writers)
	span := b.span()
	f, err := measured(ctx, span, s.processes(), func(ctx context.Context) (figures, error) {
		m, err := load.ClosedLoop(ctx, writers, span)
		if err != nil {
			return nil, err
		}
		return rates(m, span), nil
	})
	if err != nil {
		return nil, err
	}
	return f, verify(ctx, s, writers...)
}

// streamCell is a way to run a group and to stream to its master.
type streamCell struct {
	name   string
	secure bool // the members have certificates, and the store takes only what is signed or has a token
	signed bool
	tls    bool // between bard and frontend
}

var streamCells = []streamCell{
	{name: "plain"},
	{name: "signed", signed: true},
	{name: "secure", signed: true, secure: true},
	{name: "tls", signed: true, secure: true, tls: true},
}

func streamCommand(b *bench) *cobra.Command {
	var ways, known []string
	for _, c := range streamCells {
		known = append(known, c.name)
	}
	return b.command("stream", "One NDJSON stream of events to the master, plain or signed, with or without TLS",
		"Each way gets a new group. plain: unsigned, to an insecure group. signed: the bard signs trees of 256 events\n"+
			"while it streams; its work is measured, too. secure: signed, to a group with certificates. tls: the same over\n"+
			"TLS.",
		func(f *pflag.FlagSet) {
			f.StringSliceVar(&ways, "ways", []string{"plain"}, "what to measure, in turn: "+strings.Join(known, ", "))
		},
		func(ctx context.Context) error {
			if err := oneOf(known, ways); err != nil {
				return err
			}
			x := &experiment[*frontends, streamCell]{
				name:   "stream",
				heads:  []string{"way"},
				labels: func(c streamCell) []string { return []string{c.name} },
				columns: append(eventColumns[streamCell](),
					ratioTo("of plain", perSecond, func(streamCell) (streamCell, bool) { return streamCells[0], len(ways) > 1 })),
				servers: func(c streamCell) string { return c.name },
				start: func(ctx context.Context, dir string, c streamCell) (*frontends, error) {
					return b.startFrontends(ctx, dir, groupSize, c.secure)
				},
				measure: b.stream,
			}
			for _, c := range streamCells {
				if slices.Contains(ways, c.name) {
					x.cells = append(x.cells, c)
				}
			}
			return x.run(ctx, b)
		})
}

// streamWindow is the most unanswered events of a stream.
const streamWindow = 4096

// stream measures a stream to the master.
func (b *bench) stream(ctx context.Context, g *frontends, c streamCell) (figures, error) {
	bard, next, err := newBard(ctx, g, c)
	if err != nil {
		return nil, err
	}
	defer bard.Close()
	span := b.span()
	f, err := measured(ctx, span, g.list, func(ctx context.Context) (figures, error) {
		m := load.NewMeter(span)
		err := bard.Stream(ctx, next(ctx, span.Until), streamWindow, m)
		return rates(m, span), err
	})
	if err != nil {
		return nil, err
	}
	return f, verify(ctx, g, bard)
}

// unlimited is a rate of events that no bard reaches. Without one a frontend takes 50,000 events a
// second of a key, after as many at once.
const unlimited = 1_000_000

// newBard connects a bard to the master. next returns its events up to a time.
func newBard(ctx context.Context, g *frontends, c streamCell) (
	bard *load.Poster, next func(context.Context, time.Time) func([]byte) ([]byte, error), err error,
) {
	addrs, err := g.targets(ctx, toMaster, 1)
	if err != nil {
		return nil, nil, err
	}
	plays := load.NewPlays(load.NewRun(), 1)
	if !c.signed {
		p, err := load.NewPoster(ctx, addrs[0], plays)
		return p, func(_ context.Context, end time.Time) func([]byte) ([]byte, error) { return plays.Until(end) }, err
	}
	private, lineage, err := g.grantBard(ctx, plays.Source())
	if err != nil {
		return nil, nil, err
	}
	s, err := load.NewSigner(ctx, addrs[0], plays, private, lineage, c.tls)
	if err != nil {
		return nil, nil, err
	}
	return s.Poster, s.Until, nil
}

// grantBard gives a new key the right to post as a source and those below it. It returns the
// key, and the lineage of the store.
func (g *frontends) grantBard(ctx context.Context, source string) (private ed25519.PrivateKey, lineage string, err error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	grant := access.GrantRequest{Name: source, Role: access.RoleBard, Public: public, Rate: unlimited}
	if g.key != "" {
		err = g.grantSigned(ctx, grant)
	} else {
		// A second grant to the same key replaces the first.
		err = await(ctx, g.list[0], func(ctx context.Context) error {
			return g.operate(ctx, "/v1/access/grants", grant, nil)
		})
	}
	if err != nil {
		return nil, "", err
	}
	lineage, err = g.lineage(ctx)
	return private, lineage, err
}
