package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/cmd/bench/load"
	"laurel/internal/localgroup"
)

// What is asked of a leaderboard.
const (
	askRank   = "rank"   // of one player
	askAround = "around" // the ten about one player
)

const redisName = "redis"

type boardsCell struct {
	rate   float64 // of the marks that come in meanwhile
	what   string
	target string
}

// boards is the options of the experiment.
type boards struct {
	*bench
	players       int
	rates         []float64
	what, targets []string
}

func boardsCommand(b *bench) *cobra.Command {
	r := &boards{bench: b}
	allWhat, allTargets := []string{askRank, askAround}, []string{laurelFollower, laurelMaster, redisName}
	return b.command("boards", "A leaderboard with a million players, beside a sorted set of Redis",
		"One stream gives each player a mark, in three frontends. Redis gets the same in pipelines; it syncs its log\n"+
			"before it answers, too, but has no replicas. Then random players are asked for: their rank, or the ten about\n"+
			"them, idle and while marks come in. Needs wrk and redis-server (apt-get install wrk redis-server).",
		func(f *pflag.FlagSet) {
			number(f, &r.players, "players", 1_000_000, 1000, 10_000_000, "players")
			f.Float64SliceVar(&r.rates, "write-rate", []float64{0, 1000}, "marks/s meanwhile, in turn")
			f.StringSliceVar(&r.what, "ask", allWhat, "what is asked for")
			f.StringSliceVar(&r.targets, "targets", allTargets, "servers to ask, in turn")
		},
		func(ctx context.Context) error {
			err := errors.Join(between(0, 100_000, r.rates...), oneOf(allWhat, r.what), oneOf(allTargets, r.targets),
				lookPath("wrk redis-server", "wrk", "redis-server", "redis-benchmark"))
			if err != nil {
				return err
			}
			return r.experiment().run(ctx, b)
		})
}

func (r *boards) experiment() *experiment[*boardServers, boardsCell] {
	x := &experiment[*boardServers, boardsCell]{
		name:   "boards",
		heads:  []string{"asked for", "of"},
		labels: func(c boardsCell) []string { return []string{c.what, c.target} },
		columns: append([]column[boardsCell]{medianOf[boardsCell]("marks/s meanwhile", beside, thousands)},
			append(loadColumns[boardsCell]("reads/s"),
				ratioTo("reads/s : Redis's", perSecond, func(c boardsCell) (boardsCell, bool) {
					return boardsCell{c.rate, c.what, redisName}, c.target != redisName
				}),
				answersOf[boardsCell]())...),
		keep:    true,
		start:   r.start,
		measure: r.measure,
		long:    time.Minute,
	}
	for _, rate := range r.rates {
		for _, what := range r.what {
			for _, target := range r.targets {
				x.cells = append(x.cells, boardsCell{rate, what, target})
			}
		}
	}
	return x
}

// boardServers is a group and a Redis with the same players.
type boardServers struct {
	*boards
	dir     string
	group   *frontends
	redis   *redisServer
	contest string
	order   []string // addresses of the frontends, the master last
}

func (r *boards) start(ctx context.Context, dir string, _ boardsCell) (_ *boardServers, err error) {
	s := &boardServers{boards: r, dir: dir, contest: "BENCH/OPEN"}
	if s.group, err = r.startFrontends(ctx, dir, groupSize, false); err != nil {
		return nil, err
	}
	if s.redis, err = startRedis(ctx, dir, r.players); err != nil {
		s.group.stop()
		return nil, err
	}
	if err := s.fill(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *boardServers) stop() {
	s.redis.stop()
	s.group.stop()
}

// fill gives every player a mark, in both.
func (s *boardServers) fill(ctx context.Context) (err error) {
	if s.order, err = s.group.order(ctx); err != nil {
		return err
	}
	marks := load.NewMarks(load.NewRun(), 0, s.players, s.contest)
	bard, err := load.NewMarker(ctx, s.order[len(s.order)-1], marks, true)
	if err != nil {
		return err
	}
	defer bard.Close()
	began := time.Now()
	if err := bard.Stream(ctx, marks.EveryPlayer(), streamWindow, load.NewMeter(load.Span{})); err != nil {
		return err
	}
	ours := float64(s.players) / time.Since(began).Seconds()
	all := func(ctx context.Context) error { return s.group.hasAll(ctx, marks.Seq()) }
	if err := await(ctx, s.group.list[0], all); err != nil {
		return err
	}
	theirs, err := s.redis.fill(ctx)
	fmt.Fprintf(s.out, "%s players, one mark each: Laurel %s marks/s, Redis %s marks/s\n",
		thousands(float64(s.players)), thousands(ours), thousands(theirs))
	return err
}

func (r *boards) measure(ctx context.Context, s *boardServers, c boardsCell) (figures, error) {
	ask, writers, written := s.askRedis(c), s.redis.writers, system(nil)
	if c.target != redisName {
		addr := addrOf(c.target, s.order)
		script := filepath.Join(s.dir, "ask.lua")
		if err := os.WriteFile(script, []byte(s.script(addr, c.what)), 0o600); err != nil {
			return nil, err
		}
		t := target{group: s.group, addr: addr, script: script}
		ask = func(ctx context.Context) (figures, error) { return r.wrk(ctx, t) }
		writers, written = s.markers, s.group
	}
	if c.rate == 0 {
		return ask(ctx)
	}
	return r.whileWriting(ctx, written, writers, c.rate, ask)
}

func (s *boardServers) markers(ctx context.Context, n int) ([]load.Writer, error) {
	run := load.NewRun()
	return load.OpenAll(n, func(i int) (load.Writer, error) {
		marks := load.NewMarks(run, i+1, s.players, s.contest)
		return load.NewMarker(ctx, s.order[i%len(s.order)], marks, false)
	})
}

func (s *boardServers) askRedis(c boardsCell) func(context.Context) (figures, error) {
	return func(ctx context.Context) (figures, error) {
		return measuredAround([]*localgroup.Process{s.redis.process}, func() (figures, time.Duration, error) {
			return s.redis.measure(ctx, c.what, s.duration)
		})
	}
}

// script has wrk ask for random players.
func (s *boardServers) script(addr, what string) string {
	limit := 1
	if what == askAround {
		limit = 10
	}
	return fmt.Sprintf(`local random, format = math.random, string.format
function setup(thread) counter = (counter or 0) + 1; thread:set("seed", counter) end
function init() math.randomseed(seed) end
function request()
	return format("GET /v1/leaderboard/%s?split=%s&limit=%d&around=c%%012d HTTP/1.1\r\nHost: %s\r\n\r\n", random(0, %d))
end
`, s.contest, load.BoardSplit, limit, addr, s.players-1)
}
