package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// plainName is the hub.
const plainName = "plain"

var allTellers = []string{laurelName, plainName, etcdName}

func watchersCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "watchers",
		Short: "How long until everybody who watches one record has been told of an event, beside a plain hub and etcd's watch",
		Long: `Many watch one record, each over a connection of its own, while --event-rate events a second are published about it. Measured is from just before an
event is sent to the server until a watcher has read all of its frame, over all watchers and events. An event that came only as a newer one counts until that
was there. In each cell the servers are new, and the next system does the same.

laurel: three frontends; all watch at one that is not the master, events are posted to the master.
plain:  one process, net/http, a goroutine and a channel for each watcher, the same frame; it keeps nothing, on no disk, and sends no heartbeats.
etcd:   three members; all watch one key at one that is not the leader, each over a connection of its own; the record is put to the leader.

Memory is VmRSS of the server that is watched at, less what it was before the first came, for each watcher: once all have come, and once all is told. The
kernel's memory for the connections is in none of these figures. One reader, with epoll, serves all systems in the same way.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.checkWatchers(); err != nil {
				return err
			}
			o.systems = slices.DeleteFunc(slices.Clone(o.tellers), func(s string) bool { return s == plainName })
			cells := time.Duration(o.rounds * len(o.watchers) * len(o.tellers))
			return o.bounded(c, cells*(o.settle+o.warmup+o.watchTime+time.Minute), (*bench).watch)
		},
	}
	f := c.Flags()
	f.IntSliceVar(&o.watchers, "watchers", []int{1000, 5000, 10_000}, "how many watch")
	f.StringSliceVar(&o.tellers, "systems", allTellers, "who tells them, in turn")
	f.DurationVar(&o.watchTime, "time", 20*time.Second, "the measured time of one cell (in place of --duration)")
	f.Float64Var(&o.tellRate, "event-rate", 10, "events/s")
	return c
}

func (o *options) checkWatchers() error {
	for _, n := range o.watchers {
		if n < 1 || n > 12_000 {
			return fmt.Errorf("--watchers %d: want 1 to 12000, which is what a frontend takes", n)
		}
	}
	if len(o.watchers) == 0 {
		return fmt.Errorf("--watchers: want at least one number")
	}
	if o.watchTime < 100*time.Millisecond || o.watchTime > 10*time.Minute {
		return fmt.Errorf("--time %s: want 100ms to 10m", o.watchTime)
	}
	if o.tellRate < 1 || o.tellRate > 1000 {
		return fmt.Errorf("--event-rate %g: want 1 to 1000", o.tellRate)
	}
	if err := oneOf("systems", o.tellers, allTellers); err != nil {
		return err
	}
	return allowFiles(slices.Max(o.watchers))
}

// allowFiles lets this process and those it starts have so many connections.
func allowFiles(n int) error {
	const others = 500
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("the limit of open files: %w", err)
	}
	if need := uint64(n + others); l.Max < need {
		return fmt.Errorf("%d watchers need %d open files in one process, and the hard limit is %d; raise it (ulimit -Hn), or take fewer --watchers", n, need, l.Max)
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("raising the limit of open files to %d: %w", l.Max, err)
	}
	return nil
}

type watchersRow struct {
	watchers int
	system   string
}

func (b *bench) watch(ctx context.Context) error {
	machine, err := b.machine()
	if err != nil {
		return err
	}
	t := &watchersTable{rounds: map[watchersRow][]telling{}}
	for _, n := range b.watchers {
		for _, s := range b.tellers {
			t.rows = append(t.rows, watchersRow{n, s})
		}
	}
	// A goroutine that waits in epoll keeps its processor for a while: there must be others for those who publish.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + audienceReaders))
	fmt.Fprintln(b.out, coresHead)
	for round := 1; round <= b.rounds; round++ {
		rows := slices.Clone(t.rows)
		if round%2 == 0 {
			slices.Reverse(rows)
		}
		for _, row := range rows {
			m, err := b.watchersCell(ctx, row, filepath.Join(b.work, fmt.Sprintf("watchers-%d-%d", round, row.watchers)))
			if err != nil {
				return fmt.Errorf("round %d: %s, %d watchers: %w", round, row.system, row.watchers, err)
			}
			t.rounds[row] = append(t.rounds[row], m)
			fmt.Fprintf(b.out, "round %d  %6s watchers  %-6s  %s\n", round, thousands(float64(row.watchers)), row.system, m)
		}
	}
	fmt.Fprintf(b.out, "\n%s\n\n%s\n%s", machine, t.markdown(), t.aims())
	return t.verdict()
}

// stage is a server that is watched at, and who publishes.
type stage struct {
	server *process
	addr   string
	speech speech
	caller caller
	cpu    func() (time.Duration, error)
	stop   func()
}

// caller is a writer that knows under which revision the watchers are told what it has written.
type caller interface {
	writer
	revision() uint64
}

func (b *bench) watchersCell(ctx context.Context, row watchersRow, dir string) (telling, error) {
	defer os.RemoveAll(dir)
	if err := b.rest(ctx); err != nil {
		return telling{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.settle+b.warmup+b.watchTime+2*time.Minute, fmt.Errorf("no end two minutes after it was due"))
	defer cancel()
	s, err := b.setStage(ctx, row.system, dir)
	if err != nil {
		return telling{}, err
	}
	defer s.stop()
	defer s.caller.close()
	return b.tellAll(ctx, s, row.watchers)
}

// tellAll lets the watchers in and publishes.
func (b *bench) tellAll(ctx context.Context, s *stage, watchers int) (m telling, err error) {
	const before = 100 // so that the results have more than one digit, and nothing is done for the first time
	for range before {
		if err := s.caller.write(ctx); err != nil {
			return m, err
		}
	}
	song := newSong(s.caller.revision()+1, int(b.warmup.Seconds()*b.tellRate), max(1, int(b.watchTime.Seconds()*b.tellRate)))
	empty, err := memoryOf(s.server)
	if err != nil {
		return m, err
	}
	a, err := seat(ctx, s.addr, watchers, s.speech, song)
	defer a.close()
	if err != nil {
		return m, err
	}
	if err := b.rest(ctx); err != nil {
		return m, err
	}
	full, err := memoryOf(s.server)
	if err != nil {
		return m, err
	}
	if m, err = b.sing(ctx, s, a); err != nil {
		return m, err
	}
	last, err := memoryOf(s.server)
	m.connected, m.after = float64(full.rss-empty.rss)/float64(watchers), float64(last.rss-empty.rss)/float64(watchers)
	return m, err
}

// lateness is how long after the last event all must have been told.
const lateness = 30 * time.Second

func (b *bench) sing(ctx context.Context, s *stage, a *audience) (m telling, err error) {
	from := time.Now().Add(b.warmup)
	measured := span{from, from.Add(b.watchTime)}
	sung := make(chan error, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		err := a.sing(ctx, s.caller, b.tellRate)
		if err != nil {
			cancel(err)
		}
		m.took = time.Since(measured.from)
		sung <- err
	}()
	used, cpuErr := cpuDuring(ctx, measured, s.cpu)
	if err := <-sung; err != nil {
		return m, err
	}
	if cpuErr != nil {
		return m, cpuErr
	}
	missing, err := a.hear(ctx, lateness)
	if err != nil {
		return m, err
	}
	events := len(a.song.sent) - a.song.warmup
	m.cores, m.missing, m.perSecond = used, missing, float64(events)/max(m.took, b.watchTime).Seconds()
	m.take(a)
	return m, nil
}

// contestWatch is where one contest is watched, by one who is not to be sent elsewhere.
func contestWatch(contest string) string { return "/v1/watch?moved=1&contest=" + contest }

func (b *bench) setStage(ctx context.Context, system, dir string) (*stage, error) {
	dir = filepath.Join(dir, system)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	switch system {
	case plainName:
		p, addr, err := startHub(ctx, dir)
		if err != nil {
			return nil, err
		}
		c, err := newPoster(ctx, addr, newPlays(newRun(), 1, time.Now()))
		if err != nil {
			p.kill()
			return nil, err
		}
		return &stage{server: p, addr: addr, speech: newEventStream(addr, contestWatch(c.plays.contest)), caller: c, cpu: p.cpu, stop: p.kill}, nil
	case etcdName:
		g, err := startEtcd(ctx, b.etcd, dir)
		if err != nil {
			return nil, err
		}
		return staged(ctx, g)
	default:
		g, err := startFrontends(ctx, b.laurel, dir, b.frontendArgs)
		if err != nil {
			return nil, err
		}
		return staged(ctx, g)
	}
}

// staged is the stage of a group, which stops with it.
func staged(ctx context.Context, g interface {
	stage(ctx context.Context) (*stage, error)
	stop()
}) (*stage, error) {
	s, err := g.stage(ctx)
	if err != nil {
		g.stop()
		return nil, err
	}
	s.stop = g.stop
	return s, nil
}

// stage is a frontend that is not the master, and a bard at the master.
func (g *frontends) stage(ctx context.Context) (*stage, error) {
	order, err := g.order(ctx)
	if err != nil {
		return nil, err
	}
	addr, master := order[0], order[len(order)-1]
	i := slices.IndexFunc(g.urls, func(u string) bool { return strings.TrimPrefix(u, "http://") == addr })
	if i < 0 {
		return nil, fmt.Errorf("the frontend at %s is none of %s", addr, g.urls)
	}
	c, err := newPoster(ctx, master, newPlays(newRun(), 1, time.Now()))
	if err != nil {
		return nil, err
	}
	return &stage{server: g.processes[i], addr: addr, speech: newEventStream(addr, contestWatch(c.plays.contest)), caller: c, cpu: g.cpu}, nil
}

// stage is a member that is not the leader, and a writer of one key at the leader.
func (g *etcdGroup) stage(ctx context.Context) (*stage, error) {
	order, err := g.order(ctx)
	if err != nil {
		return nil, err
	}
	addr, leader := order[0], order[len(order)-1]
	client, err := connect(leader)
	if err != nil {
		return nil, err
	}
	p := &putter{client: client, owner: true, plays: newPlays(newRun(), 1, time.Now())}
	p.hot = p.plays.source
	watch, err := newEtcdWatch(addr, hotKey(p.hot))
	if err != nil {
		client.Close()
		return nil, err
	}
	return &stage{server: g.processes[slices.Index(g.endpoints, addr)], addr: addr, speech: watch, caller: &recordPutter{putter: p}, cpu: g.cpu}, nil
}

// recordPutter puts a record again and again; it counts the revisions itself, so that the watchers find them in the value.
type recordPutter struct {
	*putter
	count uint64
}

func (p *recordPutter) write(ctx context.Context) error {
	p.count++
	p.value = recordAt(p.count)
	return p.putter.write(ctx)
}

func (p *recordPutter) revision() uint64 { return p.count }
