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
				columns:  []column[idleCell]{spreadOf[idleCell]("% of a core", serverCPU, percent)},
				start: func(ctx context.Context, dir string, c idleCell) (*frontends, error) {
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
				return measured(ctx, span, g.list, func(ctx context.Context) (figures, error) {
					return figures{}, load.Sleep(ctx, time.Until(span.Until))
				})
			}
			for _, n := range sizes {
				for _, w := range with {
					x.cells = append(x.cells, idleCell{n, w})
				}
			}
			return x.run(ctx, b)
		})
}

// openIdleWatchers has n watch a contest about which nothing is posted any more.
func openIdleWatchers(ctx context.Context, g *frontends, n int) (*load.Watchers, error) {
	c, err := g.startContest(ctx)
	if err != nil {
		return nil, err
	}
	c.bard.Close()
	return load.OpenWatchers(ctx, c.order[0], c.plays.Contest(), n, c.bard.Revision()+1, 0, 0)
}
