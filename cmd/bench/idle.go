package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/cmd/bench/load"
)

// What an idle group has.
const (
	idleAlone    = "nothing"
	idleWatchers = "watchers" // at a frontend that is not the master
	idleSecure   = "certificates"
)

type idleCell struct {
	frontends int
	with      string
}

func idleCommand(b *bench) *cobra.Command {
	var sizes []int
	var with []string
	var watchers int
	allWith := []string{idleAlone, idleWatchers, idleSecure}
	return b.command("idle", "Processor time of a group to which nobody posts",
		"Each group is new, and nothing is posted or read. Idle watchers watch one contest at a frontend that is not\n"+
			"the master. With certificates the members speak TLS among each other.",
		func(f *pflag.FlagSet) {
			f.IntSliceVar(&sizes, "frontends", []int{3, 9}, "frontends of a group, in turn")
			f.StringSliceVar(&with, "with", allWith, "what the group has")
			number(f, &watchers, "watchers", 100, 1, 12_000, "idle watchers")
		},
		func(ctx context.Context) error {
			err := errors.Join(between(1, 15, sizes...), oneOf(allWith, with), load.AllowFiles(watchers))
			if err != nil {
				return err
			}
			percent := func(f float64) string { return oneDigit(100 * f) }
			x := &experiment[*frontends, idleCell]{
				name:     "idle",
				heads:    []string{"frontends", "with"},
				labels:   func(c idleCell) []string { return []string{strconv.Itoa(c.frontends), c.with} },
				servers:  func(c idleCell) string { return strconv.Itoa(c.frontends) + c.with },
				compared: serverCPU,
				columns: []column[idleCell]{
					spreadOf[idleCell]("% of a core", serverCPU, percent),
					medianOf[idleCell]("% for each frontend", "each", percent),
				},
				start: func(ctx context.Context, dir string, c idleCell) (*frontends, func(), error) {
					return b.startFrontends(ctx, dir, c.frontends, c.with == idleSecure)
				},
			}
			x.measure = func(ctx context.Context, g *frontends, c idleCell) (figures, error) {
				if c.with == idleWatchers {
					all, err := openIdleWatchers(ctx, g, watchers)
					if err != nil {
						return nil, err
					}
					defer all.Close()
				}
				span := b.span()
				f, err := measured(ctx, span, g.list, func(ctx context.Context) (figures, error) {
					return figures{}, load.Sleep(ctx, time.Until(span.Until))
				})
				if err == nil {
					f["each"] = f[serverCPU] / float64(c.frontends)
				}
				return f, err
			}
			for _, n := range sizes {
				for _, w := range with {
					x.cells = append(x.cells, idleCell{n, w})
				}
			}
			_, err = x.run(ctx, b)
			return err
		})
}

// openIdleWatchers has n watch a contest about which nothing is posted any more.
func openIdleWatchers(ctx context.Context, g *frontends, n int) (*load.Watchers, error) {
	order, err := g.order(ctx)
	if err != nil {
		return nil, err
	}
	plays := load.NewPlays(load.NewRun(), 1)
	p, err := load.NewPoster(ctx, order[len(order)-1], plays)
	if err != nil {
		return nil, err
	}
	p.Close()
	return load.OpenWatchers(ctx, order[0], plays.Contest(), n, plays.Seq()+1, 0, 0)
}
