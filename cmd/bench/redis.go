package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"laurel/cmd/bench/load"
	"laurel/internal/localgroup"
)

// redisServer is one Redis with a sorted set. It syncs every change to its log before it
// answers, as frontends do. It has no replicas.
type redisServer struct {
	process *localgroup.Process
	addr    string
	client  *redis.Client
	players int
}

const (
	redisBoard   = "board"
	redisMaxMark = 1_000_000
	// redisPipeline is the number of ZADD that go out together where all players get
	// their mark.
	redisPipeline = 1000
)

func startRedis(ctx context.Context, dir string, players int) (*redisServer, error) {
	addrs, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "redis")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(addrs[0], ":")
	p, err := startProcess("redis", dir, "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "always")
	if err != nil {
		return nil, err
	}
	client := redis.NewClient(&redis.Options{Addr: addrs[0], DisableIdentity: true, PoolSize: scheduledWriters})
	s := &redisServer{process: p, addr: addrs[0], client: client, players: players}
	if err := await(ctx, p, func(ctx context.Context) error { return client.Ping(ctx).Err() }); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *redisServer) stop() {
	_ = s.client.Close()
	s.process.Kill()
}

// fill gives each player one mark, many in one pipeline, and returns the rate.
func (s *redisServer) fill(ctx context.Context) (perSecond float64, err error) {
	random := rand.New(rand.NewPCG(1, uint64(s.players)))
	order, began := random.Perm(s.players), time.Now()
	for at := 0; at < len(order); at += redisPipeline {
		pipe := s.client.Pipeline()
		for _, n := range order[at:min(at+redisPipeline, len(order))] {
			pipe.ZAdd(ctx, redisBoard, redis.Z{Score: float64(random.IntN(redisMaxMark)), Member: load.Player(n)})
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return 0, fmt.Errorf("redis: %w", err)
		}
	}
	took := time.Since(began)
	if n, err := s.client.ZCard(ctx, redisBoard).Result(); err != nil || n != int64(s.players) {
		return 0, fmt.Errorf("redis has %d players of %d (%w)", n, s.players, err)
	}
	return float64(s.players) / took.Seconds(), nil
}

// writers returns n writers that give marks to random players. Each has a connection.
func (s *redisServer) writers(_ context.Context, n int) ([]load.Writer, error) {
	mark := func(ctx context.Context, _ *load.Plays, _ []byte) error {
		z := redis.Z{Score: float64(rand.IntN(redisMaxMark)), Member: load.Player(rand.IntN(s.players))}
		return s.client.ZAdd(ctx, redisBoard, z).Err()
	}
	return openPutters([]string{s.addr}, toAll, n, func(string) (put, func(), error) { return mark, nil, nil })
}

// redisAround finds the ten about a player, best first, with their marks, in one round
// trip.
const redisAround = `local r = redis.call('ZREVRANK', KEYS[1], ARGV[1]); ` +
	`return redis.call('ZREVRANGE', KEYS[1], math.max(0, r - 4), r + 5, 'WITHSCORES')`

// measure has redis-benchmark ask for random players for about so long. It returns its
// processor time, too.
func (s *redisServer) measure(ctx context.Context, what string, took time.Duration) (figures, time.Duration, error) {
	const calibration = 50_000
	f, _, err := s.ask(ctx, what, calibration)
	if err != nil {
		return nil, 0, err
	}
	return s.ask(ctx, what, int(f[perSecond]*took.Seconds()))
}

func (s *redisServer) ask(ctx context.Context, what string, times int) (figures, time.Duration, error) {
	_, port, _ := strings.Cut(s.addr, ":")
	args := []string{
		"-h", "127.0.0.1", "-p", port, "-c", strconv.Itoa(readConnections), "-n", strconv.Itoa(times),
		"-r", strconv.Itoa(s.players), "--csv",
	}
	if what == askRank {
		args = append(args, "ZREVRANK", redisBoard, "c__rand_int__")
	} else {
		args = append(args, "EVAL", redisAround, "1", redisBoard, "c__rand_int__")
	}
	return runTool(ctx, parseRedisBenchmark, "redis-benchmark", args...)
}

// parseRedisBenchmark reads what redis-benchmark --csv prints of one test.
func parseRedisBenchmark(out string) (figures, error) {
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 2 {
		return nil, fmt.Errorf("want a head and one line (%w)", err)
	}
	f, names := figures{}, map[string]string{"rps": perSecond, "p50_latency_ms": p50, "p99_latency_ms": p99}
	for i, head := range rows[0] {
		name, ok := names[head]
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(rows[1][i], 64)
		if err != nil || v <= 0 {
			return nil, fmt.Errorf("%s is %q", head, rows[1][i])
		}
		if name != perSecond {
			v *= float64(time.Millisecond)
		}
		f[name] = v
	}
	if len(f) != 3 {
		return nil, errors.New("rps, p50_latency_ms or p99_latency_ms is missing")
	}
	return f, nil
}
