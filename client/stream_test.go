package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"laurel/client"
	"laurel/internal/testgroup"
	"laurel/score"
)

// streamAlerts sends n alerts of one source over a stream. It checks that each is
// answered once, in order, and counts once.
func streamAlerts(
	t *testing.T, g *testgroup.Group, c *client.Client, o client.StreamOptions, n int,
) client.StreamStats {
	t.Helper()
	answered := 0
	o.Answered = func(a client.Answer) {
		answered++
		if a.Line.Seq != uint64(answered) || a.Result.Revision != uint64(answered) {
			t.Errorf("answer %d is for seq %d with revision %d", answered, a.Line.Seq, a.Result.Revision)
		}
	}
	s := c.Stream(t.Context(), o)
	for i := range n {
		e := alert(fmt.Sprint("line ", i))
		e.Source, e.Seq = "bard/cacofonix", uint64(i+1)
		if err := s.Send(&e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if answered != n {
		t.Errorf("%d events were answered; want %d", answered, n)
	}
	accepted := g.Events(contest)
	if len(accepted) != n {
		t.Fatalf("%d events were counted; want %d", len(accepted), n)
	}
	for i, e := range accepted {
		if e.Seq != uint64(i+1) {
			t.Fatalf("event %d has seq %d", i, e.Seq)
		}
	}
	return s.Stats()
}

func TestStreamAnswersEveryEventInOrder(t *testing.T) {
	t.Parallel()
	g, c := group(t, 1, withPatience(client.Options{}))
	if got := streamAlerts(t, g, c, client.StreamOptions{}, 5000); got != (client.StreamStats{}) {
		t.Errorf("stats are %+v; want no failure", got)
	}
}

func TestStreamContinuesAfterFaultsAndCountsOnce(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]testgroup.Fault{
		"dies in the middle": testgroup.CutBefore,
		"loses the answer":   testgroup.CutAfter,
		"has no master":      testgroup.Unavailable,
		"is busy":            testgroup.Busy,
		"hangs":              testgroup.Hang,
	} {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d frontends", name, n), func(t *testing.T) {
				t.Parallel()
				g, c := group(t, n, client.Options{AttemptTimeout: 2 * time.Second})
				learn(t, c)
				var count atomic.Int32
				g.Inject(func(_ *testgroup.Frontend, _ *http.Request, e *score.Event) testgroup.Fault {
					if e != nil && count.Add(1)%301 == 0 {
						return fault
					}
					return testgroup.None
				})
				stats := streamAlerts(t, g, c, client.StreamOptions{Window: 200}, 1000)
				if stats.Retries == 0 || n > 1 && stats.Failovers == 0 || n == 1 && stats.Failovers > 0 {
					t.Errorf("stats are %+v", stats)
				}
			})
		}
	}
}

func TestStreamContinuesElsewhereWhenItsRequestIsRefused(t *testing.T) {
	t.Parallel()
	g, c := group(t, 3, client.Options{})
	learn(t, c)
	g.Inject(always("f1", testgroup.Unavailable))
	streamAlerts(t, g, c, client.StreamOptions{}, 100)
}

func TestStreamContinuesWhenItsFrontendDies(t *testing.T) {
	t.Parallel()
	g, c := group(t, 3, client.Options{})
	learn(t, c)
	var n atomic.Int32
	g.Inject(func(f *testgroup.Frontend, _ *http.Request, e *score.Event) testgroup.Fault {
		if e != nil && n.Add(1) == 500 {
			go f.Detach()
		}
		return testgroup.None
	})
	streamAlerts(t, g, c, client.StreamOptions{}, 5000)
}

func TestStreamEndsAtTheRefusedEvent(t *testing.T) {
	t.Parallel()
	g, c := group(t, 3, client.Options{})
	s := c.Stream(t.Context(), client.StreamOptions{})
	good, bad := alert("hail"), score.Event{
		ID: "bad", Type: score.TypeScoreSet, ContestID: contest,
		Data: &score.ScoreSet{Result: score.Totals{{Code: "GAU", Value: 1}}},
	}
	for _, e := range []*score.Event{&good, &bad, &good} {
		// The refusal may be there before the last one is sent.
		if err := s.Send(e); err != nil && !errors.As(err, new(*client.RefusedError)) {
			t.Fatal(err)
		}
	}
	err := s.Close()
	wantProblem(t, err, score.NotFound)
	if r, ok := errors.AsType[*client.RefusedError](err); !ok || r.Line.ID != "bad" {
		t.Errorf("got %v; want a refusal of the event \"bad\"", err)
	}
	if got := len(g.Events(contest)); got != 1 {
		t.Errorf("%d events were applied; want the one before the refused", got)
	}
	if again := s.Send(&good); !errors.Is(again, err) {
		t.Errorf("a later Send returns %v; want %v", again, err)
	}
}

func TestStreamEndsAtALineThatIsNoEvent(t *testing.T) {
	t.Parallel()
	_, c := group(t, 1, client.Options{})
	s := c.Stream(t.Context(), client.StreamOptions{})
	if err := s.SendLine(client.Line{ID: "x", JSON: []byte(`{"id":"x","typ`), Number: 7}); err != nil {
		t.Fatal(err)
	}
	err := s.Close()
	wantProblem(t, err, score.InvalidEvent)
	if r, ok := errors.AsType[*client.RefusedError](err); !ok || r.Line.Number != 7 {
		t.Errorf("got %v; want a refusal of line 7", err)
	}
}

// ndjson starts a server that answers each stream with the given lines, whatever it is
// sent.
func ndjson(t *testing.T, lines func(call int32) string) string {
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/events" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, lines(calls.Add(1)))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestStreamRepeatsAnEventThatAFrontendBrokeOff(t *testing.T) {
	good := `{"id":"a","seq":1,"revision":1,"status":"applied"}` + "\n"
	for name, first := range map[string]string{
		"silent for too long": `{"id":"","problem":{"status":400,"code":"invalid_event",` +
			`"detail":"the stream was silent for too long"}}` + "\n",
		"not JSON":        "<html>\n",
		"an endless line": strings.Repeat("x", 100_000),
		"a torn line":     good[:20],
		"another event's": strings.Replace(good, `"a"`, `"b"`, 1),
		"nothing":         "",
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, withPatience(client.Options{}), ndjson(t, func(call int32) string {
				if call == 1 {
					return first
				}
				return good
			}))
			s := c.Stream(t.Context(), client.StreamOptions{})
			e := alert("hail")
			e.ID, e.Source, e.Seq = "a", "bard/cacofonix", 1
			if err := s.Send(&e); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if got := s.Stats().Retries; got != 1 {
				t.Errorf("%d retries; want 1", got)
			}
		})
	}
}

func TestStreamGivesUpAfterItsPatience(t *testing.T) {
	t.Parallel()
	t.Run("with the problem of frontends that answer", func(t *testing.T) {
		g, c := group(t, 2, withPatience(client.Options{}))
		g.Inject(func(*testgroup.Frontend, *http.Request, *score.Event) testgroup.Fault {
			return testgroup.Unavailable
		})
		wantProblem(t, streamWithoutAnswer(t, c), score.NoMaster)
	})
	t.Run("as unreachable where none does", func(t *testing.T) {
		if err := streamWithoutAnswer(t, newClient(t, client.Options{}, nobody)); !errors.As(err, new(*client.UnreachableError)) {
			t.Errorf("got %v; want an UnreachableError", err)
		}
	})
}

func streamWithoutAnswer(t *testing.T, c *client.Client) error {
	t.Helper()
	trouble := 0
	s := c.Stream(t.Context(), client.StreamOptions{
		Patience: 200 * time.Millisecond,
		Trouble:  func(string, error) { trouble++ },
	})
	e := alert("hail")
	if err := s.Send(&e); err != nil {
		t.Fatal(err)
	}
	err := s.Close()
	if trouble == 0 || trouble != s.Stats().Retries {
		t.Errorf("Trouble was called %d times; stats are %+v", trouble, s.Stats())
	}
	return err
}

func TestCancellingAStreamEndsIt(t *testing.T) {
	t.Parallel()
	g, c := group(t, 1, client.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	g.Inject(func(_ *testgroup.Frontend, _ *http.Request, e *score.Event) testgroup.Fault {
		if e != nil {
			cancel()
			return testgroup.Hang
		}
		return testgroup.None
	})
	s := c.Stream(ctx, client.StreamOptions{Window: 2})
	var err error
	for err == nil { // the window is full after two events, so Send waits for the end
		e := alert("hail")
		err = s.Send(&e)
	}
	if !errors.Is(err, context.Canceled) || !errors.Is(s.Close(), context.Canceled) {
		t.Errorf("got %v; want context.Canceled", err)
	}
}

func TestStreamHoldsNoMoreThanItsWindow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		seq    uint64
		size   int
		window int
		most   int32
	}{
		"events":                        {1, 0, 100, 100},
		"bytes":                         {1, 1 << 20, 100, 8},
		"ids that the store remembers":  {0, 0, 4096, 512},
		"one that is larger than bytes": {1, 9 << 20, 100, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl, err := newTransportClient(func(r *http.Request) (int, io.ReadCloser, error) {
					<-r.Context().Done()
					return 0, nil, r.Context().Err()
				})
				if err != nil {
					t.Fatal(err)
				}
				defer cl.Close()
				ctx, cancel := context.WithCancel(t.Context())
				s := cl.Stream(ctx, client.StreamOptions{Window: c.window})
				var sent atomic.Int32
				go func() {
					for sent.Load() < 5000 &&
						s.SendLine(client.Line{ID: "x", Seq: c.seq, JSON: make([]byte, c.size)}) == nil {
						sent.Add(1)
					}
				}()
				synctest.Wait()
				if got := sent.Load(); got != c.most {
					t.Errorf("%d events were accepted while none was answered; want %d", got, c.most)
				}
				cancel()
				_ = s.Close()
			})
		})
	}
}

func TestCloseOfAnEmptyStreamSendsNothing(t *testing.T) {
	t.Parallel()
	g, c := group(t, 1, client.Options{})
	if err := c.Stream(t.Context(), client.StreamOptions{}).Close(); err != nil {
		t.Fatal(err)
	}
	if got := g.Requests(); len(got) != 0 {
		t.Errorf("sent %q; want nothing", got)
	}
}
