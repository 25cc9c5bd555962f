package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"laurel/cmd/bench/load"
)

// experiment measures each of its cells in each round, the cells in turn, so that what
// the machine does meanwhile meets all of them alike. K identifies a cell, E is what a
// round starts.
type experiment[E any, K comparable] struct {
	name    string
	cells   []K
	heads   []string         // of the labels of a cell
	labels  func(K) []string // of a cell
	columns []column[K]
	// times is the number of rounds that measure a cell; nil means --rounds.
	times func(K) int
	// keep starts the servers once for all rounds, instead of anew for each.
	keep bool
	// start starts what the cells of a round share.
	start func(ctx context.Context, dir string) (env E, stop func(), err error)
	// measure measures a cell. It may take much longer than --warmup and --duration
	// together.
	measure func(ctx context.Context, env E, k K) (figures, error)
	long    time.Duration
}

// run measures everything, prints a line for each measurement and the table at the end.
func (x *experiment[E, K]) run(ctx context.Context, b *bench) (*table[K], error) {
	machine, err := b.machine(ctx)
	if err != nil {
		return nil, err
	}
	t := &table[K]{cells: x.cells, heads: x.heads, labels: x.labels, columns: x.columns, rounds: map[K][]figures{}}
	if x.times == nil {
		x.times = func(K) int { return b.rounds }
	}
	rounds, shared := 0, 1
	for _, k := range x.cells {
		rounds = max(rounds, x.times(k))
	}
	if x.keep {
		shared = rounds
	}
	for first := 1; first <= rounds; first += shared {
		if err := x.share(ctx, b, t, first, first+shared-1); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(b.out, "\n%s\n\n%s", machine, t.markdown())
	return t, nil
}

// share measures some rounds with the same servers.
func (x *experiment[E, K]) share(ctx context.Context, b *bench, t *table[K], first, last int) error {
	dir := filepath.Join(b.work, fmt.Sprintf("%s-%d", x.name, first))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	env, stop, err := x.start(ctx, dir)
	if err != nil {
		return fmt.Errorf("round %d: %w", first, err)
	}
	defer stop()
	for round := first; round <= last; round++ {
		if err := x.round(ctx, b, t, env, round); err != nil {
			return err
		}
	}
	return nil
}

// round measures the cells, in even rounds in reverse order.
func (x *experiment[E, K]) round(ctx context.Context, b *bench, t *table[K], env E, round int) error {
	cells := slices.Clone(x.cells)
	if round%2 == 0 {
		slices.Reverse(cells)
	}
	const grace = time.Minute
	for _, k := range cells {
		if round > x.times(k) {
			continue
		}
		name := strings.Join(x.labels(k), ", ")
		if err := load.Sleep(ctx, b.settle); err != nil {
			return err
		}
		limit := b.warmup + b.duration + x.long + grace
		cellCtx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no end after %s", limit))
		f, err := x.measure(cellCtx, env, k)
		cancel()
		if err != nil {
			return fmt.Errorf("round %d: %s: %w", round, name, err)
		}
		t.rounds[k] = append(t.rounds[k], f)
		fmt.Fprintf(b.out, "round %d  %-36s  %s\n", round, name, t.line(k, f))
	}
	return nil
}

// figures are what one cell gave in one round, by name. Durations are in nanoseconds.
type figures map[string]float64

// Names of figures that many experiments have.
const (
	perSecond  = "/s"
	p50        = "p50"
	p99        = "p99"
	beside     = "beside" // events/s that others wrote meanwhile
	elections  = "elections"
	serverCPU  = "servers"
	ownCPU     = "generator"
	otherCPU   = "others"
	stale      = "stale"
	answeredBy = "answered by " // and one of Laurel-Cache's words
)
