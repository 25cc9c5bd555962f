package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/cmd/bench/load"
)

// TestMain is a server of NATS when the bench starts this program as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == natsServe {
		main()
		return
	}
	os.Exit(m.Run())
}

// needs skips a test where a program is missing. In CI nothing may be missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("LAUREL_CI") == "full" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// diskDir returns a temporary directory that is on a disk.
func diskDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(".", "testdata-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestEveryExperimentMeasuresRealServers runs each for fractions of a second.
func TestEveryExperimentMeasuresRealServers(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts real servers; not with -short")
	}
	programs := t.TempDir()
	laurel, bard := filepath.Join(programs, laurelName), filepath.Join(programs, bardName)
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-o", programs,
		"./cmd/laurel", "./cmd/bard").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, c := range []struct {
		args  string
		needs []string
		want  []string // rows of the table
	}{
		{"posts --systems laurel,nats --posters 1,4", nil,
			[]string{"| master | 1 | laurel | 3 |", "| all | 4 | laurel | 3 |", "| all | 4 | nats | 3 |"}},
		{"posts --systems laurel,etcd --posters 2 --to master --frontends 1,3", []string{"etcd"},
			[]string{"| master | 2 | laurel | 1 |", "| master | 2 | laurel | 3 |", "| master | 2 | etcd | 3 |"}},
		{"stream --ways plain,signed,secure,tls", nil, []string{"| plain |", "| signed |", "| secure |", "| tls |"}},
		{"reads --warmup 0s", []string{"wrk"}, // wrk takes a second for the shortest
			[]string{"| none | laurel-master |", "| same | laurel-follower |", "| others | laurel-master |"}},
		{"sing --runners 20 --bard BARD --laurel LAUREL", nil, []string{"| marathon | laurel | 182 |"}},
		{"idle --frontends 2 --watchers 5", nil,
			[]string{"| 2 | nothing |", "| 2 | watchers |", "| 2 | certificates |"}},
		{"watchers --watchers 50", nil, []string{"| 50 |"}},
		{"boards --players 1000 --write-rate 1000", []string{"wrk", "redis-server"},
			[]string{"| rank | redis |", "| around | laurel-master |"}},
		{"overload --connections 60 --peak 8 --factors 2 --pin=false", nil, []string{"| 2x |"}},
		{"sworn --works posters64,certificate-loaded,scores --write-rate 100", []string{"wrk"},
			[]string{"| posters64 | sworn |", "| certificate-loaded | sworn |", "| scores | secure |"}},
		{"failover", nil, []string{"| SIGKILL of the master |"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			needs(t, c.needs...)
			var out bytes.Buffer
			command := newCommand()
			command.SetOut(&out)
			args := strings.NewReplacer("LAUREL", laurel, "BARD", bard).Replace(c.args)
			arguments := append([]string{"--laurel", laurel, "--dir", diskDir(t),
				"--rounds", "1", "--duration", "300ms", "--warmup", "100ms", "--settle", "0s"}, strings.Fields(args)...)
			if slices.Contains(c.needs, "wrk") {
				// wrk takes no answer but 200, and a busy machine may hold a frontend up for seconds.
				arguments = append(arguments, "--frontend-arg=--time-scale=10")
			}
			command.SetArgs(arguments)
			if err := command.ExecuteContext(t.Context()); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
		})
	}
}

func TestAFlagOutOfBoundsIsRefused(t *testing.T) {
	for _, args := range []string{
		"posts --posters 0", "posts --posters 5000", "posts --systems mongo", "posts --to nobody", "posts --rounds 0",
		"posts --frontends 99", "posts --duration 1h", "idle --with music", "sing --runners 0", "sing --bard a,b,c",
		"boards --ask me", "stream --ways loud", "reads --targets apache", "watchers --watchers 99999",
		"overload --factors 100", "overload --connections 99999", "posts --dir /dev/shm", "sworn --works gold", "failover --rounds 5000",
	} {
		command := newCommand()
		command.SetArgs(append(strings.Fields(args), "--laurel", "/bin/false"))
		if err := command.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%s: accepted", args)
		}
	}
}

// noServer stands for servers that an experiment starts.
type noServer float64

func (noServer) stop() {}

func TestATableShowsMediansSpreadAndRatios(t *testing.T) {
	type cell = string
	x := &experiment[noServer, cell]{
		name: "test", cells: []cell{"a", "b"}, heads: []string{"cell"},
		labels: func(c cell) []string { return []string{c} },
		columns: []column[cell]{
			spreadOf[cell]("rate", perSecond, thousands),
			medianOf[cell]("p50 ms", p50, millis),
			ratioTo("a : b", perSecond, func(c cell) (cell, bool) { return "b", c == "a" }),
			sumOf[cell]("lost", "lost"),
			answersOf[cell](),
		},
		start: func(context.Context, string, cell) (noServer, error) { return 0, nil },
	}
	order := []string{}
	x.measure = func(_ context.Context, _ noServer, c cell) (figures, error) {
		order = append(order, c)
		n := float64(len(order))
		return figures{perSecond: 1000 * n, p50: n * float64(time.Millisecond), "lost": 1, answeredBy + "hit": n,
			answeredBy + "wait": 1}, nil
	}
	var out bytes.Buffer
	b := &bench{rounds: 3, work: t.TempDir(), out: &out, etcd: "etcd", programs: []string{"laurel"}}
	if err := x.run(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ""); got != "abbaab" {
		t.Errorf("the order is %s; want even rounds in reverse", got)
	}
	got := x.markdown()
	for _, want := range []string{
		"| cell | rate (least-most) | p50 ms | a : b | lost | answered by |",
		"| a | **4,000** (1,000-5,000) | 4.00 | 1.33 | 3 | hit 10, wait 3 |",
		"| b | **3,000** (2,000-6,000) | 3.00 |  | 3 | hit 11, wait 3 |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if !strings.Contains(out.String(), "round 1  a ") ||
		!strings.Contains(out.String(), "rate (least-most) 1,000  p50 ms 1.00") {
		t.Errorf("the progress is\n%s", out.String())
	}
}

func TestProgramsAreComparedByTheRatiosOfNeighbours(t *testing.T) {
	b := &bench{rounds: 60, work: t.TempDir(), out: &bytes.Buffer{}, etcd: "etcd",
		programs: []string{"x/before", "x/after"}}
	var order []string // of what was started
	x := &experiment[noServer, string]{
		name: "test", cells: []string{"ours", "theirs"}, heads: []string{"system"},
		labels:  func(c string) []string { return []string{c} },
		columns: []column[string]{medianOf[string]("rate", perSecond, thousands)},
		servers: func(c string) string { return c },
		foreign: func(c string) bool { return c == "theirs" },
		start: func(_ context.Context, _ string, c string) (noServer, error) {
			order = append(order, fmt.Sprint(c, b.program))
			return noServer(b.program), nil
		},
	}
	x.measure = func(_ context.Context, program noServer, c string) (figures, error) {
		round := float64(1 + (len(order)-1)/3) // the machine gets faster, both programs alike
		return figures{perSecond: 100 * round * (1 + float64(program))}, nil
	}
	if err := x.run(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| system | program | rate | median of the ratios to before |", "| ours | before | ", "| ours | after | ",
		" | 2.00 |", "| theirs |  | ",
	} {
		if got := x.markdown(); !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if len(order) != 3*b.rounds {
		t.Fatalf("%d starts in %d rounds: %s", len(order), b.rounds, order)
	}
	seen := map[string]int{}
	for round := range slices.Chunk(order, 3) {
		seen[strings.Join(round, " ")]++
	}
	for _, want := range []string{
		"ours0 ours1 theirs0", "ours1 ours0 theirs0", "theirs0 ours0 ours1", "theirs0 ours1 ours0",
	} {
		if seen[want] == 0 { // of 60 rounds, by chance once in 10 million runs
			t.Errorf("never %s", want)
		}
		delete(seen, want)
	}
	if len(seen) > 0 {
		t.Errorf("the programs are not neighbours: %v", seen)
	}
}

func TestACellThatFailsEndsTheRunWithItsName(t *testing.T) {
	x := &experiment[noServer, string]{
		name: "test", cells: []string{"a"}, heads: []string{"cell"},
		labels: func(c string) []string { return []string{c} },
		start:  func(context.Context, string, string) (noServer, error) { return 0, nil },
		measure: func(context.Context, noServer, string) (figures, error) {
			return nil, errors.New("the store is wrong")
		},
	}
	b := &bench{rounds: 1, work: t.TempDir(), out: &bytes.Buffer{}, etcd: "etcd", programs: []string{"laurel"}}
	err := x.run(t.Context(), b)
	if err == nil || err.Error() != "round 1: a: the store is wrong" {
		t.Errorf("got %v", err)
	}
}

// at returns a request that was answered so many milliseconds after a fixed time.
func at(ms int, ok bool) request {
	t := time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond)
	return request{t.Add(-time.Millisecond), t, ok}
}

func TestAnOutageLastsUntilAnswersComeWithoutABreak(t *testing.T) {
	zero := time.Unix(0, 0)
	underway := request{zero.Add(-time.Millisecond), zero.Add(10 * time.Millisecond), true}
	for name, c := range map[string]struct {
		list []request
		back int // ms; -1: not back
	}{
		"never away":               {[]request{at(-5, true), at(10, true), at(20, true)}, 0},
		"a gap":                    {[]request{at(10, true), at(100, true), at(110, true)}, 100},
		"a failure":                {[]request{at(10, true), at(20, false), at(30, true), at(40, true)}, 30},
		"back, then a failure":     {[]request{at(10, false), at(20, true), at(30, false), at(45, true)}, 45},
		"not back":                 {[]request{at(10, true), at(20, false)}, -1},
		"nothing after the strike": {[]request{at(-5, true)}, -1},
		"one that was under way":   {[]request{underway}, -1},
	} {
		got, ok := outage(zero, 50*time.Millisecond, c.list)
		if !ok {
			got = -time.Millisecond
		}
		if want := time.Duration(c.back) * time.Millisecond; got != want {
			t.Errorf("%s: got %s; want %s", name, got, want)
		}
	}
}

func TestAStaleReadEndsTheRun(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Laurel-Mode", "push")
		if r.Method == http.MethodPost {
			fmt.Fprint(w, `{"outcome":"applied","revision":5}`)
			return
		}
		fmt.Fprint(w, `{"revision":4}`)
	}))
	defer server.Close()
	g := &frontends{urls: []string{server.URL}}
	ctx, l := g.startFaultLoad(t.Context(), load.NewPlays(load.NewRun(), 1))
	<-ctx.Done()
	if err := l.stop(); err == nil || !strings.Contains(err.Error(), "revision 4; 5 was acknowledged") {
		t.Errorf("got %v; want which read was stale", err)
	}
}

func TestTheNextAnswerIsThatToALaterRequest(t *testing.T) {
	zero := time.Unix(0, 0)
	under, failed := at(100, true), at(150, false)
	under.sent = zero.Add(-time.Millisecond)
	if got, ok := nextAfter(zero, []request{at(-50, true), under, failed, at(400, true), at(900, true)}); !ok ||
		got != 400*time.Millisecond {
		t.Errorf("got %s, %t; want 400ms", got, ok)
	}
	if got, ok := nextAfter(zero, []request{under, failed}); ok {
		t.Errorf("nothing but a request under way and one that failed: got %s", got)
	}
}

func TestTheOutputOfOtherProgramsIsReadOrRefused(t *testing.T) {
	const wrk = "  50%    1.50ms\n  75%  2ms\n  99%    0.10s \nRequests/sec:  1234.50\n"
	f, err := parseWrk(wrk)
	if err != nil || f[perSecond] != 1234.5 || f[p50] != float64(1500*time.Microsecond) ||
		f[p99] != float64(100*time.Millisecond) {
		t.Errorf("wrk: %v, %v", f, err)
	}
	for _, bad := range []string{"", "Requests/sec: 5\n", wrk + "  Socket errors: connect 1\n", wrk +
		"  Non-2xx or 3xx responses: 9\n", "50% soon\n"} {
		if f, err := parseWrk(bad); err == nil {
			t.Errorf("wrk: %q reads as %v", bad, f)
		}
	}
	const head = `"test","rps","p50_latency_ms","p99_latency_ms"` + "\n"
	f, err = parseRedisBenchmark(head + `"ZREVRANK board c__rand_int__","98039.22","0.319","0.639"` + "\n")
	if err != nil || f[perSecond] != 98039.22 || f[p50] != float64(319*time.Microsecond) {
		t.Errorf("redis-benchmark: %v, %v", f, err)
	}
	for _, bad := range []string{"", head, head + `"a","fast","1","1"`, strings.Replace(head, "rps", "rpm", 1) +
		`"a","1","1","1"`} {
		if f, err := parseRedisBenchmark(bad); err == nil {
			t.Errorf("redis-benchmark: %q reads as %v", bad, f)
		}
	}
	const sung = "events 145,281, duplicates 0, skipped (acknowledged before) 0\n" +
		"43,513 events/s in 3.339s; latency p50 41ms, p99 0.1s\nretries 0, failovers 0\n"
	f, err = parseSing(sung)
	if err != nil || f["events"] != 145281 || f[perSecond] != 43513 || f[p50] != float64(41*time.Millisecond) {
		t.Errorf("bard sing: %v, %v", f, err)
	}
	for _, bad := range []string{"", "events 0", strings.Replace(sung, "p99", "p98", 1),
		strings.Replace(sung, "41ms", "soon", 1)} {
		if f, err := parseSing(bad); err == nil {
			t.Errorf("bard sing: %q reads as %v", bad, f)
		}
	}
	const metrics = "# TYPE laurel_reads_total counter\nlaurel_reads_total{answered=\"hit\"} 1.5e+06\nlaurel_revision 7\n"
	if f, err := parseAnswers(metrics); err != nil || fmt.Sprint(f) != "map[answered by hit:1.5e+06]" {
		t.Errorf("metrics: %v, %v", f, err)
	}
	if f, err := parseAnswers("laurel_revision 7\n"); err == nil {
		t.Errorf("metrics without reads: %v", f)
	}
}
