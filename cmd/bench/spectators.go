package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// Where the members are, and which of them is asked.
const (
	onLoopback = "on one machine"
	atOwn      = "apart, asks the near one"
	atOther    = "apart, asks a far one"
)

// show is what spectators come to.
type show struct{ system, where string }

var allShows = []show{{laurelName, onLoopback}, {laurelName, atOwn}, {laurelName, atOther}, {etcdName, onLoopback}, {etcdName, atOwn}, {etcdName, atOther}}

func spectatorsCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "spectators",
		Short: "How long a read takes a few clients, with all members on one machine, and with a distance between them; beside etcd",
		Long: `A few clients, a third of them at each of three members, read on average --read-rate times a second each, at random moments; meanwhile bards post
--event-rate events a second about the contests that are read. 80 % of the reads ask for one contest, the others for the medal table or a list of 20 contests.
Laurel is read with its own Go client. From etcd the same is read, linearizable, with its own: one key, or 20 keys. Measured is a whole read, from the call on,
or from when it was due, if the one before it took so long.

First all is on the loopback; then each member has a network namespace of its own, and a packet takes --distance from one to another. A client is in the
namespace of the member that it asks, or, to see what that is worth, in another one. Needs root, the program ip and /dev/net/tun; nothing is left behind.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.checkSpectators(); err != nil {
				return err
			}
			limit := time.Duration(o.rounds*len(allShows)*len(o.clients))*(o.settle+o.warmup+o.spectateTime+10*time.Second) + time.Duration(o.rounds)*3*time.Minute
			return o.bounded(c, limit, (*bench).spectators)
		},
	}
	f := c.Flags()
	f.IntSliceVar(&o.clients, "clients", []int{6, 10, 14}, "how many read")
	f.DurationVar(&o.spectateTime, "time", 20*time.Second, "the measured time of one cell (in place of --duration)")
	f.Float64Var(&o.readRate, "read-rate", 5, "reads of each client in a second, on average")
	f.Float64Var(&o.spectateRate, "event-rate", 10, "events/s")
	f.DurationVar(&o.distance, "distance", 5*time.Millisecond, "how long a packet takes from one member to another, one way")
	return c
}

func (o *options) checkSpectators() error {
	for _, n := range o.clients {
		if n < 1 || n > 1000 {
			return fmt.Errorf("--clients %d: want 1 to 1000", n)
		}
	}
	if o.spectateTime < 100*time.Millisecond || o.spectateTime > 10*time.Minute {
		return fmt.Errorf("--time %s: want 100ms to 10m", o.spectateTime)
	}
	if o.readRate < 0.1 || o.readRate > 10_000 || o.spectateRate < 1 || o.spectateRate > 10_000 {
		return fmt.Errorf("--read-rate %g, --event-rate %g: want 0.1 and 1 to 10000", o.readRate, o.spectateRate)
	}
	if o.distance < 0 || o.distance > 100*time.Millisecond {
		return fmt.Errorf("--distance %s: want 0 to 100ms", o.distance)
	}
	return nil
}

// spectators runs itself again where it can have a network of its own, with the same options and the program that has been built.
func (b *bench) spectators(ctx context.Context) error {
	if os.Getenv(insideVar) == "" {
		return inOwnNetwork(ctx, b.out, append(slices.Clone(os.Args[1:]), "--laurel", b.laurel)...)
	}
	machine, err := b.machine()
	if err != nil {
		return err
	}
	m, err := newMesh(groupSize, b.distance)
	if err != nil {
		return err
	}
	defer m.close()
	t := &spectatorsTable{rounds: map[spectatorsRow][]attendance{}}
	for _, n := range b.clients {
		for _, s := range allShows {
			t.rows = append(t.rows, spectatorsRow{n, s})
		}
	}
	for round := 1; round <= b.rounds; round++ {
		shows := slices.Clone(allShows)
		if round%2 == 0 {
			slices.Reverse(shows)
		}
		for _, s := range shows {
			if err := b.show(ctx, m, round, s, t); err != nil {
				return fmt.Errorf("round %d: %s, %s: %w", round, s.system, s.where, err)
			}
		}
	}
	fmt.Fprintf(b.out, "\n%s\n\nRound trip between two members at a distance, as seen by connect: %s ms (p50); %d packets lost.\n\n%s", machine,
		millis(t.roundTrip), m.lost.Load(), t.markdown())
	return nil
}

// show starts a group and has it read by few and by more.
func (b *bench) show(ctx context.Context, m *mesh, round int, s show, t *spectatorsTable) error {
	dir := filepath.Join(b.work, fmt.Sprintf("spectators-%d", round))
	defer os.RemoveAll(dir)
	h, stop, err := b.openHouse(ctx, m, s, dir)
	if err != nil {
		return err
	}
	defer stop()
	if s.where != onLoopback {
		if t.roundTrip, err = m.roundTrip(ctx, m.members()[0], h.addrs[1]); err != nil {
			return err
		}
	}
	for _, n := range b.clients {
		if err := b.rest(ctx); err != nil {
			return err
		}
		a, err := b.attend(ctx, h, n)
		if err != nil {
			return fmt.Errorf("%d clients: %w", n, err)
		}
		row := spectatorsRow{n, s}
		t.rounds[row] = append(t.rounds[row], a)
		fmt.Fprintf(b.out, "round %d  %3d clients  %-6s  %-24s  %s\n", round, n, s.system, s.where, a)
	}
	return nil
}

// house is a group, and how a client comes to it.
type house struct {
	group system
	addrs []string // of the members
	// client makes the client number i, of those who read the bards' contests.
	client func(i int, bards []writer) (spectator, error)
}

// openHouse starts a group. Stop is for when there is no error.
func (b *bench) openHouse(ctx context.Context, m *mesh, s show, dir string) (h *house, stop func(), err error) {
	dir = filepath.Join(dir, s.system)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	var sites []*site
	if s.where != onLoopback {
		sites = m.members()
	}
	// from is the site of the client number i, and member the one that it asks.
	from := func(i int) (from *site, member int) {
		member = i % groupSize
		switch s.where {
		case atOwn:
			from = sites[member]
		case atOther:
			from = sites[(member+1)%groupSize]
		}
		return from, member
	}
	if s.system == etcdName {
		g, err := startEtcd(ctx, b.etcd, dir, sites...)
		if err != nil {
			return nil, nil, err
		}
		return &house{g, g.endpoints, func(i int, bards []writer) (spectator, error) {
			site, member := from(i)
			return newEtcdSpectator(site, g.endpoints[member], bards)
		}}, g.stop, nil
	}
	g, err := startFrontends(ctx, b.laurel, dir, b.frontendArgs, sites...)
	if err != nil {
		return nil, nil, err
	}
	var addrs []string
	for _, u := range g.urls {
		addrs = append(addrs, u[len("http://"):])
	}
	return &house{g, addrs, func(i int, bards []writer) (spectator, error) {
		site, member := from(i)
		return newLaurelSpectator(site, g.urls[member], fmt.Sprintf("f%d", member+1), bards)
	}}, g.stop, nil
}

// contests is how many there are to be read about.
const contests = 20

// attend lets n clients read while bards post.
func (b *bench) attend(ctx context.Context, h *house, n int) (a attendance, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.warmup+b.spectateTime+time.Minute, errors.New("no end a minute after it was due"))
	defer cancel()
	bards, err := h.group.writers(ctx, newRun(), toMaster, contests)
	if err != nil {
		return a, err
	}
	defer closeAll(bards)
	for _, w := range bards {
		if p, ok := w.(*putter); ok { // each has one key, as each of the others has one contest
			p.hot, p.value = p.plays.source, recordAt(1000)
		}
	}
	ctx, l := startLoad(ctx, bards, b.spectateRate)
	from := time.Now().Add(b.warmup)
	a, err = b.readAll(ctx, h, n, bards, span{from, from.Add(b.spectateTime)})
	return a, errors.Join(err, l.stop(ctx, h.group.lastSeq))
}
