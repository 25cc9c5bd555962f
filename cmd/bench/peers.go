package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
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
	client := redis.NewClient(&redis.Options{Addr: addrs[0], DisableIdentity: true})
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

// fill gives each player one mark, many in one pipeline. It returns the rate, and the
// bytes that Redis says a row takes.
func (s *redisServer) fill(ctx context.Context) (perSecond, bytes float64, err error) {
	random := rand.New(rand.NewPCG(1, uint64(s.players)))
	order, began := random.Perm(s.players), time.Now()
	for at := 0; at < len(order); at += redisPipeline {
		pipe := s.client.Pipeline()
		for _, n := range order[at:min(at+redisPipeline, len(order))] {
			pipe.ZAdd(ctx, redisBoard, redis.Z{Score: float64(random.IntN(redisMaxMark)), Member: load.Player(n)})
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return 0, 0, fmt.Errorf("redis: %w", err)
		}
	}
	perSecond = float64(len(order)) / time.Since(began).Seconds()
	n, err := s.client.ZCard(ctx, redisBoard).Result()
	if err != nil || n != int64(s.players) {
		return 0, 0, fmt.Errorf("redis has %d players of %d (%w)", n, s.players, err)
	}
	info, err := s.client.InfoMap(ctx, "memory").Result()
	if err != nil {
		return 0, 0, err
	}
	dataset, err := strconv.ParseFloat(info["Memory"]["used_memory_dataset"], 64)
	return perSecond, dataset / float64(s.players), err
}

// redisWriter gives marks to random players, one at a time, over a connection of its own.
type redisWriter struct {
	client  *redis.Client
	random  *rand.Rand
	players int
	acked   uint64
}

func (s *redisServer) writers(_ context.Context, n int) ([]load.Writer, error) {
	return load.OpenAll(n, func(i int) (load.Writer, error) {
		client := redis.NewClient(&redis.Options{Addr: s.addr, DisableIdentity: true, PoolSize: 1})
		return &redisWriter{client: client, random: rand.New(rand.NewPCG(uint64(i), 2)), players: s.players}, nil
	})
}

func (w *redisWriter) Write(ctx context.Context) error {
	z := redis.Z{Score: float64(w.random.IntN(redisMaxMark)), Member: load.Player(w.random.IntN(w.players))}
	err := w.client.ZAdd(ctx, redisBoard, z).Err()
	if err == nil {
		w.acked++
	}
	return err
}

func (w *redisWriter) Source() string { return redisName }
func (w *redisWriter) Acked() uint64  { return w.acked }
func (w *redisWriter) Close()         { _ = w.client.Close() }

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
	f := figures{}
	for i, name := range rows[0] {
		to, scale := "", float64(time.Millisecond)
		switch name {
		case "rps":
			to, scale = perSecond, 1
		case "p50_latency_ms":
			to = p50
		case "p99_latency_ms":
			to = p99
		default:
			continue
		}
		v, err := strconv.ParseFloat(rows[1][i], 64)
		if err != nil || v <= 0 {
			return nil, fmt.Errorf("%s is %q", name, rows[1][i])
		}
		f[to] = v * scale
	}
	if len(f) != 3 {
		return nil, errors.New("rps, p50_latency_ms or p99_latency_ms is missing")
	}
	return f, nil
}

// nginxSettings have nginx serve files as fast as it can: a worker for each core, no log,
// the file kept open, connections that are never closed for their age.
const nginxSettings = `%[4]sdaemon off;
pid %[1]s/pid;
error_log stderr error;
worker_processes %[2]d;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_requests 1000000000;
	sendfile on;
	tcp_nopush on;
	open_file_cache max=16;
	default_type application/json;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[3]s;
		root %[1]s/root;
		log_not_found off;
	}
}
`

// startNginx has nginx serve a body from a file at a path. Stop it with Stop, so that it
// ends its workers.
func startNginx(ctx context.Context, dir, path string, body []byte) (*localgroup.Process, string, error) {
	if err := lookPath("nginx", "nginx"); err != nil {
		return nil, "", err
	}
	dir = filepath.Join(dir, "nginx")
	file := filepath.Join(dir, "root", filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, "", err
	}
	if err := os.WriteFile(file, body, 0o644); err != nil {
		return nil, "", err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // another user could not read the file
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, "", err
	}
	settings := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(settings, fmt.Appendf(nil, nginxSettings, dir, runtime.NumCPU(), ports[0], user), 0o600); err != nil {
		return nil, "", err
	}
	p, err := startProcess("nginx", dir, "nginx", "-p", dir, "-e", "stderr", "-c", settings)
	if err != nil {
		return nil, "", err
	}
	url := "http://" + ports[0]
	err = await(ctx, p, func(ctx context.Context) error {
		_, got, err := call(ctx, http.MethodGet, url+path, "", nil)
		if err == nil && string(got) != string(body) {
			err = fmt.Errorf("%s%s: not the file's bytes", url, path)
		}
		return err
	})
	if err != nil {
		p.Stop(time.Second)
		return nil, "", err
	}
	return p, url, nil
}
