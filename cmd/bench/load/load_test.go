package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"laurel/internal/testgroup"
	"laurel/score"
)

// soon returns a span that begins now.
func soon(d time.Duration) Span {
	now := time.Now()
	return Span{now, now.Add(d)}
}

func addr(f *testgroup.Frontend) string { return strings.TrimPrefix(f.URL, "http://") }

// lastSeq returns the seq of the last event of a source that a frontend has.
func lastSeq(t *testing.T, f *testgroup.Frontend, source string) (seq uint64) {
	t.Helper()
	var a Answer
	testgroup.Eventually(t, func() error { // a frontend that was held up has no lease for a moment
		w, err := Dial(t.Context(), addr(f))
		if err != nil {
			return err
		}
		defer w.Close()
		a, err = w.RoundTrip([]byte("GET /v1/bards/" + source + " HTTP/1.1\r\nHost: " + addr(f) + "\r\n\r\n"))
		if err == nil && a.Status == http.StatusServiceUnavailable {
			err = fmt.Errorf("status 503: %s", a.Body)
		}
		return err
	})
	if _, after, ok := bytes.Cut(a.Body, []byte(`"last_seq":`)); ok {
		for _, c := range after {
			if c < '0' || c > '9' {
				break
			}
			seq = 10*seq + uint64(c-'0')
		}
	}
	return seq
}

// expect compares the events that were acknowledged with those that a frontend has.
func expect(t *testing.T, f *testgroup.Frontend, source string, want uint64) {
	t.Helper()
	if got := lastSeq(t, f, source); got != want || want == 0 {
		t.Errorf("the store has %d events of %s; %d were acknowledged", got, source, want)
	}
}

func TestEveryEventThatIsMadeIsValid(t *testing.T) {
	plays := NewPlays("run", 1)
	list := [][]byte{plays.appendStart(nil), plays.Append(nil), plays.Join("run", 2).Append(nil)}
	marks := NewMarks("run", 3, 10, "BENCH/OPEN")
	list = append(list, marks.appendStart(nil), marks.Append(nil))
	for _, body := range list {
		if _, p := score.DecodeArray(body); p != nil {
			t.Errorf("%s: %v", body, p)
		}
	}
}

func TestEveryPlayerGetsOneMark(t *testing.T) {
	next := NewMarks("run", 1, 500, "BENCH/OPEN").EveryPlayer()
	players := map[string]bool{}
	for {
		body, err := next(nil)
		if errors.Is(err, io.EOF) {
			break
		}
		e, p := score.Decode(body)
		if p != nil {
			t.Fatalf("%s: %v", body, p)
		}
		players[e.Data.(*score.ResultSet).Competitor] = true
	}
	if len(players) != 500 || !players[Player(0)] || !players[Player(499)] {
		t.Errorf("%d players have a mark; want 500", len(players))
	}
}

func TestWhatIsAckedIsInTheStore(t *testing.T) {
	g := testgroup.Start(t, 1)
	f := g.Frontends[0]
	t.Run("poster that is asked to retry", func(t *testing.T) {
		var posts atomic.Int64
		g.Inject(func(_ *testgroup.Frontend, r *http.Request, e *score.Event) testgroup.Fault {
			if e == nil && r.Method == http.MethodPost && posts.Add(1)%3 == 0 {
				return testgroup.Busy
			}
			return testgroup.None
		})
		defer g.Inject(nil)
		p, err := NewPoster(t.Context(), addr(f), NewPlays(NewRun(), 1))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		testgroup.Eventually(t, func() error { // on a busy machine in more than one span
			m, err := ClosedLoop(t.Context(), []Writer{p}, soon(100*time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			if m.Count() == 0 || posts.Load() < 4 {
				return fmt.Errorf("%d events measured, %d posts", m.Count(), posts.Load())
			}
			return nil
		})
		expect(t, f, p.Source(), p.Acked())
	})
	t.Run("scheduled", func(t *testing.T) {
		p, err := NewPoster(t.Context(), addr(f), NewPlays(NewRun(), 1))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		rate, err := WhileWriting(t.Context(), []Writer{p}, 200, func(ctx context.Context) error {
			for lastSeq(t, f, p.Source()) < 10 && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			return context.Cause(ctx)
		})
		if err != nil || rate <= 0 {
			t.Errorf("%g/s, %v", rate, err)
		}
		expect(t, f, p.Source(), p.Acked())
	})
	t.Run("stream", func(t *testing.T) {
		plays := NewPlays(NewRun(), 1)
		p, err := NewPoster(t.Context(), addr(f), plays)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		m := NewMeter(Span{})
		if err := p.Stream(t.Context(), plays.Until(time.Now().Add(100*time.Millisecond)), 64, m); err != nil {
			t.Fatal(err)
		}
		if uint64(m.Count()) != p.Acked()-2 {
			t.Errorf("%d events measured, %d acknowledged after the first two", m.Count(), p.Acked()-2)
		}
		expect(t, f, p.Source(), p.Acked())
	})
	t.Run("stream with an event that is refused", func(t *testing.T) {
		p, err := NewPoster(t.Context(), addr(f), NewPlays(NewRun(), 1))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		next := func(dst []byte) ([]byte, error) { return append(dst, `{"type":"alert"}`...), nil }
		if err := p.Stream(t.Context(), next, 64, NewMeter(Span{})); err == nil ||
			!strings.Contains(err.Error(), "invalid_event") {
			t.Errorf("got %v; want what was wrong", err)
		}
	})
	t.Run("flood", func(t *testing.T) {
		run := NewRun()
		owner := NewPlays(run, 0)
		first, err := NewPoster(t.Context(), addr(f), owner)
		if err != nil {
			t.Fatal(err)
		}
		first.Close()
		var plays []*Plays
		for i := range 20 {
			plays = append(plays, owner.Join(run, i+1))
		}
		flood, err := NewFlood(t.Context(), []string{addr(f)}, plays, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer flood.Close()
		testgroup.Eventually(t, func() error { // on a busy machine not within the first span
			tally, err := flood.InTurn(t.Context(), 5, soon(100*time.Millisecond))
			if err != nil || tally.Good == 0 {
				return fmt.Errorf("in turn: %+v, %v", tally, err)
			}
			return nil
		})
		testgroup.Eventually(t, func() error {
			tally, err := flood.Offer(t.Context(), 500, soon(200*time.Millisecond))
			if err != nil || tally.Offered < 90 || tally.Good == 0 {
				return fmt.Errorf("offered: %+v, %v", tally, err)
			}
			return nil
		})
		sources := 0
		err = flood.Acked(func(source string, seq uint64, unsure bool) error {
			if seq > 0 && !unsure {
				expect(t, f, source, seq)
				sources++
			}
			return nil
		})
		if err != nil || sources == 0 {
			t.Errorf("%d sources, %v", sources, err)
		}
	})
}

func TestEveryWatcherSeesEveryEvent(t *testing.T) {
	f := testgroup.Start(t, 1).Frontends[0]
	plays := NewPlays(NewRun(), 1)
	p, err := NewPoster(t.Context(), addr(f), plays)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const watchers, warmup, events = 20, 2, 10
	w, err := OpenWatchers(t.Context(), addr(f), plays.Contest(), watchers, p.Revision()+1, warmup, events)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := w.Publish(t.Context(), p, 200); err != nil {
		t.Fatal(err)
	}
	seen, err := w.Wait(t.Context(), time.Minute)
	if err != nil || seen.Told != watchers*events || seen.Latency.Count() != watchers*events {
		t.Errorf("%+v, %v", seen, err)
	}
}

func TestAWatcherIsNotToldOfWhatWasNotPublished(t *testing.T) {
	w := &Watchers{first: 10, sent: make([]atomic.Int64, 3)}
	if err := w.got(&watcher{}, 9, 0); err != nil {
		t.Errorf("an earlier revision: %v", err)
	}
	if err := w.got(&watcher{}, 11, 0); err == nil {
		t.Error("a revision that was not published is accepted")
	}
}

func TestAnAnswerIsReadWholeOrNotAtAll(t *testing.T) {
	const whole = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\nRetry-After: 3\r\nLaurel-Cache: hit\r\n\r\n{}"
	a, ok, err := parseAnswer([]byte(whole))
	if err != nil || !ok || a.Status != 429 || a.RetryAfter != 3*time.Second || string(a.Body) != "{}" {
		t.Errorf("%+v, %t, %v", a, ok, err)
	}
	for n := range len(whole) {
		if _, ok, err := parseAnswer([]byte(whole[:n])); ok || err != nil {
			t.Errorf("%d bytes: %t, %v", n, ok, err)
		}
	}
	for _, bad := range []string{
		whole + "x", "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
	} {
		if a, ok, err := parseAnswer([]byte(bad)); err == nil {
			t.Errorf("%q: %+v, %t", bad, a, ok)
		}
	}
}
