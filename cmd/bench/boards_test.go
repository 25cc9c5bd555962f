package main

import (
	"io"
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
