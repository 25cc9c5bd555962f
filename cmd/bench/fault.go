package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// fault is something that is done to a group while it is written and read.
type fault struct {
	name   string
	leader bool // it is done to the member that leads, else to another
	// strike does it, and returns when there is nothing more to do but to look. Struck is when it began.
	strike func(ctx context.Context, g faulted, victim int) (struck time.Time, err error)
	down   bool // the victim does not answer meanwhile
	killed bool // and must be started again
	limit  time.Duration
	linger time.Duration
}

const untilPaused = time.Second // of quiet writes and reads before each fault

func killFault() fault {
	return fault{name: "SIGKILL of the leader", leader: true, down: true, killed: true, limit: tryLimit, linger: 500 * time.Millisecond,
		strike: func(_ context.Context, g faulted, victim int) (time.Time, error) {
			struck := time.Now()
			g.process(victim).kill()
			return struck, nil
		}}
}

// pauseFault stops a member for some time. Where it is not the leader, a client waits: only time helps then.
func pauseFault(leader bool, pause time.Duration) fault {
	f := fault{name: fmt.Sprintf("a follower paused for %s", pause), down: true, limit: time.Second, linger: 500 * time.Millisecond}
	if leader {
		f.name, f.leader, f.limit, f.linger = fmt.Sprintf("the leader paused for %s", pause), true, tryLimit, time.Second
	}
	f.strike = func(ctx context.Context, g faulted, victim int) (time.Time, error) {
		struck := time.Now()
		p := g.process(victim)
		p.signal(syscall.SIGSTOP)
		defer p.signal(syscall.SIGCONT)
		select {
		case <-time.After(pause):
			return struck, nil
		case <-ctx.Done():
			return struck, context.Cause(ctx)
		}
	}
	return f
}

func transferFault() fault {
	return fault{name: "leadership handed over", leader: true, limit: tryLimit, linger: time.Second,
		strike: func(ctx context.Context, g faulted, victim int) (time.Time, error) {
			struck := time.Now()
			return struck, send(ctx, http.MethodPost, g.(*frontends).urls[victim]+"/v1/cluster/transfer", "{}")
		}}
}

// seen is what clients saw of one fault.
type seen struct {
	next        time.Duration // until an event that was posted after it was acked
	stall       time.Duration // the longest time between two acks
	stallBefore time.Duration // in the second before
	back        time.Duration // until the last of the other members answers reads without a break
	gap         time.Duration // the longest time without an answer at one of them
	took        time.Duration // the doing of it
	stale       int
	reads       int
	failed      int    // reads at the other members that were not answered, or refused
	last        string // why, the last one
}

func (s seen) String() string {
	text := fmt.Sprintf("next write %7s ms  stall %7s ms (before %s)  reads back %7s ms  gap %7s ms  took %7s ms  %d reads, %d stale",
		millis(s.next), millis(s.stall), millis(s.stallBefore), millis(s.back), millis(s.gap), millis(s.took), s.reads, s.stale)
	if s.failed > 0 {
		text += fmt.Sprintf("; %d failed, the last at %s", s.failed, strings.TrimSpace(s.last))
	}
	return text
}

// times is how often a fault is done to each system.
type times map[string]int

// faults does every fault so many times to every system, the systems in turn.
func (b *bench) faults(ctx context.Context, name string, list []fault, often times) error {
	machine, err := b.machine()
	if err != nil {
		return err
	}
	dir := filepath.Join(b.work, name)
	defer os.RemoveAll(dir)
	groups := map[string]faulted{}
	for system, n := range often {
		if n == 0 {
			continue
		}
		s, err := b.start(ctx, system, dir)
		if err != nil {
			return err
		}
		defer s.stop()
		groups[system] = s.(faulted)
	}
	t := &faultTable{seen: map[faultRow][]seen{}}
	for _, f := range list {
		for _, system := range []string{laurelName, etcdName} {
			if often[system] > 0 {
				t.rows = append(t.rows, faultRow{system, f.name})
			}
		}
		for i := range max(often[laurelName], often[etcdName]) {
			for _, system := range []string{laurelName, etcdName} {
				if i >= often[system] {
					continue
				}
				s, err := b.strike(ctx, groups[system], f)
				if err != nil {
					return fmt.Errorf("%s: %s, time %d: %w", system, f.name, i+1, err)
				}
				row := faultRow{system, f.name}
				t.seen[row] = append(t.seen[row], s)
				fmt.Fprintf(b.out, "%3d  %-6s  %s  %s\n", i+1, system, f.name, s)
			}
		}
	}
	fmt.Fprintf(b.out, "\n%s\n\n%s", machine, t.markdown())
	return t.verdict()
}

// strike does one fault to a group that is whole, and returns when it is whole again.
func (b *bench) strike(ctx context.Context, g faulted, f fault) (seen, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.settle+time.Minute, errors.New("no end of it after a minute"))
	defer cancel()
	if err := b.rest(ctx); err != nil {
		return seen{}, err
	}
	victim, err := g.leader(ctx)
	if err != nil {
		return seen{}, err
	}
	if !f.leader {
		victim = (victim + 1) % groupSize
	}
	p := newPlays(newRun(), 1, time.Now())
	members, err := g.open(ctx, p)
	if err != nil {
		return seen{}, err
	}
	defer func() {
		for _, m := range members {
			m.close()
		}
	}()
	var others, all []int
	for i := range members {
		all = append(all, i)
		if i != victim || !f.down {
			others = append(others, i)
		}
	}
	writeTo := all
	if f.down && !f.leader {
		writeTo = others // whoever posts to a member that is paused waits until it is not
	}
	w := startWatch(ctx, members, writeTo, f.limit, p)
	struck, took, err := f.watched(ctx, g, victim, others, w)
	if stopErr := w.stop(); stopErr != nil {
		return seen{}, stopErr
	}
	until := time.Now()
	if err != nil {
		return seen{}, err
	}
	if err := f.mend(ctx, g, victim, p); err != nil {
		return seen{}, err
	}
	return w.since(struck, until, took, others)
}

// mend returns when the group is whole again, and has what was acked.
func (f fault) mend(ctx context.Context, g faulted, victim int, p *plays) error {
	if f.killed {
		if err := g.restart(victim); err != nil {
			return err
		}
	}
	if err := g.process(victim).await(ctx, g.whole); err != nil {
		return err
	}
	if g.name() == etcdName {
		return nil // which counts a put that was tried twice as two
	}
	return verify(ctx, g.lastSeq, p.source, p.seq)
}

// watched does the fault a while after the watch has begun, and returns a while after all is well again.
func (f fault) watched(ctx context.Context, g faulted, victim int, others []int, w *watch) (struck time.Time, took time.Duration, err error) {
	sleep := func(d time.Duration) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(d):
			return nil
		}
	}
	if err := sleep(untilPaused); err != nil {
		return struck, 0, err
	}
	if struck, err = f.strike(ctx, g, victim); err != nil {
		return struck, 0, err
	}
	took = time.Since(struck)
	for {
		err := w.back(struck, others)
		if err == nil {
			break
		}
		if time.Since(struck) > 30*time.Second {
			return struck, took, fmt.Errorf("not well after 30 s: %w", err)
		}
		if err := sleep(5 * time.Millisecond); err != nil {
			return struck, took, err
		}
	}
	return struck, took, sleep(f.linger)
}

// since sums up what the watch saw of what was done at a time. It has been stopped.
func (w *watch) since(struck, until time.Time, took time.Duration, others []int) (s seen, err error) {
	// A gap that is shorter may be the processor's, which the members and their clients share.
	const still = 50 * time.Millisecond
	ok := false
	if s.next, ok = nextAfter(struck, w.writes); !ok {
		return s, errors.New("no event was acked after it")
	}
	s.stall = longestGap(struck, until, w.writes)
	if quiet := before(struck, w.writes); len(quiet) > 1 {
		s.stallBefore = longestGap(quiet[0].done, quiet[len(quiet)-1].done, quiet)
	}
	for _, i := range others {
		back, ok := outage(struck, still, w.reads[i])
		if !ok {
			return s, fmt.Errorf("the member %d did not go on answering", i+1)
		}
		s.back, s.gap = max(s.back, back), max(s.gap, longestGap(struck, until, w.reads[i]))
		for _, m := range w.reads[i] {
			if !m.ok && m.done.After(struck) {
				s.failed++
				s.last = fmt.Sprintf("member %d at %s ms: %v", i+1, millis(m.done.Sub(struck)), m.err)
			}
		}
	}
	for _, list := range w.reads {
		s.reads += len(list)
	}
	s.took, s.stale = took, w.stale
	return s, nil
}
