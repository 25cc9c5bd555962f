package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"laurel/cmd/bench/load"
)

// overload is the options of the experiment.
type overload struct {
	*bench
	connections, peak int
	factors           []float64
	deadline          time.Duration
	pin               bool
}

func overloadCommand(b *bench) *cobra.Command {
	v := &overload{bench: b}
	return b.command("overload", "Goodput where several times more is posted than the frontends can take",
		"Posts are due at --factors times the capacity, whatever was answered. Before each the capacity is found anew,\n"+
			"because it falls while the store fills: --peak connections post one event after another. A post for which no\n"+
			"connection is free when it is due counts as offered and as nothing else. Goodput is what was acknowledged\n"+
			"within --deadline of when it was due. Refused posts are sent again when the next one is due on that connection,\n"+
			"without the pause that Retry-After asks for. At the end the store's last seq of every source must be the number\n"+
			"of acknowledged events.",
		func(f *pflag.FlagSet) {
			number(f, &v.connections, "connections", 15_000, 1, 40_000, "connections that post")
			number(f, &v.peak, "peak", 1024, 1, 40_000, "connections with which the capacity is found")
			f.Float64SliceVar(&v.factors, "factors", []float64{1, 2, 5}, "times the capacity that is offered, in turn")
			number(f, &v.deadline, "deadline", 2*time.Second, 10*time.Millisecond, 10*time.Second, "age at which an answer is worthless")
			f.BoolVar(&v.pin, "pin", true, "a core for the generator alone, the others for the servers")
		},
		func(ctx context.Context) error {
			if err := errors.Join(between(0.1, 20, v.factors...), load.AllowFiles(v.connections)); err != nil {
				return err
			}
			return v.experiment().run(ctx, b)
		})
}

func (v *overload) experiment() *experiment[*overloadServers, float64] {
	return &experiment[*overloadServers, float64]{
		name:     "overload",
		compared: "good",
		cells:    v.factors,
		heads:    []string{"load"},
		labels:   func(x float64) []string { return []string{strconv.FormatFloat(x, 'g', 3, 64) + "x"} },
		columns: []column[float64]{
			medianOf[float64]("capacity/s", "capacity", thousands),
			medianOf[float64]("offered/s", "offered", thousands),
			medianOf[float64]("no connection free/s", "unsent", thousands),
			spreadOf[float64]("goodput/s", "good", thousands),
			medianOf[float64]("of the capacity", "of capacity", twoDigits),
			medianOf[float64]("worst second", "worst", thousands),
			medianOf[float64]("429/s", "429", thousands),
			medianOf[float64]("503/s", "503", thousands),
			sumOf[float64]("without Retry-After", "no retry-after"),
			medianOf[float64]("late/s", "late", thousands),
			sumOf[float64]("never answered", "lost"),
			medianOf[float64]("p50 ms", p50, millis),
			medianOf[float64]("p99 ms", p99, millis),
			sumOf[float64]("masters elected", elections),
			coresOf[float64](),
			mostOf[float64]("generator late by ms", "behind", millis),
		},
		start:   v.start,
		measure: v.measure,
		long:    v.warmup + v.duration + v.settle + 2*load.FloodPatience,
	}
}

// overloadServers is a group with all connections open.
type overloadServers struct {
	group *frontends
	flood *load.Flood
}

func (v *overload) start(ctx context.Context, dir string, _ float64) (*overloadServers, error) {
	cores := runtime.NumCPU()
	if v.pin && cores < 2 {
		return nil, errors.New("--pin needs two cores")
	}
	if v.pin { // the servers inherit it
		if err := pin(0, cores-1); err != nil {
			return nil, err
		}
	}
	g, err := v.startFrontends(ctx, filepath.Join(dir, laurelName), groupSize, false)
	if err != nil {
		return nil, err
	}
	if v.pin {
		err = pin(cores-1, cores)
	}
	s := &overloadServers{group: g}
	if err == nil {
		s.flood, err = v.connect(ctx, g)
	}
	if err != nil {
		g.stop()
		return nil, err
	}
	return s, nil
}

func (s *overloadServers) stop() {
	s.flood.Close()
	s.group.stop()
}

// connect opens all connections. The posters share some contests.
func (v *overload) connect(ctx context.Context, g *frontends) (*load.Flood, error) {
	const contests = 64
	run := load.NewRun()
	addrs, err := g.targets(ctx, toAll, groupSize)
	if err != nil {
		return nil, err
	}
	var owners []*load.Plays
	for i := range contests {
		plays := load.NewPlays(run, i)
		p, err := load.NewPoster(ctx, addrs[i%len(addrs)], plays)
		if err != nil {
			return nil, err
		}
		p.Close()
		owners = append(owners, plays)
	}
	var plays []*load.Plays
	for i := range v.connections {
		plays = append(plays, owners[i%contests].Join(run, contests+i))
	}
	return load.NewFlood(ctx, addrs, plays, v.deadline)
}

// measure finds the capacity and then offers a multiple of it.
func (v *overload) measure(ctx context.Context, s *overloadServers, factor float64) (figures, error) {
	found, err := v.flood(ctx, s, func(ctx context.Context, span load.Span) (*load.Tally, error) {
		return s.flood.InTurn(ctx, min(v.peak, v.connections), span)
	})
	if err != nil {
		return nil, err
	}
	if err := load.Sleep(ctx, v.settle); err != nil {
		return nil, err
	}
	capacity := found["good"]
	f, err := v.flood(ctx, s, func(ctx context.Context, span load.Span) (*load.Tally, error) {
		return s.flood.Offer(ctx, factor*capacity, span)
	})
	if err != nil {
		return nil, err
	}
	f["capacity"], f["of capacity"] = capacity, f["good"]/capacity
	return f, s.flood.Acked(func(source string, seq uint64, unsure bool) error {
		return verifySource(ctx, s.group, source, seq, unsure)
	})
}

func (v *overload) flood(
	ctx context.Context, s *overloadServers, run func(context.Context, load.Span) (*load.Tally, error),
) (figures, error) {
	before, err := s.group.epoch(ctx)
	if err != nil {
		return nil, err
	}
	span := v.span()
	f, err := measured(ctx, span, s.group.list, func(ctx context.Context) (figures, error) {
		t, err := run(ctx, span)
		if err != nil {
			return nil, err
		}
		return tallied(t, v.duration), nil
	})
	if err != nil {
		return nil, err
	}
	after, err := s.group.epoch(ctx)
	f[elections] = float64(after - before)
	return f, err
}

func tallied(t *load.Tally, took time.Duration) figures {
	per := func(n int) float64 { return float64(n) / took.Seconds() }
	f := figures{
		"offered":        per(t.Offered),
		"unsent":         per(t.Offered - t.Sent),
		"good":           per(t.Good),
		"429":            per(t.Refused[429]),
		"503":            per(t.Refused[503]),
		"no retry-after": float64(t.NoRetryAfter),
		"late":           per(t.Late),
		"lost":           float64(t.Lost),
		p50:              float64(t.Latency.Quantile(50)),
		p99:              float64(t.Latency.Quantile(99)),
		"behind":         float64(t.Behind),
		"worst":          per(t.Good),
	}
	if whole := t.Seconds[:int(took/time.Second)]; len(whole) > 0 {
		f["worst"] = float64(slices.Min(whole))
	}
	return f
}

// pin keeps this process, and those that it starts from now on, on the cores from up to
// below to.
func pin(from, to int) error {
	var set unix.CPUSet
	for i := from; i < to; i++ {
		set.Set(i)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil {
			return fmt.Errorf("pin a thread to cores: %w", err)
		}
	}
	return nil
}
