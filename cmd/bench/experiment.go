package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"laurel/cmd/bench/load"
)

// experiment measures each of its cells in each round, the cells in turn, so that what
// the machine does meanwhile meets all of them alike. K identifies a cell, E is what is
// started for cells.
type experiment[E any, K comparable] struct {
	name    string
	cells   []K
	heads   []string         // of the labels of a cell
	labels  func(K) []string // of a cell
	columns []column[K]
	// compared is the figure by which programs are compared with the first one; "" is
	// the rate.
	compared string
	// times is the number of rounds that measure a cell; nil means --rounds.
	times func(K) int
	// keep starts the servers once for all rounds, instead of anew for each.
	keep bool
	// servers names the servers of a cell. Cells with the same name share them. nil: all
	// cells do.
	servers func(K) string
	// foreign reports whether nothing of Laurel is among the servers of a cell, so that
	// it is measured once for all programs. nil: there is always something.
	foreign func(K) bool
	// start starts the servers of a cell.
	start func(ctx context.Context, dir string, k K) (env E, stop func(), err error)
	// measure measures a cell. It may take much longer than --warmup and --duration
	// together.
	measure func(ctx context.Context, env E, k K) (figures, error)
	long    time.Duration
}

// run measures everything, prints a line for each measurement and the table at the end.
// The servers come in an order of chance in each round; the programs that are compared
// follow one another for each of them.
func (x *experiment[E, K]) run(ctx context.Context, b *bench) (*comparison[K], error) {
	machine, err := b.machine(ctx)
	if err != nil {
		return nil, err
	}
	if x.times == nil {
		x.times = func(K) int { return b.rounds }
	}
	c := newComparison(x, b)
	rounds, shared := 0, 1
	for _, k := range x.cells {
		rounds = max(rounds, x.times(k))
	}
	if x.keep {
		shared = rounds
	}
	groups := x.groups()
	for first := 1; first <= rounds; first += shared {
		for _, g := range rand.Perm(len(groups)) {
			for _, p := range rand.Perm(len(b.programs)) {
				if p > 0 && c.foreign(groups[g][0]) {
					continue
				}
				b.program = p
				if err := x.share(ctx, b, c, groups[g], first, first+shared-1); err != nil {
					return nil, err
				}
			}
		}
	}
	fmt.Fprintf(b.out, "\n%s\n\n%s", machine, c.markdown())
	return c, nil
}

// groups returns the cells by their servers.
func (x *experiment[E, K]) groups() (groups [][]K) {
	if x.servers == nil {
		return [][]K{x.cells}
	}
	at := map[string]int{}
	for _, k := range x.cells {
		name := x.servers(k)
		i, known := at[name]
		if !known {
			i = len(groups)
			at[name], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], k)
	}
	return groups
}

// share measures some rounds of cells with the same servers.
func (x *experiment[E, K]) share(ctx context.Context, b *bench, c *comparison[K], cells []K, first, last int) error {
	dir := filepath.Join(b.work, fmt.Sprintf("%s-%d", x.name, first))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	env, stop, err := x.start(ctx, dir, cells[0])
	if err != nil {
		return fmt.Errorf("round %d: %w", first, err)
	}
	defer stop()
	for round := first; round <= last; round++ {
		if err := x.round(ctx, b, c, cells, env, round); err != nil {
			return err
		}
	}
	return nil
}

// round measures the cells, in even rounds in reverse order.
func (x *experiment[E, K]) round(ctx context.Context, b *bench, c *comparison[K], cells []K, env E, round int) error {
	cells = slices.Clone(cells)
	if round%2 == 0 {
		slices.Reverse(cells)
	}
	const grace = time.Minute
	for _, k := range cells {
		if round > x.times(k) {
			continue
		}
		if err := load.Sleep(ctx, b.settle); err != nil {
			return err
		}
		limit := b.warmup + b.duration + x.long + grace
		cellCtx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no end after %s", limit))
		f, err := x.measure(cellCtx, env, k)
		cancel()
		name := strings.Join(c.labels(k, b.program), ", ")
		if err != nil {
			return fmt.Errorf("round %d: %s: %w", round, name, err)
		}
		fmt.Fprintf(b.out, "round %d  %-36s  %s\n", round, name, c.add(k, b.program, f))
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
	cost       = "cost" // µs of the servers' processor time for each event or read
	ownCPU     = "generator"
	otherCPU   = "others"
	stale      = "stale"
	answeredBy = "answered by " // and one of Laurel-Cache's words
)
