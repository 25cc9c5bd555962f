package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// flapping is the pattern of a follower that is stopped and continued again and again.
type flapping struct{ runs, pauses time.Duration }

var flappings = []flapping{
	{100 * time.Millisecond, 100 * time.Millisecond},
	{150 * time.Millisecond, 250 * time.Millisecond},
	{50 * time.Millisecond, 60 * time.Millisecond},
}

func (f flapping) String() string {
	if f.pauses == 0 {
		return "quiet"
	}
	return fmt.Sprintf("runs %s, pauses %s", f.runs, f.pauses)
}

// flapOptions are those of the subcommand flap alone.
type flapOptions struct {
	flapping time.Duration
	pause    time.Duration // of the poster, between an ack and the next post
}

func flapCommand(o *options) *cobra.Command {
	of := &flapOptions{}
	c := &cobra.Command{
		Use:   "flap",
		Short: "What a follower that stops and continues again and again costs a post",
		Long: `One poster posts one event after another to the master: first with all frontends quiet,
for --duration after --warmup; then, for --flapping each, while one follower is stopped and
continued with SIGSTOP and SIGCONT in a pattern. The first second of a pattern does not count: the
master needs it to see what the follower does. Compare two versions with --laurel.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if of.flapping < 2*flapStart || of.flapping > time.Minute || of.pause < 0 || of.pause > time.Second {
				return fmt.Errorf("--flapping %s, --pause %s: want %s to 1m, and 0 to 1s",
					of.flapping, of.pause, 2*flapStart)
			}
			phases := time.Duration(1 + len(flappings))
			round := phases*(o.settle+of.flapping+time.Minute) + o.warmup + o.duration
			return within(c, o, time.Duration(o.rounds)*round, func(b *bench, ctx context.Context) error {
				return b.flap(ctx, of)
			})
		},
	}
	c.Flags().DurationVar(&of.flapping, "flapping", 10*time.Second, "how long each pattern goes on")
	c.Flags().DurationVar(&of.pause, "pause", 10*time.Millisecond, "between an ack and the next post")
	return c
}

// flapStart is the beginning of a pattern, which does not count.
const flapStart = time.Second

func (b *bench) flap(ctx context.Context, of *flapOptions) error {
	b.systems = []string{laurelName}
	machine, err := b.machine()
	if err != nil {
		return err
	}
	t := &flapTable{rounds: map[flapping][]flapFigures{}}
	for round := 1; round <= b.rounds; round++ {
		if err := b.flapRound(ctx, round, of, t); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	fmt.Fprintf(b.out, "\n%s\n\n%s", machine, t.markdown())
	return nil
}

// flapRound starts a group and measures it quiet and in each pattern.
func (b *bench) flapRound(ctx context.Context, round int, of *flapOptions, t *flapTable) error {
	dir := filepath.Join(b.work, fmt.Sprintf("flap-%d", round))
	defer os.RemoveAll(dir)
	s, err := b.start(ctx, laurelName, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, f := range append([]flapping{{}}, flappings...) {
		if err := b.rest(ctx); err != nil {
			return err
		}
		figures, err := b.flapCell(ctx, s.(*frontends), f, of)
		if err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		t.rounds[f] = append(t.rounds[f], figures)
		fmt.Fprintf(b.out, "round %d  %-28s %s\n", round, f, figures)
	}
	return nil
}

// flapCell measures posts to the master while a follower flaps, and returns when the group is whole
// again.
func (b *bench) flapCell(
	ctx context.Context, g *frontends, f flapping, of *flapOptions,
) (flapFigures, error) {
	from, until := time.Now().Add(b.warmup), time.Now().Add(b.warmup+b.duration)
	if f.pauses > 0 {
		from, until = time.Now().Add(flapStart), time.Now().Add(of.flapping)
	}
	ctx, cancel := context.WithDeadlineCause(ctx, until.Add(time.Minute),
		errors.New("no end a minute after it was due"))
	defer cancel()
	master, err := g.leader(ctx)
	if err != nil {
		return flapFigures{}, err
	}
	epoch, err := g.epoch(ctx)
	if err != nil {
		return flapFigures{}, err
	}
	list, err := g.writers(ctx, newRun(), toMaster, 1)
	if err != nil {
		return flapFigures{}, err
	}
	defer closeAll(list)
	over, end := context.WithCancel(ctx)
	var flaps sync.WaitGroup
	if f.pauses > 0 {
		flaps.Go(func() { f.flap(over, g.process((master+1)%groupSize)) })
	}
	m, err := postPaced(ctx, list[0], from, until, of.pause)
	end()
	flaps.Wait()
	if err != nil {
		return flapFigures{}, err
	}
	if err := g.process(master).await(ctx, g.whole); err != nil {
		return flapFigures{}, err
	}
	if err := verify(ctx, g.lastSeq, list[0].source(), list[0].lastSeq()); err != nil {
		return flapFigures{}, err
	}
	after, err := g.epoch(ctx)
	if err != nil {
		return flapFigures{}, err
	}
	figures := newFlapFigures(m)
	figures.elections = after - epoch
	return figures, nil
}

// flap stops and continues a process until ctx ends. The process runs then.
func (f flapping) flap(ctx context.Context, p *process) {
	defer p.signal(syscall.SIGCONT)
	for {
		for _, half := range []struct {
			signal syscall.Signal
			lasts  time.Duration
		}{{syscall.SIGSTOP, f.pauses}, {syscall.SIGCONT, f.runs}} {
			p.signal(half.signal)
			select {
			case <-ctx.Done():
				return
			case <-time.After(half.lasts):
			}
		}
	}
}

// postPaced has w write one event after another until a time, with a pause before each, and meters
// what is acked after from.
func postPaced(
	ctx context.Context, w writer, from, until time.Time, pause time.Duration,
) (*meter, error) {
	// An event that is acked late counts, too.
	m := newMeter(from, until.Add(time.Hour))
	for time.Now().Before(until) {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
		sent := time.Now()
		if err := w.write(ctx); err != nil {
			return nil, err
		}
		m.record(sent, time.Now())
	}
	if m.hist.TotalCount() == 0 {
		return nil, errors.New("no event was acked in the measured time")
	}
	return m, nil
}
