package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisServer is one Redis with a sorted set. It appends every change to its log and syncs that before it answers, as the frontends do; it has no replicas.
type redisServer struct {
	process *process
	addr    string
	client  *redis.Client
	players int
}

const redisBoard = "board"

func startRedis(ctx context.Context, program, dir string, players int) (*redisServer, error) {
	addrs, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "redis")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(addrs[0], ":")
	p, err := start("redis", dir, program, "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always")
	if err != nil {
		return nil, err
	}
	s := &redisServer{process: p, addr: addrs[0], client: redis.NewClient(&redis.Options{Addr: addrs[0], DisableIdentity: true}), players: players}
	if err := p.await(ctx, func(ctx context.Context) error { return s.client.Ping(ctx).Err() }); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *redisServer) stop() {
	_ = s.client.Close()
	s.process.kill()
}

// redisPipeline is how many ZADD go out together where all players get their mark.
const redisPipeline = 1000

// everyPlayer gives each player one mark, many in one pipeline, and tells how many a second.
func (s *redisServer) everyPlayer(ctx context.Context) (perSecond float64, err error) {
	random := rand.New(rand.NewPCG(1, uint64(s.players)))
	order, began := random.Perm(s.players), time.Now()
	for at := 0; at < len(order); at += redisPipeline {
		pipe := s.client.Pipeline()
		for _, n := range order[at:min(at+redisPipeline, len(order))] {
			pipe.ZAdd(ctx, redisBoard, redis.Z{Score: float64(random.IntN(maxMark)), Member: player(n)})
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return 0, fmt.Errorf("redis: %w", err)
		}
	}
	perSecond = float64(len(order)) / time.Since(began).Seconds()
	n, err := s.client.ZCard(ctx, redisBoard).Result()
	if err == nil && n != int64(s.players) {
		err = fmt.Errorf("redis has %d players of %d", n, s.players)
	}
	return perSecond, err
}

// dataset is the memory of what Redis holds, in bytes, as it says itself.
func (s *redisServer) dataset(ctx context.Context) (int64, error) {
	info, err := s.client.InfoMap(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(info["Memory"]["used_memory_dataset"], 10, 64)
}

// zadder gives marks to players by chance, one at a time, over a connection of its own.
type zadder struct {
	client *redis.Client
	random *rand.Rand
	of     int
	name   string
	acked  uint64
}

func (s *redisServer) zadders(n int) (list []writer) {
	for i := range n {
		client := redis.NewClient(&redis.Options{Addr: s.addr, DisableIdentity: true, PoolSize: 1})
		list = append(list, &zadder{client: client, random: rand.New(rand.NewPCG(uint64(i), 2)), of: s.players, name: fmt.Sprint("zadder-", i)})
	}
	return list
}

func (z *zadder) write(ctx context.Context) error {
	err := z.client.ZAdd(ctx, redisBoard, redis.Z{Score: float64(z.random.IntN(maxMark)), Member: player(z.random.IntN(z.of))}).Err()
	if err == nil {
		z.acked++
	}
	return err
}

func (z *zadder) source() string  { return z.name }
func (z *zadder) lastSeq() uint64 { return z.acked }
func (z *zadder) retries() int    { return 0 }
func (z *zadder) close()          { _ = z.client.Close() }

// redisAround is around-me in one round trip: the ten about a player, best first, with their marks.
const redisAround = `local r = redis.call('ZREVRANK', KEYS[1], ARGV[1]); return redis.call('ZREVRANGE', KEYS[1], math.max(0, r - 4), r + 5, 'WITHSCORES')`

// ask has Redis' own benchmark ask for random players for about so long, over so many connections.
func (s *redisServer) ask(ctx context.Context, program, what string, connections int, took time.Duration) (measurement, time.Duration, error) {
	const calibration = 50_000
	m, _, err := s.askTimes(ctx, program, what, connections, calibration)
	if err != nil {
		return m, 0, err
	}
	return s.askTimes(ctx, program, what, connections, int(m.perSecond*took.Seconds()))
}

func (s *redisServer) askTimes(ctx context.Context, program, what string, connections, times int) (m measurement, child time.Duration, err error) {
	_, port, _ := strings.Cut(s.addr, ":")
	args := []string{"-h", "127.0.0.1", "-p", port, "-c", strconv.Itoa(connections), "-n", strconv.Itoa(times), "-r", strconv.Itoa(s.players), "--csv", "-e"}
	if what == askRank {
		args = append(args, "ZREVRANK", redisBoard, "c__rand_int__")
	} else {
		args = append(args, "EVAL", redisAround, "1", redisBoard, "c__rand_int__")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	if err != nil {
		return m, 0, fmt.Errorf("%s: %w: %s", program, err, clip(out))
	}
	if m, err = parseRedisBenchmark(string(out)); err != nil {
		return m, 0, fmt.Errorf("%s: %w; it said:\n%s", program, err, out)
	}
	return m, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// parseRedisBenchmark reads what redis-benchmark --csv prints of one test.
func parseRedisBenchmark(out string) (m measurement, err error) {
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 2 {
		return m, fmt.Errorf("want a head and one line (%w)", err)
	}
	for i, name := range rows[0] {
		value, err := strconv.ParseFloat(rows[1][i], 64)
		if name == "test" {
			continue
		}
		if err != nil || value <= 0 && name != "min_latency_ms" {
			return m, fmt.Errorf("%s is %q", name, rows[1][i])
		}
		latency := time.Duration(value * float64(time.Millisecond))
		switch name {
		case "rps":
			m.perSecond = value
		case "p50_latency_ms":
			m.p50 = latency
		case "p99_latency_ms":
			m.p99 = latency
		}
	}
	if m.perSecond == 0 || m.p50 == 0 || m.p99 == 0 {
		return m, fmt.Errorf("rps, p50_latency_ms or p99_latency_ms is missing")
	}
	return m, nil
}
