package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/cmd/bench/load"
)

// What is written while a record is read.
const (
	noWrites     = "none"
	writesSame   = "same"   // to the record that is read
	writesOthers = "others" // to other records
)

// Who is asked.
const (
	laurelFollower = "laurel-follower"
	laurelMaster   = "laurel-master"
)

// readConnections is the number of connections of wrk and redis-benchmark.
const readConnections = 64

// scheduledWriters is enough that each writer of a thousand events a second has time for
// a slow answer.
const scheduledWriters = 32

type readsCell struct{ writes, target string }

// reads is the options of the experiment.
type reads struct {
	*bench
	targets, writes []string
	writeRate       float64
}

func readsCommand(b *bench) *cobra.Command {
	r := &reads{bench: b}
	allTargets, allWrites := []string{laurelFollower, laurelMaster}, []string{noWrites, writesSame, writesOthers}
	return b.command("reads", "Linearizable reads of one record, idle and while it is written",
		"wrk asks for one record over 64 connections, each frontend in turn. Needs wrk (apt-get install wrk).",
		func(f *pflag.FlagSet) {
			f.StringSliceVar(&r.targets, "targets", allTargets, "frontends to ask, in turn")
			f.StringSliceVar(&r.writes, "writes", allWrites, "what is written meanwhile")
			number(f, &r.writeRate, "write-rate", 1000.0, 1, 100_000, "events/s that are written meanwhile")
		},
		func(ctx context.Context) error {
			err := errors.Join(oneOf(allTargets, r.targets), oneOf(allWrites, r.writes), lookPath("wrk", "wrk"))
			if err != nil {
				return err
			}
			return r.experiment().run(ctx, b)
		})
}

func (r *reads) experiment() *experiment[*hotRecord, readsCell] {
	x := &experiment[*hotRecord, readsCell]{
		name:    "reads",
		heads:   []string{"writes to", "asked"},
		labels:  func(c readsCell) []string { return []string{c.writes, c.target} },
		start:   r.start,
		measure: r.measure,
	}
	idle := func(c readsCell) (readsCell, bool) { return readsCell{noWrites, c.target}, c.writes != noWrites }
	x.columns = append([]column[readsCell]{medianOf[readsCell]("events/s written", beside, thousands)},
		append(loadColumns[readsCell]("reads/s"),
			ratioTo("reads/s : idle", perSecond, idle), ratioTo("p99 : p99 idle", p99, idle),
			answersOf[readsCell]())...)
	for _, w := range r.writes {
		for _, t := range r.targets {
			x.cells = append(x.cells, readsCell{w, t})
		}
	}
	return x
}

// hotRecord is a group with the contest that is read.
type hotRecord struct {
	*frontends
	contest
}

func (r *reads) start(ctx context.Context, dir string, _ readsCell) (*hotRecord, error) {
	g, err := r.startFrontends(ctx, dir, groupSize, false)
	if err != nil {
		return nil, err
	}
	c, err := g.startContest(ctx)
	if err != nil {
		g.stop()
		return nil, err
	}
	c.bard.Close()
	return &hotRecord{g, c}, nil
}

func (r *reads) measure(ctx context.Context, h *hotRecord, c readsCell) (figures, error) {
	t := target{group: h.frontends, addr: addrOf(c.target, h.contest.order), path: "/v1/scores/" + h.plays.Contest()}
	ask := func(ctx context.Context) (figures, error) { return r.wrk(ctx, t) }
	switch c.writes {
	case writesSame:
		return r.whileWriting(ctx, h, h.hotWriters, r.writeRate, ask)
	case writesOthers:
		others := func(ctx context.Context, n int) ([]load.Writer, error) { return h.writers(ctx, toAll, n) }
		return r.whileWriting(ctx, h, others, r.writeRate, ask)
	}
	return ask(ctx)
}

// hotWriters returns n writers of the record.
func (h *hotRecord) hotWriters(ctx context.Context, n int) ([]load.Writer, error) {
	run := load.NewRun()
	return h.posters(ctx, toAll, n, func(i int) *load.Plays { return h.plays.Join(run, i+1) })
}

// addrOf returns the address of the master, which is the last, or of another frontend.
func addrOf(target string, order []string) string {
	if target == laurelMaster {
		return order[len(order)-1]
	}
	return order[0]
}

// whileWriting runs the load while writers write on a schedule, and verifies what they
// wrote to s unless it is nil.
func (b *bench) whileWriting(
	ctx context.Context, s system, make func(ctx context.Context, n int) ([]load.Writer, error), rate float64,
	run func(context.Context) (figures, error),
) (figures, error) {
	writers, err := make(ctx, scheduledWriters)
	if err != nil {
		return nil, err
	}
	defer load.CloseAll(writers)
	var f figures
	written, err := load.WhileWriting(ctx, writers, rate, func(ctx context.Context) (err error) {
		f, err = run(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	f[beside] = written
	if s != nil {
		err = verify(ctx, s, writers...)
	}
	return f, err
}
