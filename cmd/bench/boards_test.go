package main

import (
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"laurel/score"
)

func TestEveryPlayerGetsOneMarkAndAllEventsAreTaken(t *testing.T) {
	m := newMarks("run", 1, 500, "BENCH/OPEN", time.Now())
	if start, array, problem := score.DecodeArray(m.appendStart(nil)); problem != nil || !array || len(start) != 2 {
		t.Fatalf("the start: %v, %v", start, problem)
	}
	seen := map[string]bool{}
	for next := m.everyPlayer(); ; {
		body, err := next(nil)
		if err == io.EOF {
			break
		}
		e, problem := score.Decode(body)
		if problem != nil || e.Seq != uint64(len(seen)+3) {
			t.Fatalf("%s: %v", body, problem)
		}
		seen[e.Data.(*score.ResultSet).Competitor] = true
	}
	if len(seen) != 500 || !seen[player(0)] || !seen[player(499)] {
		t.Errorf("%d players have a mark", len(seen))
	}
}

func TestRedisBenchmarkIsReadAndAnythingElseIsAnError(t *testing.T) {
	const head = `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"` + "\n"
	m, err := parseRedisBenchmark(head + `"ZREVRANK board c__rand_int__","98039.22","0.330","0.096","0.319","0.503","0.639","2.111"` + "\n")
	if err != nil || m.perSecond != 98039.22 || m.p50 != 319*time.Microsecond || m.p99 != 639*time.Microsecond {
		t.Errorf("%+v, %v", m, err)
	}
	for _, wrong := range []string{"", head, head + `"a","fast","1","1","1","1","1","1"`, strings.Replace(head, "rps", "rpm", 1) + `"a","1","1","1","1","1","1","1"`} {
		if m, err := parseRedisBenchmark(wrong); err == nil {
			t.Errorf("%q reads as %+v", wrong, m)
		}
	}
}

func TestABoardIsFilledAndAskedBesideRedisAndIsThereAfterAKill(t *testing.T) {
	b, g := realFrontends(t)
	server, err1 := exec.LookPath("redis-server")
	tool, err2 := exec.LookPath("redis-benchmark")
	_, err3 := exec.LookPath("wrk")
	required(t, errors.Join(err1, err2, err3))
	b.wrk, b.threads, b.connections, b.window, b.duration, b.perSecond = "wrk", 1, 4, 512, time.Second, 100
	r := &boardsRun{bench: b, boardsOptions: &boardsOptions{players: 3000, redisTool: tool}, dir: t.TempDir(), group: g, contest: "BENCH/OPEN", table: boardsTable{rounds: map[boardsRow][]measurement{}}}
	var err error
	if r.server, err = startRedis(t.Context(), server, r.dir, r.players); err != nil {
		t.Fatal(err)
	}
	defer r.server.stop()
	if err := r.fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.first(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, row := range []boardsRow{{true, askRank, laurelFollower}, {false, askAround, laurelMaster}, {true, askAround, redisName}, {false, askRank, redisName}} {
		m, err := r.readCell(t.Context(), row)
		if err != nil || m.perSecond <= 0 || m.p99 < m.p50 || row.writes != (m.beside > 0) {
			t.Errorf("%s: %s, %v", row, m, err)
		}
		r.table.rows, r.table.rounds[row] = append(r.table.rows, row), []measurement{m}
	}
	if err := r.restarts(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := r.table.markdown()
	for _, want := range []string{"3,000 players", "| rank | laurel-follower | ", "after a SIGKILL"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
