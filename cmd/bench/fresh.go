package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

type freshRow struct {
	system string
	load   float64 // events/s that others write meanwhile
}

// fresh reads right after every ack, wherever the post did not go to.
func (b *bench) fresh(ctx context.Context) error {
	machine, err := b.machine()
	if err != nil {
		return err
	}
	t := &freshTable{cells: map[freshRow]*freshness{}}
	for _, perSecond := range []float64{0, b.perSecond} {
		for _, s := range b.systems {
			row := freshRow{s, perSecond}
			t.rows = append(t.rows, row)
			t.cells[row] = newFreshness()
		}
	}
	for round := 1; round <= b.rounds; round++ {
		if err := b.freshRound(ctx, round, t); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	fmt.Fprintf(b.out, "\n%s\n\n%s", machine, t.markdown())
	return t.verdict()
}

func (b *bench) freshRound(ctx context.Context, round int, t *freshTable) error {
	dir := filepath.Join(b.work, fmt.Sprintf("fresh-%d", round))
	defer os.RemoveAll(dir)
	systems := map[string]system{}
	for _, name := range b.systems {
		s, err := b.start(ctx, name, dir)
		if err != nil {
			return err
		}
		defer s.stop()
		systems[name] = s
	}
	for _, row := range t.rows {
		if err := b.rest(ctx); err != nil {
			return err
		}
		cell := newFreshness()
		if err := b.freshCell(ctx, systems[row.system], row, b.freshCount(row.system, round), cell); err != nil {
			return fmt.Errorf("%s under %.0f events/s: %w", row.system, row.load, err)
		}
		t.cells[row].add(cell)
		fmt.Fprintf(b.out, "round %d  %-6s  %4.0f events/s beside  %s\n", round, row.system, row.load, cell)
	}
	return nil
}

// freshCount is how many reads a round makes of the whole: all rounds together make what was asked for.
func (b *bench) freshCount(system string, round int) int {
	whole := b.count
	if system == etcdName {
		whole = b.etcdCount
	}
	return whole*round/b.rounds - whole*(round-1)/b.rounds
}

func (b *bench) freshCell(ctx context.Context, s system, row freshRow, count int, into *freshness) error {
	// A read after the ack takes some milliseconds; one that takes a hundred of them for all reads together hangs.
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute+time.Duration(count)*100*time.Millisecond, errors.New("the reads take too long"))
	defer cancel()
	cases, err := s.(watched).cases(ctx, newRun())
	if err != nil {
		return err
	}
	defer func() {
		for _, c := range cases {
			c.close()
		}
	}()
	if row.load == 0 {
		err = into.read(ctx, cases, count)
	} else {
		err = into.readBeside(ctx, s, row.load, cases, count)
	}
	if err != nil {
		return err
	}
	for _, c := range cases {
		if err := verify(ctx, s.lastSeq, c.writer.source(), c.writer.lastSeq()); err != nil {
			return err
		}
	}
	return nil
}

// readBeside reads while others write.
func (f *freshness) readBeside(ctx context.Context, s system, perSecond float64, cases []*freshCase, count int) error {
	others, err := s.writers(ctx, newRun(), toAll, besidePosters)
	if err != nil {
		return err
	}
	defer closeAll(others)
	loaded, l := startLoad(ctx, others, perSecond)
	readErr := f.read(loaded, cases, count)
	err = errors.Join(readErr, l.stop(loaded, s.lastSeq))
	f.beside = append(f.beside, l.perSecond())
	return err
}

// besidePosters is enough that each of a load of a thousand a second has time for a slow answer.
const besidePosters = 32

// watched is a system whose posts can be looked for at the members that they did not go to.
type watched interface {
	cases(ctx context.Context, run string) ([]*freshCase, error)
}

// freshCase is a writer at one member and probes at the others.
type freshCase struct {
	writer writer
	acked  func() ack // what was acked last
	probes []*probe
}

func (c *freshCase) close() {
	for _, p := range c.probes {
		p.close()
	}
	c.writer.close()
}

// read makes count reads, the cases in turn.
func (f *freshness) read(ctx context.Context, cases []*freshCase, count int) error {
	for _, c := range cases {
		for _, p := range c.probes {
			p.run(ctx)
		}
	}
	for n, i := 0, 0; n < count; i++ {
		c := cases[i%len(cases)]
		if err := c.writer.write(ctx); err != nil {
			return err
		}
		acked, want := time.Now(), c.acked()
		for _, p := range c.probes {
			if err := p.begin(want); err != nil {
				return err
			}
		}
		for _, p := range c.probes {
			select {
			case s := <-p.seen:
				if s.err != nil {
					return s.err
				}
				f.record(acked, s)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			n++
		}
	}
	return nil
}

// cases are one for each frontend: its post is looked for at the two others, one of which may be the master.
func (g *frontends) cases(ctx context.Context, run string) (list []*freshCase, err error) {
	order, err := g.order(ctx)
	if err != nil {
		return nil, err
	}
	for i, addr := range order {
		p, err := newPoster(ctx, addr, newPlays(run, i+1, time.Now()))
		if err != nil {
			return nil, err
		}
		c := &freshCase{writer: p, acked: func() ack { return ack{p.at, p.plays.totals[0] + p.plays.totals[1]} }}
		list = append(list, c)
		for j, other := range order {
			if j == i {
				continue
			}
			probe, err := scoreProbe(ctx, other, p.plays)
			if err != nil {
				return nil, err
			}
			c.probes = append(c.probes, probe)
		}
	}
	return list, nil
}

// cases is one: a put to the leader is looked for at the followers.
func (g *etcdGroup) cases(ctx context.Context, run string) ([]*freshCase, error) {
	order, err := g.order(ctx)
	if err != nil {
		return nil, err
	}
	leader := order[len(order)-1]
	client, err := connect(leader)
	if err != nil {
		return nil, err
	}
	p := &putter{client: client, owner: true, plays: newPlays(run, 1, time.Now())}
	p.hot = p.plays.source
	c := &freshCase{writer: p, acked: func() ack { return ack{p.at, p.acked} }}
	for _, follower := range order[:len(order)-1] {
		probe, err := serializableProbe(follower, hotKey(p.hot))
		if err != nil {
			return nil, err
		}
		c.probes = append(c.probes, probe)
	}
	return []*freshCase{c}, nil
}
