package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"laurel/client"
	"laurel/internal/testgroup"
	"laurel/score"
)

// streamWithRefusals sends n events, every tenth of which the store refuses, over a stream
// that puts an alert in its place. It checks that each counts once, in order.
func streamWithRefusals(t *testing.T, g *testgroup.Group, c *client.Client, n int) client.StreamStats {
	t.Helper()
	replaced := 0
	s := c.Stream(t.Context(), client.StreamOptions{Window: 200,
		Refused: func(l client.Line, p *score.Problem) (client.Line, bool) {
			if p.Code != score.NotFound || l.Seq%10 != 0 {
				t.Errorf("seq %d was refused: %v", l.Seq, p)
			}
			replaced++
			e := score.Event{ID: fmt.Sprint("refused-", l.Seq), Source: "bard/cacofonix", Seq: l.Seq, Type: score.TypeAlert,
				ContestID: "OG50BC", Time: time.Now().UTC(), Data: &score.Alert{Text: fmt.Sprint(l.Seq)}}
			return client.Line{Event: &e}, true
		}})
	for seq := range uint64(n) {
		e := alertOf(fmt.Sprint(seq + 1))
		if e.Seq = seq + 1; e.Seq%10 == 0 {
			e.Type, e.Data = score.TypeMedalRevoke, &score.MedalRevoke{AwardID: "none", Reason: "magic potion"}
			e.ContestID = "OG50BC/1"
		}
		if err := s.Send(&e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := g.Events("OG50BC")
	if len(got) != n || replaced != n/10 {
		t.Fatalf("%d events were counted and %d replaced; want %d and %d", len(got), replaced, n, n/10)
	}
	for i, e := range got {
		if e.Seq != uint64(i+1) || e.Data.(*score.Alert).Text != fmt.Sprint(i+1) {
			t.Fatalf("event %d is %+v", i, e)
		}
	}
	return s.Stats()
}

func TestAStreamGoesOnWithTheReplacementOfARefusedLine(t *testing.T) {
	t.Parallel()
	const n = 500
	g, c := group(t, 1, client.Options{AttemptTimeout: patience}) // a busy machine answers late
	// The frontend ends the connection at each refusal. One whose answers are read late is reset.
	if stats := streamWithRefusals(t, g, c, n); stats.Failovers > 0 || stats.Retries >= n/10 {
		t.Errorf("stats are %+v; want no failure for a refusal", stats)
	}
}

func TestTheReplacementsOfASignedStreamAreSigned(t *testing.T) {
	t.Parallel()
	g, c := signingGroup(t, 1)
	streamWithRefusals(t, g, c, 500)
	checkSigned(t, g.Events("OG50BC"))
}

func TestAStreamWithReplacementsContinuesAfterFaults(t *testing.T) {
	t.Parallel()
	g, c := group(t, 3, client.Options{})
	learn(t, c)
	var count atomic.Int32
	g.Inject(func(_ *testgroup.Frontend, _ *http.Request, e *score.Event) testgroup.Fault {
		if e != nil && count.Add(1)%101 == 0 {
			return testgroup.CutAfter
		}
		return testgroup.None
	})
	if stats := streamWithRefusals(t, g, c, 500); stats.Retries == 0 {
		t.Errorf("stats are %+v", stats)
	}
}

func TestAReplacementThatIsRefusedEndsTheStream(t *testing.T) {
	t.Parallel()
	g, c := group(t, 1, client.Options{})
	asked := 0
	s := c.Stream(t.Context(), client.StreamOptions{
		Refused: func(l client.Line, _ *score.Problem) (client.Line, bool) {
			asked++
			return client.Line{Event: &score.Event{ID: "again", Source: "a", Seq: 7, Type: score.TypeAlert, ContestID: "OG50BC",
				Data: &score.Alert{Text: "x"}}, Number: 2}, asked < 3
		}})
	e := score.Event{Source: "a", Seq: 5, Type: score.TypeAlert, ContestID: "OG50BC", Data: &score.Alert{Text: "x"}}
	if err := s.Send(&e); err != nil {
		t.Fatal(err)
	}
	var refused *client.RefusedError
	if err := s.Close(); !errors.As(err, &refused) || refused.Line.Number != 2 || asked != 3 || len(g.Events("OG50BC")) != 0 {
		t.Errorf("got %v after %d refusals", err, asked)
	}
}

func TestAStreamGoesOnWithoutARefusedLine(t *testing.T) {
	t.Parallel()
	const n = 500
	for name, start := range map[string]func(*testing.T) (*testgroup.Group, *client.Client){
		"plain":  func(t *testing.T) (*testgroup.Group, *client.Client) { return group(t, 1, client.Options{}) },
		"signed": func(t *testing.T) (*testgroup.Group, *client.Client) { return signingGroup(t, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, c := start(t)
			refused := 0
			s := c.Stream(t.Context(), client.StreamOptions{Window: 100,
				Refused: func(client.Line, *score.Problem) (client.Line, bool) {
					refused++
					return client.Line{}, true
				}})
			seq := uint64(0)
			for i := range n {
				e := alertOf(fmt.Sprint(i))
				if e.Seq = seq + 1; i%10 != 9 {
					seq++
				} else {
					e.Type, e.Data, e.ContestID = score.TypeMedalRevoke, &score.MedalRevoke{AwardID: "none", Reason: "x"}, "OG50BC/1"
				}
				if err := s.Send(&e); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if got := len(g.Events("OG50BC")); got != n-n/10 || refused != n/10 {
				t.Errorf("%d events were counted and %d refused; want %d and %d", got, refused, n-n/10, n/10)
			}
		})
	}
}
