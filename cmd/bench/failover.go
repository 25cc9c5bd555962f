package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/cmd/bench/load"
)

// quiet is the time of writes and reads before each fault.
const quiet = time.Second

// fault is something that is done to a group while it is written and read.
type fault struct {
	name   string
	leader bool // it is done to the leader, else to another member
	down   bool // the victim does not answer meanwhile
	killed bool // and must be started again
	// attempt bounds one attempt of a client. Where a follower is paused only time helps.
	attempt time.Duration
	// strike does it and returns when the victim is left alone.
	strike func(ctx context.Context, g faulted, victim int) error
	linger time.Duration // load afterwards
}

// faulted is a group whose members can be killed, paused and started again.
type faulted interface {
	system
	// clients returns a client of each member, for the record that the events of p
	// change.
	clients(ctx context.Context, p *load.Plays) ([]client, error)
	leader(ctx context.Context) (int, error)
	restart(i int) error
	allServe(ctx context.Context) error
}

func failoverCommand(b *bench) *cobra.Command {
	f := fault{
		name: "SIGKILL of the leader", leader: true, down: true, killed: true, attempt: attemptLimit, linger: 500 * time.Millisecond,
		strike: func(_ context.Context, g faulted, victim int) error {
			g.processes()[victim].Kill()
			return nil
		},
	}
	return b.faultCommand("failover", "Time until the next write and reads after the leader is killed, beside etcd",
		"A poster posts one event after another, wherever it is accepted, and a reader at each member reads the\n"+
			"contest. The leader is killed with SIGKILL, and started again when all is well without it.",
		50, 10, f)
}

func transferCommand(b *bench) *cobra.Command {
	f := fault{
		name: "leadership transferred", leader: true, attempt: attemptLimit, linger: time.Second,
		strike: func(ctx context.Context, g faulted, victim int) error {
			_, _, err := call(ctx, http.MethodPost, g.(*frontends).urls[victim]+"/v1/cluster/transfer", "", []byte("{}"))
			return err
		},
	}
	return b.faultCommand("transfer", "Time for which writes and reads stand still when leadership is transferred", "",
		30, 0, f)
}

func hangCommand(b *bench) *cobra.Command {
	return b.faultCommand("hang", "Time for which writes stand still when a member is paused with SIGSTOP",
		"As failover, but a member is paused and continued. Its reads are checked, too: it answers what it was asked\n"+
			"while it was paused.",
		20, 0, pauseFault(false, 2*time.Second), pauseFault(true, 3*time.Second))
}

func pauseFault(leader bool, pause time.Duration) fault {
	f := fault{name: fmt.Sprintf("a follower paused for %s", pause), down: true, attempt: time.Second, linger: 500 * time.Millisecond}
	if leader {
		f.name, f.leader = fmt.Sprintf("the leader paused for %s", pause), true
		f.attempt, f.linger = attemptLimit, time.Second
	}
	f.strike = func(ctx context.Context, g faulted, victim int) error {
		p := g.processes()[victim]
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		return errors.Join(load.Sleep(ctx, pause), p.Signal(syscall.SIGCONT))
	}
	return f
}

type faultCell struct{ system, fault string }

// faultCommand returns a command that does faults to Laurel and, if etcdTimes is not 0,
// to etcd.
func (b *bench) faultCommand(name, short, long string, times, etcdTimes int, faults ...fault) *cobra.Command {
	return b.command(name, short, long,
		func(f *pflag.FlagSet) {
			number(f, &times, "times", times, 0, 1000, "faults of each kind for Laurel")
			number(f, &etcdTimes, "etcd-times", etcdTimes, 0, 1000, "faults of each kind for etcd")
		},
		func(ctx context.Context) error {
			var systems []string
			often := map[string]int{laurelName: times, etcdName: etcdTimes}
			for _, s := range []string{laurelName, etcdName} {
				if often[s] > 0 {
					systems = append(systems, s)
				}
			}
			return b.faults(ctx, name, systems, faults, func(c faultCell) int { return often[c.system] })
		})
}

func (b *bench) faults(ctx context.Context, name string, systems []string, list []fault, times func(faultCell) int) error {
	x := &experiment[system, faultCell]{
		name:   name,
		heads:  []string{"system", "fault"},
		labels: func(c faultCell) []string { return []string{c.system, c.fault} },
		columns: []column[faultCell]{
			worstOf[faultCell]("next acknowledged write ms", "next", millis),
			worstOf[faultCell]("longest stall of writes ms", "stall", millis),
			worstOf[faultCell]("in the second before ms", "stall before", millis),
			worstOf[faultCell]("reads back at all others ms", "back", millis),
			worstOf[faultCell]("longest gap between reads ms", "gap", millis),
			sumOf[faultCell]("reads", "reads"),
			sumOf[faultCell]("stale", stale),
		},
		times:    times,
		keep:     true,
		compared: "next",
		servers:  func(c faultCell) string { return c.system },
		foreign:  func(c faultCell) bool { return c.system != laurelName },
		start: func(ctx context.Context, dir string, c faultCell) (system, func(), error) {
			return b.startSystem(ctx, dir, c.system, groupSize)
		},
	}
	byName := map[string]fault{}
	for _, f := range list {
		byName[f.name] = f
		for _, s := range systems {
			x.cells = append(x.cells, faultCell{s, f.name})
		}
	}
	x.measure = func(ctx context.Context, s system, c faultCell) (figures, error) {
		return byName[c.fault].measure(ctx, s.(faulted))
	}
	all, err := x.run(ctx, b)
	if err != nil {
		return err
	}
	for _, t := range all.tables {
		for _, c := range x.cells {
			if n := t.sum(c, stale); n > 0 && c.system == laurelName {
				return fmt.Errorf("%s: %g reads of Laurel were stale; none may be", c.fault, n)
			}
		}
	}
	return nil
}

// measure does the fault once to a group that is whole, and returns when it is whole
// again.
func (f fault) measure(ctx context.Context, g faulted) (figures, error) {
	victim, err := g.leader(ctx)
	if err != nil {
		return nil, err
	}
	if !f.leader {
		victim = (victim + 1) % groupSize
	}
	plays := load.NewPlays(load.NewRun(), 1)
	clients, err := g.clients(ctx, plays)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	var others []int
	for i := range clients {
		if i != victim || !f.down {
			others = append(others, i)
		}
	}
	writeTo := clients
	if f.down && !f.leader {
		writeTo = nil // a post to a paused follower waits until it goes on
		for _, i := range others {
			writeTo = append(writeTo, clients[i])
		}
	}
	l := startFaultLoad(ctx, clients, writeTo, f.attempt, plays)
	struck, err := f.do(ctx, g, victim, others, l)
	if stopErr := l.stop(); err != nil || stopErr != nil {
		return nil, errors.Join(stopErr, err)
	}
	until := time.Now()
	if f.killed {
		if err := g.restart(victim); err != nil {
			return nil, err
		}
	}
	if err := await(ctx, g.processes()[victim], g.allServe); err != nil {
		return nil, err
	}
	if g.name() == laurelName { // etcd counts a put that was tried twice as two
		if err := verifySource(ctx, g, plays.Source(), plays.Seq(), false); err != nil {
			return nil, err
		}
	}
	return l.figures(struck, until, others)
}

// do strikes a while after the load has begun, and returns a while after all is well
// again.
func (f fault) do(ctx context.Context, g faulted, victim int, others []int, l *faultLoad) (struck time.Time, err error) {
	if err := load.Sleep(ctx, quiet); err != nil {
		return struck, err
	}
	struck = time.Now()
	if err := f.strike(ctx, g, victim); err != nil {
		return struck, err
	}
	for {
		err := l.isBack(struck, others)
		if err == nil {
			return struck, load.Sleep(ctx, f.linger)
		}
		if time.Since(struck) > 30*time.Second {
			return struck, fmt.Errorf("not well after 30 s: %w", err)
		}
		if err := load.Sleep(ctx, 5*time.Millisecond); err != nil {
			return struck, err
		}
	}
}
