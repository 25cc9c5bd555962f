package demo

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/client"
	"laurel/internal/localgroup"
)

var three = []localgroup.Frontend{
	{ID: "f1", HTTP: "127.0.0.1:8001", PID: 4194301},
	{ID: "f2", HTTP: "127.0.0.1:8002", PID: 4194302},
	{ID: "f3", HTTP: "127.0.0.1:8003", PID: 4194303},
}

// fixture is an audience whose clients the test moves.
type fixture struct {
	t *testing.T
	*audience
	now time.Time
	out bytes.Buffer
}

// newFixture returns an audience with all clients at home.
func newFixture(t *testing.T) *fixture {
	s := &fixture{t: t, audience: newAudience(three), now: time.Now()}
	for _, one := range s.spectators {
		s.move(one, one.home)
	}
	return s
}

func (s *fixture) move(one *spectator, to string) {
	url := ""
	for _, f := range three {
		if f.ID == to {
			url = f.URL()
		}
	}
	s.served(one, url, s.now)
}

// of returns the clients whose home is a frontend.
func (s *fixture) of(home string) (list []*spectator) {
	for _, one := range s.spectators {
		if one.home == home {
			list = append(list, one)
		}
	}
	return list
}

func (s *fixture) after(d time.Duration) { s.now = s.now.Add(d) }

// prints checks what is printed now; "" is nothing.
func (s *fixture) prints(want string) {
	s.t.Helper()
	s.out.Reset()
	out := newPrinter(&s.out)
	for _, o := range s.finishedMoves(s.now) {
		out.move(o)
	}
	if got := strings.TrimSpace(s.out.String()); got != want {
		s.t.Errorf("printed %q; want %q", got, want)
	}
}

func TestAMoveIsPrintedOnceWhenTheLastClientHasMoved(t *testing.T) {
	s := newFixture(t)
	s.prints("")
	s.frontendDown("f2", s.now)
	for i, one := range s.of("f2") {
		s.prints("")
		s.after(100 * time.Millisecond)
		s.move(one, "")
		s.move(one, []string{"f1", "f3"}[i%2])
	}
	s.after(time.Second) // until the next look
	s.prints("** 10 clients moved from f2 to f1 and f3 in 1.0 s")
	s.prints("")
	if got := s.distribution(); got.at["f1"] != 15 || got.at["f2"] != 0 || got.at["f3"] != 15 || got.looking != 0 ||
		got.atHome != 20 {
		t.Errorf("the distribution is %+v", got)
	}

	s.frontendUp("f2", s.now)
	for _, one := range s.of("f2") {
		s.prints("")
		s.after(500 * time.Millisecond)
		s.move(one, "f2")
	}
	s.prints("** 10 clients came home to f2 in 5.0 s")
	s.prints("")
}

func TestClientsThatLeaveBeforeTheNoticeOfADeathAreCounted(t *testing.T) {
	s := newFixture(t)
	for _, one := range s.of("f3") {
		s.move(one, "f1")
	}
	s.after(time.Second)
	s.frontendDown("f3", s.now)
	s.prints("** 10 clients moved from f3 to f1 at once")
}

func TestGuestsOfADeadFrontendMoveAndThoseWhoWentHomeBeforeDoNot(t *testing.T) {
	s := newFixture(t)
	guests := s.of("f2")
	for _, one := range guests {
		s.move(one, "f1")
	}
	s.after(time.Minute)
	for _, one := range guests[:4] {
		s.move(one, "f2") // home, just before
	}
	s.frontendDown("f1", s.now)
	for _, one := range slices.Concat(s.of("f1"), guests[4:]) {
		s.prints("")
		s.move(one, "f3")
	}
	s.prints("** 16 clients moved from f1 to f3 at once")
}

func TestAnUnfinishedMoveIsPrintedAfterAWhile(t *testing.T) {
	s := newFixture(t)
	s.frontendDown("f2", s.now)
	for i, one := range s.of("f2") {
		s.move(one, "")
		if i < 3 {
			s.move(one, "f1")
		}
	}
	s.after(awayWithin - 1)
	s.prints("")
	s.after(1)
	s.prints("** 3 of 10 clients of f2 are elsewhere after 10 s; the others still look")
	s.prints("")

	s.frontendUp("f2", s.now)
	s.move(s.of("f2")[0], "f2")
	s.after(homeWithin)
	s.prints("** 1 of 10 clients of f2 are home again after 25 s")
}

func TestAFrontendThatIsBackBeforeItsClientsHaveMovedIsTheirHome(t *testing.T) {
	s := newFixture(t)
	s.frontendDown("f2", s.now)
	for _, one := range s.of("f2") {
		s.move(one, "")
	}
	s.frontendUp("f2", s.now)
	s.after(time.Second)
	for _, one := range s.of("f2") {
		s.prints("")
		s.move(one, "f2")
	}
	s.prints("** 10 clients came home to f2 in 1.0 s")
}

func TestAClientIsAtTheFrontendThatAnsweredItLast(t *testing.T) {
	s := newFixture(t)
	one := s.spectators[0]
	for _, c := range []struct {
		a    client.Attempt
		want string
	}{
		{client.Attempt{URL: three[1].URL(), Path: "/v1/scores", Status: http.StatusOK}, "f2"},
		{client.Attempt{URL: three[2].URL(), Path: "/v1/frontends", Status: http.StatusOK}, "f2"},
		{client.Attempt{URL: three[1].URL(), Path: "/v1/scores"}, ""},
		{client.Attempt{URL: three[2].URL(), Path: "/v1/scores", Status: http.StatusOK}, "f3"},
		{client.Attempt{URL: three[2].URL(), Path: "/v1/scores", Status: http.StatusServiceUnavailable}, ""},
	} {
		if s.attempted(one, c.a); one.at != c.want {
			t.Errorf("after %+v the client is at %q; want %q", c.a, one.at, c.want)
		}
	}
}

func TestTheDistributionIsPrintedWhenAllAreHomeOrAFrontendIsEmpty(t *testing.T) {
	s := newFixture(t)
	printed := s.distribution().summary("")
	if printed == "" {
		t.Error("that all are at home is not worth a line")
	}
	same := func(why string) {
		t.Helper()
		if s.distribution().summary(printed) != printed {
			t.Errorf("%s; that is not worth a line: %+v", why, s.distribution())
		}
	}
	all := s.of("f1")
	s.move(all[0], "")
	same("one looks")
	s.move(all[0], "f2")
	same("one is away")
	s.move(all[0], "f1")
	same("it is back")
	for _, one := range all {
		s.move(one, "")
		same("they have no other place yet")
	}
	for _, one := range all {
		same("nor all of them")
		s.move(one, "f2")
	}
	empty := s.distribution().summary(printed)
	if empty == printed {
		t.Error("that f1 is empty is not worth a line")
	}
	printed = empty
	for _, one := range all[1:] {
		s.move(one, "f1")
		same("not all are at home yet")
	}
	s.move(all[0], "f1")
	if s.distribution().summary(printed) == printed {
		t.Error("that all are home again is not worth a line")
	}
}
