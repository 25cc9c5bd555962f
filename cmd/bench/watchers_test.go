package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const fewWatchers = 40

// tellFew publishes to a few watchers for a moment.
func tellFew(t *testing.T, s *stage) telling {
	t.Helper()
	b := &bench{options: options{warmup: 50 * time.Millisecond, watchTime: 500 * time.Millisecond, tellRate: 100}}
	m, err := b.tellAll(t.Context(), s, fewWatchers)
	if err != nil {
		t.Fatal(err)
	}
	if m.told != 50*fewWatchers || m.missing != 0 || m.p50 <= 0 || m.p99 < m.p50 || m.most < m.p99 || m.perSecond < 10 {
		t.Errorf("%+v: %s", m, m)
	}
	return m
}

func TestTheWatchersOfAPlainHubAreToldOfEveryEvent(t *testing.T) {
	h := newHub()
	server := httptest.NewServer(h.handler())
	defer server.Close()
	defer server.CloseClientConnections()
	addr := strings.TrimPrefix(server.URL, "http://")
	c, err := newPoster(t.Context(), addr, newPlays(newRun(), 1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	song := newSong(c.revision()+1, 5, 45)
	a, err := seat(t.Context(), addr, fewWatchers, newEventStream(addr, contestWatch(c.plays.contest)), song)
	defer a.close()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.sing(t.Context(), c, 200); err != nil {
		t.Fatal(err)
	}
	missing, err := a.hear(t.Context(), 5*time.Second)
	var m telling
	m.take(a)
	if err != nil || missing != 0 || m.told != 45*fewWatchers || m.p50 <= 0 {
		t.Errorf("%d are missing, %+v, %v", missing, m, err)
	}
}

func TestTheWatchersOfAFrontendAndOfEtcdAreToldOfEveryEvent(t *testing.T) {
	_, g := realFrontends(t)
	s, err := g.stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.caller.close()
	tellFew(t, s)
	p, err := fetch(t.Context(), "http://"+s.addr, "/v1/scores/"+s.caller.(*poster).plays.contest)
	if err != nil {
		t.Fatal(err)
	}
	// The others tell records as long as a frontend's.
	if here, there := len(bytes.TrimSpace(p.Body)), len(recordAt(s.caller.revision())); there < here*95/100 || there > here*105/100 {
		t.Errorf("a frontend's record has %d bytes, the others' %d:\n%s\n%s", here, there, p.Body, recordAt(s.caller.revision()))
	}
	program, err := exec.LookPath("etcd")
	required(t, err)
	e, err := startEtcd(t.Context(), program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer e.stop()
	if s, err = e.stage(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.caller.close()
	if m := tellFew(t, s); m.connected == 0 {
		t.Error("40 connections that cost nothing")
	}
}

// listener is a reader with one watcher, and the other end of its connection.
func listener(t *testing.T, sp speech, s *song) (r *reader, fd, far int, w *watcher) {
	t.Helper()
	r, err := newReader(&audience{song: s}, sp)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fd := range append(pair[:], r.poll) {
			syscall.Close(fd)
		}
	})
	return r, pair[0], pair[1], &watcher{}
}

func TestAnEventIsReadWholeHoweverItsBytesAreCut(t *testing.T) {
	sse := slicesOf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n300\r\n", string(frameOf("snapshot", 6)), "\r\n300\r\n", string(frameOf("score", 7)),
		"\r\n11\r\nevent: heartbeat\ndata: {\"revision\":8}\n\n", string(frameOf("score", 8)))
	data := func(body string) string { return string([]byte{0, 0, byte(len(body)), 0, 0, 0, 0, 0, 1}) + body }
	h2 := slicesOf("\x00\x00\x00\x04\x00\x00\x00\x00\x00", data("created"), data(`{"revision":7}`), data(`{"revision":7}{"revision":8}`))
	for name, c := range map[string]struct {
		speech speech
		stream []byte
	}{"server-sent events": {eventStream{}, sse}, "gRPC": {etcdWatch{}, h2}} {
		for cut := range len(c.stream) {
			s := newSong(7, 0, 2)
			s.call(0)
			s.call(1)
			r, fd, far, w := listener(t, c.speech, s)
			for _, part := range [][]byte{c.stream[:cut], c.stream[cut:]} {
				if len(part) == 0 {
					continue
				}
				if _, err := syscall.Write(far, part); err != nil {
					t.Fatal(err)
				}
				if err := r.receive(fd, w); err != nil {
					t.Fatal(err)
				}
			}
			if !w.begun || w.next != 2 || r.told != 2 || r.audience.done.Load() != 1 || len(w.rest) != 0 {
				t.Fatalf("%s, cut at %d: %+v, %d told", name, cut, w, r.told)
			}
		}
	}
}

func slicesOf(parts ...string) []byte { return []byte(strings.Join(parts, "")) }

func TestAnEventThatCameOnlyAsANewerOneCountsUntilThatWasThere(t *testing.T) {
	s := newSong(101, 1, 3)
	for i, ms := range []int{1, 10, 20, 30} {
		s.sent[i].Store(int64(time.Duration(ms) * time.Millisecond))
	}
	r, _, _, w := listener(t, eventStream{}, s)
	for _, told := range []struct {
		revision uint64
		at       time.Duration
	}{{99, 0}, {101, 2}, {103, 50}, {102, 51}, {103, 52}, {104, 60}} {
		if err := r.tell(w, told.revision, told.at*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if r.told != 3 || r.skipped != 1 || r.hist.TotalCount() != 3 || r.hist.Max() < 40_000 || r.hist.Max() > 40_500 || r.hist.Min() < 29_000 || r.audience.done.Load() != 1 {
		t.Errorf("%d told, %d skipped, %d to %d us", r.told, r.skipped, r.hist.Min(), r.hist.Max())
	}
	if err := r.tell(w, 105, 0); err == nil {
		t.Error("an event that was not published is taken")
	}
}

func TestAStreamThatIsRefusedOrEndsIsAnError(t *testing.T) {
	for name, c := range map[string]struct {
		speech speech
		said   string
	}{
		"503":            {eventStream{}, "HTTP/1.1 503 Service Unavailable\r\n"},
		"no revision":    {eventStream{}, "event: score\ndata: {}\n\n"},
		"GOAWAY":         {etcdWatch{}, "\x00\x00\x00\x07\x00\x00\x00\x00\x00"},
		"trailers":       {etcdWatch{}, "\x00\x00\x00\x01\x05\x00\x00\x00\x01"},
		"its connection": {etcdWatch{}, ""},
	} {
		r, fd, far, w := listener(t, c.speech, newSong(1, 0, 1))
		if c.said == "" {
			if err := syscall.Shutdown(far, syscall.SHUT_WR); err != nil {
				t.Fatal(err)
			}
		} else if _, err := syscall.Write(far, []byte(c.said)); err != nil {
			t.Fatal(err)
		}
		if err := r.receive(fd, w); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestAWatcherOfTheHubThatReadsNothingHoldsUpNobody(t *testing.T) {
	h := newHub()
	c := make(chan []byte, backlog)
	h.watchers[c] = struct{}{}
	for range backlog + 5 {
		h.post(httptest.NewRecorder(), httptest.NewRequest("POST", "/v1/events", nil))
	}
	if first, _ := lastRevision(<-c); first != 6 || h.revision != backlog+5 {
		t.Errorf("after %d revisions it has those from %d on", h.revision, first)
	}
}

func TestThePartsOfTheMachineThatManyWatchersNeedAreAskedForFirst(t *testing.T) {
	if err := allowFiles(1 << 30); err == nil || !strings.Contains(err.Error(), "hard limit") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &audience{failed: make(chan error)}
	if err := a.await(ctx, "nothing", func() bool { return false }); err == nil {
		t.Error("waits for ever")
	}
}

func TestTheWatchersTableSetsTheFrontendBesideTheOthers(t *testing.T) {
	of := func(p99 time.Duration, kib float64, missing int) []telling {
		return []telling{{p50: p99 / 2, p99: p99, most: 2 * p99, perSecond: 10, told: 1000, skipped: 5, missing: missing, connected: kib, after: kib + 1}}
	}
	table := watchersTable{rounds: map[watchersRow][]telling{
		{5000, laurelName}: of(20*time.Millisecond, 9, 0), {5000, plainName}: of(80*time.Millisecond, 28, 0), {5000, etcdName}: of(800*time.Millisecond, 135, 3),
	}}
	for _, s := range allTellers {
		table.rows = append(table.rows, watchersRow{5000, s}, watchersRow{10_000, s})
	}
	for got, wants := range map[string][]string{
		table.markdown(): {"| 5,000 | laurel | 10.0 | **20.0** (20.0-20.0) | 40.0 | 10.0 |", "| **9.0**, 10.0 | 0.5 |\n", "| 0.5 (3 never) |"},
		table.aims():     {"- 5,000 watchers, p99, laurel : plain = **0.25** (aim: at most 1)", "laurel : etcd = **0.03** (no aim)", "KiB each at the frontend = **10.0** (aim: at most 20)"},
	} {
		for _, want := range wants {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
	}
	if err := table.verdict(); err != nil {
		t.Error(err)
	}
	table.rounds[watchersRow{10_000, laurelName}] = of(time.Millisecond, 9, 1)
	if table.verdict() == nil {
		t.Error("a watcher that was forgotten passes")
	}
}
