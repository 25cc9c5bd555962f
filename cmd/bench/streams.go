package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sync/errgroup"
)

type streamRow struct {
	to      string
	streams int
}

// streamTable is the rounds of every cell.
type streamTable struct {
	rows   []streamRow
	rounds map[streamRow][]measurement
}

func (b *bench) streams(ctx context.Context) error {
	t, err := b.measureStreams(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\n%s", t.markdown())
	return nil
}

func (b *bench) measureStreams(ctx context.Context) (*streamTable, error) {
	t := &streamTable{rounds: map[streamRow][]measurement{}}
	for _, to := range b.streamTo {
		for _, n := range b.streamCounts {
			t.rows = append(t.rows, streamRow{to, n})
		}
	}
	fmt.Fprintln(b.out, coresHead)
	for round := 1; round <= b.rounds; round++ {
		if err := b.streamRound(ctx, round, t); err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
	}
	return t, nil
}

func (b *bench) streamRound(ctx context.Context, round int, t *streamTable) error {
	dir := filepath.Join(b.work, fmt.Sprintf("streams-%d", round))
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	g, err := startFrontends(ctx, b.laurel, dir, b.frontendArgs)
	if err != nil {
		return err
	}
	defer g.stop()
	for _, row := range t.rows {
		if err := b.rest(ctx); err != nil {
			return err
		}
		m, err := b.streamCell(ctx, g, row)
		if err != nil {
			return fmt.Errorf("%d streams to %s: %w", row.streams, row.to, err)
		}
		t.rounds[row] = append(t.rounds[row], m)
		fmt.Fprintf(b.out, "round %d  to %-6s  %2d streams  %s\n", round, row.to, row.streams, m)
	}
	return nil
}

func (b *bench) streamCell(ctx context.Context, g *frontends, row streamRow) (measurement, error) {
	ctx, cancel := b.cell(ctx)
	defer cancel()
	bards, err := g.writers(ctx, newRun(), row.to, row.streams)
	if err != nil {
		return measurement{}, err
	}
	defer closeAll(bards)
	s := b.span()
	running, runCtx := errgroup.WithContext(ctx)
	var meters []*meter
	for _, w := range bards {
		p, m := w.(*poster), newMeter(s.from, s.until)
		meters = append(meters, m)
		running.Go(func() error {
			st := stream{wire: p.wire, next: until(s.until, p.plays), window: uint64(b.window), meter: m, patience: streamPatience}
			n, err := st.run(ctx)
			p.acked += n
			return err
		})
	}
	used, cpuErr := cpuDuring(runCtx, s, g.cpu)
	if err := running.Wait(); err != nil {
		return measurement{}, err
	}
	if cpuErr != nil {
		return measurement{}, cpuErr
	}
	for _, w := range bards {
		if err := verify(ctx, g.lastSeq, w.source(), w.lastSeq()); err != nil {
			return measurement{}, err
		}
	}
	out := summarize(meters, s.until.Sub(s.from))
	out.cores = used
	return out, nil
}

func (t *streamTable) markdown() string {
	var rows [][]string
	for _, r := range t.rows {
		rows = append(rows, append([]string{r.to, strconv.Itoa(r.streams)}, cells(t.rounds[r])...))
	}
	return markdown([]string{"to", "streams", "events/s (least-most)", "p50 ms", "p99 ms", coresHead}, rows)
}
