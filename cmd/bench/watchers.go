package main

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/cmd/bench/load"
)

// lateness is how long after the last event every watcher must have got it.
const lateness = 30 * time.Second

func watchersCommand(b *bench) *cobra.Command {
	var counts []int
	var rate float64
	return b.command("watchers", "Time until everybody who watches one contest has got an event",
		"Many watch one contest at a frontend that is not the master, each over a connection of its own, while events\n"+
			"about it are published at the master. Measured is from just before an event is sent until a watcher has read all\n"+
			"of its frame, over all watchers and events. Memory is that of the frontend that is watched at, less what it was\n"+
			"before, for each watcher; the kernel's memory for connections is not in it.",
		func(f *pflag.FlagSet) {
			f.IntSliceVar(&counts, "watchers", []int{1000, 5000, 10_000}, "watchers at once")
			number(f, &rate, "event-rate", 10.0, 1, 1000, "events/s")
		},
		func(ctx context.Context) error {
			if err := errors.Join(between(1, 12_000, counts...), load.AllowFiles(slices.Max(counts))); err != nil {
				return err
			}
			// A goroutine that waits in epoll keeps its processor for a while.
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + 1))
			x := &experiment[*frontends, int]{
				name:     "watchers",
				cells:    counts,
				heads:    []string{"watchers"},
				labels:   func(n int) []string { return []string{strconv.Itoa(n)} },
				compared: p99,
				columns: []column[int]{
					medianOf[int]("p50 ms", p50, millis),
					spreadOf[int]("p99 ms", p99, millis),
					mostOf[int]("most ms", "most", millis),
					coresOf[int](),
					medianOf[int]("KiB a watcher: all connected", "connected", oneDigit),
					medianOf[int]("at the end", "end", oneDigit),
					medianOf[int]("% got only as a newer one", "skipped", oneDigit),
				},
				// The group is new in each cell: memory must not be what another cell has
				// left.
				servers: strconv.Itoa,
				start: func(ctx context.Context, dir string, _ int) (*frontends, error) {
					return b.startFrontends(ctx, dir, groupSize, false)
				},
				long: 2 * time.Minute,
			}
			x.measure = func(ctx context.Context, g *frontends, n int) (figures, error) {
				return b.watch(ctx, g, n, rate)
			}
			return x.run(ctx, b)
		})
}

// watch measures n watchers of one contest.
func (b *bench) watch(ctx context.Context, g *frontends, n int, rate float64) (figures, error) {
	c, err := g.startContest(ctx)
	if err != nil {
		return nil, err
	}
	defer c.bard.Close()
	i, err := g.index(c.order[0])
	if err != nil {
		return nil, err
	}
	empty, err := residentKiB(g.list[i])
	if err != nil {
		return nil, err
	}
	warmup, events := int(b.warmup.Seconds()*rate), max(1, int(b.duration.Seconds()*rate))
	all, err := load.OpenWatchers(ctx, c.order[0], c.plays.Contest(), n, c.bard.Revision()+1, warmup, events)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	if err := load.Sleep(ctx, b.settle); err != nil {
		return nil, err
	}
	full, err := residentKiB(g.list[i])
	if err != nil {
		return nil, err
	}
	f, err := measured(ctx, b.span(), g.list, func(ctx context.Context) (figures, error) {
		if err := all.Publish(ctx, c.bard, rate); err != nil {
			return nil, err
		}
		seen, err := all.Wait(ctx, lateness)
		return figures{
			p50:       float64(seen.Latency.Quantile(50)),
			p99:       float64(seen.Latency.Quantile(99)),
			"most":    float64(seen.Latency.Quantile(100)),
			"skipped": 100 * float64(seen.Skipped) / float64(max(seen.Told, 1)),
		}, err
	})
	if err != nil {
		return nil, err
	}
	last, err := residentKiB(g.list[i])
	f["connected"], f["end"] = (full-empty)/float64(n), (last-empty)/float64(n)
	return f, err
}
