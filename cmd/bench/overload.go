package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// overload is what the subcommand of that name is told.
type overload struct {
	connections, readers int
	factors              []float64
	peaks                []int
	readRate             float64
	deadline             time.Duration
	to                   string
	pin                  bool
}

func overloadCommand(o *options) *cobra.Command {
	v := &overload{}
	c := &cobra.Command{
		Use:   "overload",
		Short: "What is left of the goodput where several times more is posted than the frontends can take",
		Long: `Posts are due at --factors times the capacity, whatever was answered, over --connections connections, once alone and once beside --read-rate reads/s. Before each the
capacity is found anew, because it falls while the store fills: --peaks connections, each posting one event after another. A post for which no connection is free when it is due counts as offered, and as
nothing else. Goodput is what was acked within --deadline of when it was due. Refused posts go again when the next one is due on that connection, without
the time that Retry-After asks for: the clients are rude. In the end the store's last_seq of every source must be the number of acked events.

With --pin the servers share all cores but the last, and the generator has that one: else it would take from them what it measures.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := v.check(); err != nil {
				return err
			}
			o.systems = []string{laurelName}
			steps := time.Duration((len(v.peaks) + 1) * 2 * len(v.factors))
			return o.bounded(c, 2*steps*(o.settle+o.warmup+o.duration+floodPatience)+time.Minute, func(b *bench, ctx context.Context) error { return b.overload(ctx, v) })
		},
	}
	f := c.Flags()
	f.IntVar(&v.connections, "connections", 15_000, "connections that post")
	f.IntVar(&v.readers, "readers", 1_500, "connections that read")
	f.Float64SliceVar(&v.factors, "factors", []float64{1, 2, 5, 1}, "how many times the capacity is offered, in turn")
	f.IntSliceVar(&v.peaks, "peaks", []int{64, 256, 1024}, "connections with which the capacity is found; the best counts")
	f.Float64Var(&v.readRate, "read-rate", 10_000, "reads/s beside, three of four of one record and the fourth of a timeline; 0: none")
	f.DurationVar(&v.deadline, "deadline", 2*time.Second, "after which an answer is worth nothing")
	f.StringVar(&v.to, "to", toAll, "whom to ask: the master, or all three in turn")
	f.BoolVar(&v.pin, "pin", true, "a core for the generator alone")
	return c
}

func (v *overload) check() error {
	if v.connections < 1 || v.readers < 1 || v.connections+v.readers > 40_000 {
		return fmt.Errorf("--connections %d, --readers %d: want at least 1 each, and 40000 together at most", v.connections, v.readers)
	}
	for _, n := range v.peaks {
		if n < 1 || n > v.connections {
			return fmt.Errorf("--peaks %d: want 1 to --connections", n)
		}
	}
	for _, x := range v.factors {
		if x <= 0 || x > 20 {
			return fmt.Errorf("--factors %g: want more than 0, and 20 at most", x)
		}
	}
	if len(v.peaks) == 0 || v.readRate < 0 || v.readRate > 200_000 || v.deadline < 10*time.Millisecond || v.deadline > 10*time.Second {
		return fmt.Errorf("--peaks, --read-rate %g, --deadline %s: want some, 0 to 200000, and 10ms to 10s", v.readRate, v.deadline)
	}
	if v.pin && runtime.NumCPU() < 2 {
		return fmt.Errorf("--pin needs two cores")
	}
	if err := oneOf("to", []string{v.to}, []string{toMaster, toAll}); err != nil {
		return err
	}
	return allowFiles(v.connections + v.readers)
}

func (b *bench) overload(ctx context.Context, v *overload) error {
	machine, err := b.machine()
	if err != nil {
		return err
	}
	if v.pin {
		if err := pinThreads(allCores(runtime.NumCPU() - 1)); err != nil {
			return err
		}
	}
	dir := filepath.Join(b.work, "overload")
	g, err := startFrontends(ctx, b.laurel, dir, b.frontendArgs)
	if err != nil {
		return err
	}
	defer g.stop()
	if v.pin {
		last := unix.CPUSet{}
		last.Set(runtime.NumCPU() - 1)
		if err := pinThreads(last); err != nil {
			return err
		}
	}
	steps, err := b.overloadSteps(ctx, g, v)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\n%s\n\n%s\n%s", machine, overloadTable(steps), overloadVerdict(steps))
	return nil
}

// overloadSteps finds the capacity and offers more, for each factor anew.
func (b *bench) overloadSteps(ctx context.Context, g *frontends, v *overload) (steps []*step, err error) {
	f, err := newFlood(v.deadline)
	if err != nil {
		return nil, err
	}
	defer f.close()
	posts, reads, err := v.seat(ctx, g, f)
	if err != nil {
		return nil, err
	}
	for _, beside := range []float64{0, v.readRate}[:min(2, 1+int(v.readRate))] {
		for _, x := range v.factors {
			var found []*step
			peak := 0.0
			for _, n := range v.peaks {
				s, err := b.overloadStep(ctx, g, f, fmt.Sprintf("%d in turn", n), posts, reads, func(s span) { posts.inTurn(n, s); reads.offer(0, s) })
				if err != nil {
					return nil, err
				}
				found, peak = append(found, s), max(peak, s.goodput())
			}
			name := strconv.FormatFloat(x, 'g', 3, 64) + "x"
			if beside > 0 {
				name += " beside reads"
			}
			s, err := b.overloadStep(ctx, g, f, name, posts, reads, func(s span) { posts.offer(x*peak, s); reads.offer(beside, s) })
			if err != nil {
				return nil, err
			}
			found = append(found, s)
			for _, s := range found {
				s.peak = peak
			}
			steps = append(steps, found...)
		}
	}
	return steps, v.verify(ctx, g, posts)
}

func (b *bench) overloadStep(ctx context.Context, g *frontends, f *flood, name string, posts, reads *crowd, begin func(span)) (*step, error) {
	if err := b.rest(ctx); err != nil {
		return nil, err
	}
	before, err := g.epoch(ctx)
	if err != nil {
		return nil, err
	}
	s := b.span()
	begin(s)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		err := f.run(ctx, s)
		if err != nil {
			cancel(err)
		}
		done <- err
	}()
	used, cpuErr := cpuDuring(ctx, s, g.cpu)
	if err := <-done; err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if cpuErr != nil {
		return nil, cpuErr
	}
	after, err := g.epoch(ctx)
	if err != nil {
		return nil, err
	}
	out := &step{name: name, posts: posts.tally, reads: reads.tally, took: s.until.Sub(s.from), cores: used, epochs: after - before}
	fmt.Fprintln(b.out, out)
	return out, nil
}

// seat opens all connections. Some contests are shared by all who post.
func (v *overload) seat(ctx context.Context, g *frontends, f *flood) (posts, reads *crowd, err error) {
	const contests = 64
	run, now := newRun(), time.Now()
	addrs, err := g.targets(ctx, v.to, v.connections+v.readers)
	if err != nil {
		return nil, nil, err
	}
	var owners []*plays
	for i := range contests {
		p, err := newPoster(ctx, addrs[i%len(addrs)], newPlays(run, i, now))
		if err != nil {
			return nil, nil, err
		}
		p.close()
		owners = append(owners, p.plays)
	}
	var lines []*line
	for i := range v.connections {
		lines = append(lines, &line{host: addrs[i], head: postHead(addrs[i]), plays: owners[i%contests].joining(run, contests+i, now)})
	}
	if posts, err = f.seat(ctx, lines); err != nil {
		return nil, nil, err
	}
	lines = nil
	for i := range v.readers {
		path := "/v1/scores/" + owners[i%contests].contest
		if i%4 == 3 {
			path = "/v1/timeline/" + owners[i%contests].contest + "?limit=10"
		}
		lines = append(lines, &line{host: addrs[i], request: getRequest(addrs[i], path)})
	}
	reads, err = f.seat(ctx, lines)
	return posts, reads, err
}

// verify compares what was acked with what is there. An event that was last refused with 503 may be there too.
func (v *overload) verify(ctx context.Context, g *frontends, posts *crowd) error {
	for _, l := range posts.all {
		want := l.acked
		if l.doubt || !l.due.IsZero() {
			got, err := g.lastSeq(ctx, l.plays.source)
			if err != nil {
				return err
			}
			if got == want+1 {
				continue
			}
		}
		if err := verify(ctx, g.lastSeq, l.plays.source, want); err != nil {
			return err
		}
	}
	return nil
}

// allCores is the first n.
func allCores(n int) (set unix.CPUSet) {
	for i := range n {
		set.Set(i)
	}
	return set
}

// pinThreads keeps this process on some cores, and those that it starts from now on.
func pinThreads(set unix.CPUSet) error {
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
			return fmt.Errorf("keeping a thread on some cores: %w", err)
		}
	}
	return nil
}
