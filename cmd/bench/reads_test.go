package main

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestTheBareServerAndNginxGiveAFrontendsBytes(t *testing.T) {
	p := &page{"/v1/scores/BENCH-x/CUR-M-GPA-0001", http.Header{"Etag": {`"x"`}, "Content-Type": {"application/json"}, "Date": {"then"}}, []byte(`{"revision":8}`)}
	s := httptest.NewServer(p.handler())
	defer s.Close()
	got, err := fetch(t.Context(), s.URL, p.Path)
	if err != nil || string(got.Body) != string(p.Body) || got.Header.Get("Etag") != `"x"` || got.Header.Get("Date") == "then" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := p.same(t.Context(), s.URL); err != nil {
		t.Error(err)
	}
	program, err := exec.LookPath("nginx")
	required(t, err)
	server, _, err := startNginx(t.Context(), program, t.TempDir(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer server.kill()
	if _, err := server.cpu(); err != nil {
		t.Error(err)
	}
}

func TestTheReadsTableSetsEachServerBesideTheOthers(t *testing.T) {
	of := func(perSecond float64, p99 time.Duration) []measurement {
		return []measurement{{perSecond: perSecond, p99: p99, beside: 1000, ways: ways{"hit": 9}}}
	}
	table := readsTable{rounds: map[readsRow][]measurement{
		{noWrites, laurelFollower}:   of(45_000, 4*time.Millisecond),
		{writesSame, laurelFollower}: of(20_000, 10*time.Millisecond),
		{noWrites, bareServer}:       of(50_000, 4*time.Millisecond),
		{noWrites, etcdFollower}:     of(9_000, 9*time.Millisecond),
	}}
	for _, w := range []string{noWrites, writesSame} {
		table.rows = append(table.rows, readsRow{w, laurelFollower})
	}
	for got, wants := range map[string][]string{
		table.markdown(): {"| none | laurel-follower |  | **45,000**", "| same | laurel-follower | 1,000 | **20,000**", "| 2.50 | hit 9 |\n"},
		table.aims(): {"writes to none, reads/s, laurel-follower : bare = **0.90**", "writes to none, reads/s, laurel-follower : etcd-follower = **5.00**",
			"p99 with writes to same : p99 without = **2.50** (aim: at most 3)"},
	} {
		for _, want := range wants {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
	}
	if strings.Contains(table.aims(), "nginx") {
		t.Error("nginx was not asked")
	}
}

func TestManyBardsScoreInOneContest(t *testing.T) {
	first := newPlays("abc123", 1, time.Now())
	first.appendStart(nil)
	second := first.joining("abc124", 1, time.Now())
	if second.contest != first.contest || second.source == first.source {
		t.Errorf("%+v beside %+v", second, first)
	}
	for _, p := range []*plays{first, second} {
		if b := string(p.append(nil)); strings.Contains(b, `"result"`) || !strings.Contains(b, first.contest) {
			t.Errorf("a total that others change: %s", b)
		}
	}
}
