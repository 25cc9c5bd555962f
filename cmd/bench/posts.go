package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"path/filepath"
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
	system  string
	to      string
	posters int
}

func postsCommand(b *bench) *cobra.Command {
	var posters []int
	var systems, to []string
	return b.command("posts", "Durable single events over HTTP, beside single puts into etcd",
		"Each poster posts one event and waits for its answer. At the end of a cell the store's last seq of every\n"+
			"source must be the number of acknowledged events.",
		func(f *pflag.FlagSet) {
			f.IntSliceVar(&posters, "posters", []int{1, 16, 64, 256}, "posters at once")
			f.StringSliceVar(&systems, "systems", []string{laurelName, etcdName}, "systems, in turn")
			f.StringSliceVar(&to, "to", []string{toMaster, toAll}, "members to post to")
		},
		func(ctx context.Context) error {
			if err := errors.Join(
				between(1, 1024, posters...), oneOf([]string{laurelName, etcdName}, systems), oneOf([]string{toMaster, toAll}, to),
			); err != nil {
				return err
			}
			_, err := b.posts(systems, to, posters).run(ctx, b)
			return err
		})
}

func (b *bench) posts(systems, to []string, posters []int) *experiment[map[string]system, postsCell] {
	x := &experiment[map[string]system, postsCell]{
		name:   "posts",
		heads:  []string{"to", "posters", "system"},
		labels: func(c postsCell) []string { return []string{c.to, strconv.Itoa(c.posters), c.system} },
		start: func(ctx context.Context, dir string) (map[string]system, func(), error) {
			return b.startSystems(ctx, dir, systems)
		},
		measure: func(ctx context.Context, all map[string]system, c postsCell) (figures, error) {
			return b.post(ctx, all[c.system], c.to, c.posters)
		},
	}
	toEtcd := func(c postsCell) (postsCell, bool) {
		return postsCell{etcdName, c.to, c.posters}, c.system == laurelName
	}
	x.columns = append(loadColumns[postsCell]("events/s"),
		ratioTo("events/s : etcd's", perSecond, toEtcd), ratioTo("p50 : etcd's", p50, toEtcd))
	for _, t := range to {
		for _, n := range posters {
			for _, s := range systems {
				x.cells = append(x.cells, postsCell{s, t, n})
			}
		}
	}
	return x
}

// post measures n writers, each of which writes one event after another.
func (b *bench) post(ctx context.Context, s system, to string, n int) (figures, error) {
	writers, err := s.writers(ctx, to, n)
	if err != nil {
		return nil, err
	}
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
			x := &experiment[string, streamCell]{
				name:   "stream",
				heads:  []string{"way"},
				labels: func(c streamCell) []string { return []string{c.name} },
				columns: append(loadColumns[streamCell]("events/s"),
					ratioTo("of plain", perSecond, func(streamCell) (streamCell, bool) { return streamCells[0], len(ways) > 1 })),
				start: func(_ context.Context, dir string) (string, func(), error) { return dir, func() {}, nil },
			}
			x.measure = func(ctx context.Context, dir string, c streamCell) (figures, error) {
				return b.stream(ctx, filepath.Join(dir, c.name), c)
			}
			for _, c := range streamCells {
				if slices.Contains(ways, c.name) {
					x.cells = append(x.cells, c)
				}
			}
			_, err := x.run(ctx, b)
			return err
		})
}

// streamWindow is the most unanswered events of a stream.
const streamWindow = 4096

// stream measures a stream to the master of a new group.
func (b *bench) stream(ctx context.Context, dir string, c streamCell) (figures, error) {
	g, err := b.startFrontends(ctx, dir, c.secure)
	if err != nil {
		return nil, err
	}
	defer g.stop()
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
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	grant := access.GrantRequest{Name: plays.Source(), Role: access.RoleBard, Public: public}
	if err := g.operate(ctx, "/v1/access/grants", grant, nil); err != nil {
		return nil, nil, err
	}
	lineage, err := g.lineage(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := load.NewSigner(ctx, addrs[0], plays, private, lineage, c.tls)
	if err != nil {
		return nil, nil, err
	}
	return s.Poster, s.Until, nil
}
