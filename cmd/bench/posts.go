package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// system is a group of servers that takes durable writes.
type system interface {
	name() string
	writers(ctx context.Context, run, to string, n int) ([]writer, error)
	lastSeq(ctx context.Context, source string) (uint64, error)
	cpu() (time.Duration, error) // what its processes have used
	stop()
}

func (b *bench) start(ctx context.Context, name, dir string) (system, error) {
	dir = filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if name == etcdName {
		return startEtcd(ctx, b.etcd, dir)
	}
	return startFrontends(ctx, b.laurel, dir, b.frontendArgs)
}

func (b *bench) posts(ctx context.Context) error {
	t, err := b.measurePosts(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\n%s", t.markdown())
	return nil
}

func (b *bench) measurePosts(ctx context.Context) (*postsTable, error) {
	t := &postsTable{systems: b.systems, rounds: map[postsCell][]measurement{}}
	for _, to := range b.to {
		for _, n := range b.posters {
			t.rows = append(t.rows, postsRow{to, n})
		}
	}
	fmt.Fprintln(b.out, coresHead)
	for round := 1; round <= b.rounds; round++ {
		if err := b.postsRound(ctx, round, t); err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
	}
	return t, nil
}

// postsRound starts every system anew and then, cell by cell, loads one after another: what the machine does meanwhile meets all alike.
func (b *bench) postsRound(ctx context.Context, round int, t *postsTable) error {
	dir := filepath.Join(b.work, fmt.Sprintf("posts-%d", round))
	defer os.RemoveAll(dir)
	var systems []system
	for _, name := range b.systems {
		s, err := b.start(ctx, name, dir)
		if err != nil {
			return err
		}
		defer s.stop()
		systems = append(systems, s)
	}
	if round%2 == 0 {
		slices.Reverse(systems)
	}
	for _, row := range t.rows {
		for _, s := range systems {
			if err := b.rest(ctx); err != nil {
				return err
			}
			m, err := b.postsCell(ctx, s, row)
			if err != nil {
				return fmt.Errorf("%s, %d posters to %s: %w", s.name(), row.posters, row.to, err)
			}
			cell := postsCell{s.name(), row}
			t.rounds[cell] = append(t.rounds[cell], m)
			fmt.Fprintf(b.out, "round %d  %-6s  to %-6s  %4d posters  %s\n", round, s.name(), row.to, row.posters, m)
		}
	}
	return nil
}

func (b *bench) postsCell(ctx context.Context, s system, row postsRow) (measurement, error) {
	ctx, cancel := b.cell(ctx)
	defer cancel()
	writers, err := s.writers(ctx, newRun(), row.to, row.posters)
	if err != nil {
		return measurement{}, err
	}
	defer closeAll(writers)
	m, err := closedLoop(ctx, writers, b.span(), s.cpu)
	if err != nil {
		return measurement{}, err
	}
	for _, w := range writers {
		if err := verify(ctx, s.lastSeq, w.source(), w.lastSeq()); err != nil {
			return measurement{}, err
		}
	}
	return m, nil
}

// verify compares what was acked with what is there.
func verify(ctx context.Context, lastSeq func(context.Context, string) (uint64, error), source string, acked uint64) error {
	got, err := lastSeq(ctx, source)
	if err != nil {
		return err
	}
	if got != acked {
		return fmt.Errorf("the store is wrong: %d events of %s were acked, it has %d", acked, source, got)
	}
	return nil
}

// newRun names a cell, so that no two have a source or a contest in common.
func newRun() string { return strings.ToLower(rand.Text()[:6]) }

func closeAll(list []writer) {
	for _, w := range list {
		w.close()
	}
}
