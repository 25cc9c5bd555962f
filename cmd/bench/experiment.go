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
type experiment[E interface{ stop() }, K comparable] struct {
	name    string
	cells   []K
	heads   []string         // of the labels of a cell
	labels  func(K) []string // of a cell
	columns []column[K]
	// compared is the figure by which programs are compared with the first one; "" is
	// the rate.
	compared string
	// keep starts the servers once for all rounds, instead of anew for each.
	keep bool
	// servers names the servers of a cell. Cells with the same name share them. nil: all
	// cells do.
	servers func(K) string
	// foreign reports whether nothing of Laurel is among the servers of a cell, so that
	// it is measured once for all programs. nil: there is always something.
	foreign func(K) bool
	// start starts the servers of a cell.
	start func(ctx context.Context, dir string, k K) (E, error)
	// measure measures a cell. It may take much longer than --warmup and --duration
	// together.
	measure func(ctx context.Context, env E, k K) (figures, error)
	long    time.Duration

	programs []string   // names
	tables   []table[K] // for each program
}

// run measures everything, prints a line for each measurement and the table at the end.
// The servers come in an order of chance in each round; the programs that are compared
// follow one another for each of them.
func (x *experiment[E, K]) run(ctx context.Context, b *bench) error {
	machine, err := b.machine(ctx)
	if err != nil {
		return err
	}
	if x.foreign == nil {
		x.foreign = func(K) bool { return false }
	}
	for _, p := range b.programs {
		x.programs, x.tables = append(x.programs, filepath.Base(p)), append(x.tables, table[K]{})
	}
	shared := 1
	if x.keep {
		shared = b.rounds
	}
	groups := x.groups()
	for first := 1; first <= b.rounds; first += shared {
		for _, g := range rand.Perm(len(groups)) {
			for _, p := range rand.Perm(len(b.programs)) {
				if p > 0 && x.foreign(groups[g][0]) {
					continue
				}
				b.program = p
				if err := x.share(ctx, b, groups[g], first, first+shared-1); err != nil {
					return err
				}
			}
		}
	}
	fmt.Fprintf(b.out, "\n%s\n\n%s", machine, x.markdown())
	return nil
}

// groups returns the cells by their servers.
func (x *experiment[E, K]) groups() (groups [][]K) {
	at := map[string]int{}
	for _, k := range x.cells {
		name := ""
		if x.servers != nil {
			name = x.servers(k)
		}
		if _, known := at[name]; !known {
			at[name], groups = len(groups), append(groups, nil)
		}
		groups[at[name]] = append(groups[at[name]], k)
	}
	return groups
}

// share measures some rounds of cells with the same servers.
func (x *experiment[E, K]) share(ctx context.Context, b *bench, cells []K, first, last int) error {
	dir := filepath.Join(b.work, fmt.Sprintf("%s-%d", x.name, first))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	env, err := x.start(ctx, dir, cells[0])
	if err != nil {
		return fmt.Errorf("round %d: %w", first, err)
	}
	defer env.stop()
	for round := first; round <= last; round++ {
		if err := x.round(ctx, b, cells, env, round); err != nil {
			return err
		}
	}
	return nil
}

// round measures the cells, in even rounds in reverse order.
func (x *experiment[E, K]) round(ctx context.Context, b *bench, cells []K, env E, round int) error {
	cells = slices.Clone(cells)
	if round%2 == 0 {
		slices.Reverse(cells)
	}
	const grace = 3 * time.Minute
	for _, k := range cells {
		if err := load.Sleep(ctx, b.settle); err != nil {
			return err
		}
		limit := b.warmup + b.duration + x.long + grace
		cellCtx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no end after %s", limit))
		f, err := x.measure(cellCtx, env, k)
		cancel()
		name := strings.Join(x.row(k, b.program), ", ")
		if err != nil {
			return fmt.Errorf("round %d: %s: %w", round, name, err)
		}
		fmt.Fprintf(b.out, "round %d  %-36s  %s\n", round, name, x.add(k, b.program, f))
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
	answeredBy = "answered by " // and one of Laurel-Cache's words
)
