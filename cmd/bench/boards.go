package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// What is asked of a board.
const (
	askRank   = "rank"   // of one player
	askAround = "around" // the ten about one
)

const redisName = "redis"

// boardsOptions are those of the subcommand boards alone.
type boardsOptions struct {
	players          int
	redis, redisTool string
}

func boardsCommand(o *options) *cobra.Command {
	of := &boardsOptions{}
	c := &cobra.Command{
		Use:   "boards",
		Short: "A leaderboard with a million players, beside a sorted set of Redis",
		Long: `One stream gives each of --players players a mark, in three frontends, each with its log on disk; Redis gets the same in pipelines, and syncs its log before it
answers, too, but has no replicas. Then players are asked for by chance, over --connections connections: their rank (of the frontends by HTTP with wrk, of Redis by its own
protocol with its own benchmark), and the ten about them; idle, and while --write-rate marks a second come in. At last a frontend is stopped, and
killed, and started again. Needs wrk and redis-server (apt-get install wrk redis-server).`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if of.players < 1000 || of.players > 10_000_000 {
				return fmt.Errorf("--players %d: want 1000 to 10000000", of.players)
			}
			cells := time.Duration(o.rounds * 12)
			return within(c, o, 2*cells*(o.settle+o.warmup+o.duration+5*time.Second)+time.Duration(of.players)*100*time.Microsecond+5*time.Minute,
				func(b *bench, ctx context.Context) error { return b.boards(ctx, of) })
		},
	}
	f := c.Flags()
	f.IntVar(&of.players, "players", 1_000_000, "players, each with a mark")
	f.StringVar(&of.redis, "redis-server", "redis-server", "the server of Redis")
	f.StringVar(&of.redisTool, "redis-benchmark", "redis-benchmark", "the benchmark of Redis")
	f.StringVar(&o.wrk, "wrk", "wrk", "the wrk program")
	f.IntVar(&o.connections, "connections", 64, "connections that ask, each for one answer after another")
	f.IntVar(&o.threads, "threads", 2, "threads of wrk")
	f.IntVar(&o.window, "window", 4096, "the most events of one stream that are sent and not yet answered")
	writeRate(c, o)
	return c
}

// boardsRun is a group and a Redis with the same players.
type boardsRun struct {
	*bench
	*boardsOptions
	dir     string
	group   *frontends
	server  *redisServer
	contest string
	order   []string // addresses of frontends, the master last
	table   boardsTable
}

func (b *bench) boards(ctx context.Context, of *boardsOptions) error {
	for _, program := range []string{b.wrk, of.redis, of.redisTool} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is missing (apt-get install wrk redis-server): %w", program, err)
		}
	}
	b.systems = []string{laurelName}
	machine, err := b.machine()
	if err != nil {
		return err
	}
	r := &boardsRun{bench: b, boardsOptions: of, dir: filepath.Join(b.work, "boards"), contest: "BENCH/OPEN", table: boardsTable{rounds: map[boardsRow][]measurement{}}}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	if r.group, err = startFrontends(ctx, b.laurel, r.dir, b.frontendArgs); err != nil {
		return err
	}
	defer r.group.stop()
	if r.server, err = startRedis(ctx, of.redis, r.dir, of.players); err != nil {
		return err
	}
	defer r.server.stop()
	for _, step := range []func(context.Context) error{r.fill, r.first, r.read, r.restarts} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.out, "\n%s %s, %d connections; %s\n\n%s", machine, firstWords(b.wrk), b.connections, firstWords(of.redis), r.table.markdown())
	return nil
}

// fill gives every player a mark, here and there.
func (r *boardsRun) fill(ctx context.Context) (err error) {
	if r.order, err = r.group.order(ctx); err != nil {
		return err
	}
	m := newMarks(newRun(), 0, r.players, r.contest, time.Now())
	w, err := dial(ctx, r.order[len(r.order)-1])
	if err != nil {
		return err
	}
	defer w.Close()
	first := &marker{wire: w, marks: m, body: m.appendStart(nil)}
	if err := first.post(ctx); err != nil {
		return err
	}
	began := time.Now()
	s := stream{wire: w, next: m.everyPlayer(), window: uint64(r.window), meter: newMeter(began, began.Add(time.Hour)), patience: streamPatience}
	if _, err := s.run(ctx); err != nil {
		return err
	}
	r.table.marks[0] = float64(r.players) / time.Since(began).Seconds()
	r.table.players = r.players
	if err := r.group.processes[0].await(ctx, func(ctx context.Context) error { return r.group.all(ctx, m.seq) }); err != nil {
		return err
	}
	if r.table.marks[1], err = r.server.everyPlayer(ctx); err != nil {
		return err
	}
	dataset, err := r.server.dataset(ctx)
	r.table.row = float64(dataset) / float64(r.players)
	fmt.Fprintf(r.out, "filled: laurel %s marks/s, redis %s marks/s\n%s\n", thousands(r.table.marks[0]), thousands(r.table.marks[1]), coresHead)
	return err
}

// first asks each frontend for the board for the first time.
func (r *boardsRun) first(ctx context.Context) error {
	for i, url := range r.group.urls {
		began := time.Now()
		if err := r.group.processes[i].await(ctx, func(ctx context.Context) error { return answersItself(ctx, url, r.path()) }); err != nil {
			return err
		}
		r.table.first = max(r.table.first, time.Since(began))
	}
	var err error
	r.table.memory, err = memoryOf(r.group.processes[0])
	return err
}

// path asks for one player.
func (r *boardsRun) path() string {
	return "/v1/leaderboard/" + r.contest + "?split=" + boardSplit + "&limit=1&around=" + player(0)
}

// read asks all, in turn, in each round.
func (r *boardsRun) read(ctx context.Context) error {
	var rows []boardsRow
	for _, writes := range []bool{false, true} {
		for _, what := range []string{askRank, askAround} {
			for _, target := range []string{laurelFollower, laurelMaster, redisName} {
				rows = append(rows, boardsRow{writes, what, target})
			}
		}
	}
	r.table.rows = rows
	for round := 1; round <= r.rounds; round++ {
		turn := slices.Clone(rows)
		if round%2 == 0 {
			slices.Reverse(turn)
		}
		for _, row := range turn {
			if err := r.rest(ctx); err != nil {
				return err
			}
			m, err := r.readCell(ctx, row)
			if err != nil {
				return fmt.Errorf("%s: %w", row, err)
			}
			r.table.rounds[row] = append(r.table.rounds[row], m)
			fmt.Fprintf(r.out, "round %d  %-44s  %s\n", round, row, m)
		}
	}
	return nil
}

func (r *boardsRun) readCell(ctx context.Context, row boardsRow) (m measurement, err error) {
	ctx, cancel := r.cell(ctx)
	defer cancel()
	if row.writes {
		var list []writer
		var lastSeq func(context.Context, string) (uint64, error)
		if list, lastSeq, err = r.markers(ctx, row.target); err != nil {
			return m, err
		}
		defer closeAll(list)
		var l *load
		ctx, l = startLoad(ctx, list, r.perSecond)
		defer func() {
			err = errors.Join(err, l.stop(ctx, lastSeq))
			m.beside = l.perSecond()
		}()
	}
	if row.target == redisName {
		before, err := used(r.server.process.cpu)
		if err != nil {
			return m, err
		}
		m, child, err := r.server.ask(ctx, r.redisTool, row.what, r.connections, r.duration)
		if err != nil {
			return m, err
		}
		after, err := used(r.server.process.cpu)
		m.cores = after.since(before, child)
		return m, err
	}
	addr := r.order[0]
	if row.target == laurelMaster {
		addr = r.order[len(r.order)-1]
	}
	script := filepath.Join(r.dir, "ask.lua")
	if err := os.WriteFile(script, []byte(r.script(addr, row.what)), 0o600); err != nil {
		return m, err
	}
	return r.wrkCell(ctx, target{url: "http://" + addr, script: script, frontend: "http://" + addr, cpu: r.group.cpu, system: r.group})
}

// script has wrk ask for a player by chance.
func (r *boardsRun) script(addr, what string) string {
	limit := 1
	if what == askAround {
		limit = 10
	}
	return fmt.Sprintf(`local random, format = math.random, string.format
function setup(thread) counter = (counter or 0) + 1; thread:set("seed", counter) end
function init() math.randomseed(seed) end
function request() return format("GET /v1/leaderboard/%s?split=%s&limit=%d&around=c%%012d HTTP/1.1\r\nHost: %s\r\n\r\n", random(0, %d)) end
`, r.contest, boardSplit, limit, addr, r.players-1)
}

// markers are those who give marks meanwhile.
func (r *boardsRun) markers(ctx context.Context, target string) (list []writer, lastSeq func(context.Context, string) (uint64, error), err error) {
	if target == redisName {
		list = r.server.zadders(besidePosters)
		return list, func(_ context.Context, source string) (uint64, error) {
			i := slices.IndexFunc(list, func(w writer) bool { return w.source() == source })
			return list[i].lastSeq(), nil // it keeps no count of each
		}, nil
	}
	run := newRun()
	for i := range besidePosters {
		w, err := dial(ctx, r.order[i%len(r.order)])
		if err != nil {
			closeAll(list)
			return nil, nil, err
		}
		list = append(list, &marker{wire: w, marks: newMarks(run, i+1, r.players, r.contest, time.Now())})
	}
	return list, r.group.lastSeq, nil
}

// restarts stops a frontend that is not the master, and then kills it, and starts it again with its data.
func (r *boardsRun) restarts(ctx context.Context) error {
	i := slices.Index(r.group.urls, "http://"+r.order[0])
	for at, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		p := r.group.processes[i]
		p.signal(signal)
		<-p.done
		began := time.Now()
		p, err := p.again()
		if err != nil {
			return err
		}
		r.group.processes[i] = p
		if err := p.await(ctx, func(ctx context.Context) error { return answersItself(ctx, r.group.urls[i], r.path()) }); err != nil {
			return err
		}
		r.table.starts[at] = time.Since(began)
		if r.table.started[at], err = memoryOf(p); err != nil {
			return err
		}
	}
	return nil
}

// answersItself tells whether a frontend answers from its own state.
func answersItself(ctx context.Context, url, path string) error {
	p, err := fetch(ctx, url, path)
	if err != nil {
		return err
	}
	if how := p.Header.Get("Laurel-Cache"); how != "hit" && how != "wait" {
		return fmt.Errorf("the answer came by %q", how)
	}
	return nil
}
