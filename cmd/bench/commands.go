package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// readCommands are those that show what the caches are worth: that nothing stale is read, how fast, and through which faults.
func readCommands(o *options) []*cobra.Command {
	return []*cobra.Command{freshCommand(o), readsCommand(o), pushcostCommand(o), watchersCommand(o), spectatorsCommand(o), failoverCommand(o), handoverCommand(o), hangCommand(o)}
}

func freshCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "fresh",
		Short: "Whether the first read after an ack, at every other frontend, shows what was acked; beside etcd's serializable reads",
		Long: `An event is posted to each frontend in turn; when it is acked, the contest is read at both others at once. A read that does not show the event is
stale; from Laurel there may be none, and one ends the run with an error. All is done once idle and once while others write. For etcd, the same is put to the
leader and read at both followers, serializable, which is etcd's way to read without asking the leader.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return within(c, o, time.Duration(o.rounds)*time.Minute+time.Duration(o.count+o.etcdCount)*2*20*time.Millisecond, (*bench).fresh)
		},
	}
	c.Flags().IntVar(&o.count, "count", 100_000, "first reads, over all rounds: so many idle, and so many under load")
	c.Flags().IntVar(&o.etcdCount, "etcd-count", 10_000, "the same for etcd")
	c.Flags().StringSliceVar(&o.systems, "systems", []string{laurelName, etcdName}, "what to read from, in turn")
	writeRate(c, o)
	return c
}

func writeRate(c *cobra.Command, o *options) {
	c.Flags().Float64Var(&o.perSecond, "write-rate", 1000, "events/s that others write, on a schedule, where the load is not idle")
}

func readsCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "reads",
		Short: "Linearizable reads of one record with wrk, beside a bare handler, nginx and etcd, idle and while it is written",
		Long: `wrk asks for one record over --connections connections, each server in turn. laurel-follower and laurel-master give the record; bare gives the same
bytes and header fields from net/http behind gorilla/mux; nginx gives the same bytes from a file; etcd-follower and etcd-leader give a value of the same size,
linearizable, by etcd's HTTP gateway. Needs wrk and nginx (apt-get install wrk nginx).`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cells := time.Duration(len(o.targets) * len(o.writes))
			return within(c, o, 2*time.Duration(o.rounds)*(cells*(o.settle+o.warmup+o.duration+5*time.Second)+20*time.Second), (*bench).reads)
		},
	}
	f := c.Flags()
	f.StringVar(&o.wrk, "wrk", "wrk", "the wrk program")
	f.StringVar(&o.nginx, "nginx", "nginx", "the nginx program")
	f.IntVar(&o.connections, "connections", 64, "connections that ask, each for one answer after another")
	f.IntVar(&o.threads, "threads", 2, "threads of wrk")
	f.StringSliceVar(&o.targets, "targets", allTargets, "who is asked, in turn")
	f.StringSliceVar(&o.writes, "writes", allWrites, "what is written meanwhile: nothing (none), events about the record that is read (same) or about others (others)")
	writeRate(c, o)
	return c
}

func pushcostCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "pushcost",
		Short: "What it costs a write that every cache has it first: the mode push against the mode pull, in one group",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cells := time.Duration(2 * len(o.pushPosters))
			return within(c, o, 2*time.Duration(o.rounds)*(cells*(o.settle+o.warmup+o.duration+5*time.Second)+20*time.Second), (*bench).pushcost)
		},
	}
	c.Flags().IntSliceVar(&o.pushPosters, "posters", []int{1, 16, 64}, "how many posters post at once, one event each")
	c.Flags().StringVar(&o.pushTo, "to", toMaster, "whom to post to: the master, or all three in turn")
	return c
}

func failoverCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "failover",
		Short: "How long until the next write and the next reads after the leader is killed, beside etcd",
		Long: `A poster posts one event after another, wherever it is taken, and a reader reads its contest at each frontend. The master is killed with SIGKILL, and
started again when all is well without it. A read that shows less than what was acked before it was sent is stale; from Laurel there may be none.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.withFaults(c, "failover", []fault{killFault()}, times{laurelName: o.kills, etcdName: o.etcdKills})
		},
	}
	c.Flags().IntVar(&o.kills, "times", 50, "how often Laurel's master is killed")
	c.Flags().IntVar(&o.etcdKills, "etcd-times", 10, "how often etcd's leader is killed")
	return c
}

func handoverCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "handover",
		Short: "How long writes and reads stand still when the mastership is handed over on purpose",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.withFaults(c, "handover", []fault{transferFault()}, times{laurelName: o.handovers})
		},
	}
	c.Flags().IntVar(&o.handovers, "times", 30, "how often")
	return c
}

func hangCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "hang",
		Short: "How long writes stand still when a frontend is paused with SIGSTOP: a follower, and the master",
		Long: `As failover, but a frontend is stopped for a while and goes on, as a machine that swaps or is moved does. Its reads are checked too: what it had been asked
when it stopped, it answers when it goes on.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.withFaults(c, "hang", []fault{pauseFault(false, o.followerPause), pauseFault(true, o.leaderPause)}, times{laurelName: o.hangs, etcdName: o.etcdHangs})
		},
	}
	f := c.Flags()
	f.IntVar(&o.hangs, "times", 20, "how often each is paused in Laurel")
	f.IntVar(&o.etcdHangs, "etcd-times", 0, "how often each is paused in etcd")
	f.DurationVar(&o.followerPause, "pause", 2*time.Second, "for how long a follower is paused")
	f.DurationVar(&o.leaderPause, "master-pause", 3*time.Second, "for how long the master is paused")
	return c
}

func (o *options) withFaults(c *cobra.Command, name string, list []fault, often times) error {
	n := time.Duration(len(list) * (often[laurelName] + often[etcdName]))
	return within(c, o, n*(o.settle+20*time.Second), func(b *bench, ctx context.Context) error {
		b.systems = nil // whose programs are needed
		for system, n := range often {
			if n > 0 {
				b.systems = append(b.systems, system)
			}
		}
		return b.faults(ctx, name, list, often)
	})
}

// within is with, for at most limit and some minutes.
func within(c *cobra.Command, o *options, limit time.Duration, run func(*bench, context.Context) error) error {
	if err := o.checkReads(); err != nil {
		return err
	}
	return o.bounded(c, limit+5*time.Minute, run)
}

// checkReads refuses what would take too long, or what is not there.
func (o *options) checkReads() error {
	bounds := []struct {
		flag        string
		got         []int
		least, most int
	}{
		{"count", []int{o.count}, 1, 10_000_000},
		{"etcd-count", []int{o.etcdCount}, 1, 10_000_000},
		{"connections", []int{o.connections}, 1, 4096},
		{"threads", []int{o.threads}, 1, min(64, o.connections)},
		{"posters", o.pushPosters, 1, 1024},
		{"times", []int{o.kills, o.handovers, o.hangs}, 0, 1000},
		{"etcd-times", []int{o.etcdKills, o.etcdHangs}, 0, 1000},
	}
	for _, b := range bounds {
		for _, n := range b.got {
			if n < b.least || n > b.most {
				return fmt.Errorf("--%s %d: want %d to %d", b.flag, n, b.least, b.most)
			}
		}
	}
	if o.perSecond < 1 || o.perSecond > 100_000 {
		return fmt.Errorf("--write-rate %g: want 1 to 100000", o.perSecond)
	}
	for _, d := range []time.Duration{o.followerPause, o.leaderPause} {
		if d < 10*time.Millisecond || d > 20*time.Second {
			return fmt.Errorf("--pause, --master-pause %s: want 10ms to 20s", d)
		}
	}
	if err := oneOf("targets", o.targets, allTargets); err != nil {
		return err
	}
	if err := oneOf("writes", o.writes, allWrites); err != nil {
		return err
	}
	return oneOf("to", []string{o.pushTo}, []string{toMaster, toAll})
}
