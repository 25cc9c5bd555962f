package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/score/ranking"
	"laurel/trust/access"
)

const boardPath = "/v1/leaderboard/" + race

func askBoard(t *testing.T, a *readResponse) (l ranking.Leaderboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &l, json.RejectUnknownMembers(true)); err != nil || a.StatusCode != 200 {
		t.Fatalf("got %d %s (%v)", a.StatusCode, a.body, err)
	}
	return l
}

// order is a board in a few words: the competitors with their ranks.
func order(l *ranking.Leaderboard) string {
	var all []string
	for i := range l.Rows {
		r := &l.Rows[i]
		rank := strconv.Itoa(r.Rank)
		switch {
		case r.Rank == 0:
			rank = "-"
		case r.RankEqual:
			rank = "=" + rank
		}
		all = append(all, rank+" "+r.Competitor)
	}
	return strings.Join(all, ", ")
}

func TestLeaderboardIsAnsweredInTheFormOfTheInterface(t *testing.T) {
	_, s := start(t)
	a := ask(t, s, "GET", boardPath, "")
	l := askBoard(t, a)
	if again, err := queries.Encode(&l); err != nil || string(again) != a.body {
		t.Errorf("got %s, which ranking.Leaderboard writes as %s (%v)", a.body, again, err)
	}
	if got := order(&l); got != "=1 2888, =1 31, =3 42, =3 7, - 99" || l.ContestID != race || l.Split != "finish" || l.Total != 5 || l.Next != "" {
		t.Errorf("got %s of %+v", got, l)
	}
	for name, value := range map[string]string{"Laurel-Revision": strconv.FormatUint(raceRevision, 10), "Laurel-Frontend": "f1", "Laurel-Cache": "hit", "Laurel-Mode": "push", "Cache-Control": "no-cache",
		"Vary": "Accept", "Content-Type": "application/json", "Age": ""} {
		if got := a.Header.Get(name); got != value {
			t.Errorf("%s is %q; want %q", name, got, value)
		}
	}
}

func TestLeaderboardReturnsTheRequestedPart(t *testing.T) {
	_, s := start(t)
	for query, want := range map[string]string{
		"?limit=2":                        "=1 2888, =1 31",
		"?split=10+km&limit=3":            "1 2888, 2 31, 3 7",
		"?split=10%20km&around=7&limit=2": "3 7, 4 42",
		"?around=42&limit=3":              "=1 31, =3 42, =3 7",
		"?around=99&limit=2":              "=3 7, - 99",
		"?category=W":                     "1 31, 2 42",
		"?category=nobody":                "",
		"?after=8000000,2888&limit=2":     "=1 31, =3 42",
	} {
		if l := askBoard(t, ask(t, s, "GET", boardPath+query, "")); order(&l) != want {
			t.Errorf("%s: got %s; want %s", query, order(&l), want)
		}
	}
}

func TestPagesOfALeaderboardAddUpToTheWhole(t *testing.T) {
	_, s := start(t)
	var all []string
	for next, more := "", true; more; more = next != "" {
		l := askBoard(t, ask(t, s, "GET", boardPath+"?limit=1&after="+next, ""))
		all = append(all, order(&l))
		next = l.Next
	}
	if got := strings.Join(all, ", "); got != "=1 2888, =1 31, =3 42, =3 7, - 99" {
		t.Errorf("got %s", got)
	}
}

func TestInvalidLeaderboardQuestionIsRefused(t *testing.T) {
	_, s := start(t)
	for query, want := range map[string]struct{ field, words string }{
		"?split=half":                          {"split", "10 km, finish"},
		"?limit=0":                             {"limit", "1 to 1000"},
		"?limit=1001":                          {"limit", "1 to 1000"},
		"?after=x":                             {"after", "earlier answer"},
		"?after=" + strings.Repeat("1", 2000):  {"after", "earlier answer"},
		"?after=1,a&around=b":                  {"around", "one of them"},
		"?around=" + strings.Repeat("x", 600):  {"around", "512"},
		"?category=" + strings.Repeat("x", 99): {"", ""},
		"?round=7":                             {"round", "around"},
		"?limit=1&limit=2":                     {"limit", "once"},
	} {
		a := ask(t, s, "GET", boardPath+query, "")
		if want.field == "" {
			askBoard(t, a)
			continue
		}
		if p := a.problem(t); p.Status != 400 || p.Field != want.field || !strings.Contains(p.Detail, want.words) {
			t.Errorf("%s: got %+v", query, p)
		}
	}
	for path, words := range map[string]string{"/v1/leaderboard/OG50BC/NO": "not defined", boardPath + "?around=1": "has no mark", "/v1/leaderboard/a%20b": "ranked"} {
		a := ask(t, s, "GET", path, "")
		if p := a.problem(t); p.Code != score.NotFound || !strings.Contains(p.Detail, words) {
			t.Errorf("%s: got %+v", path, p)
		}
		if a.Header.Get("Laurel-Mode") == "" && !strings.Contains(path, "%20") {
			t.Errorf("%s: got %v; want how it is known", path, a.Header)
		}
	}
}

func TestUnchangedLeaderboardIsNotSentAgain(t *testing.T) {
	g, s := start(t)
	tags := map[string]string{}
	for _, path := range []string{boardPath, boardPath + "?limit=2", boardPath + "?split=10+km", boardPath + "?category=M", boardPath + "?around=7", boardPath + "?after=8000,31"} {
		tag := ask(t, s, "GET", path, "").Header.Get("ETag")
		if other, twice := tags[tag]; twice {
			t.Errorf("%s and %s have the same tag", path, other)
		}
		tags[tag] = path
		g.store.post(`{"type":"alert","contest_id":"OG50BC/CUR-M-GPA-01","data":{"text":"clack"}}`) // another contest changes
		if a := ask(t, s, "GET", path, "", "If-None-Match: "+tag); a.StatusCode != http.StatusNotModified || a.body != "" || a.Header.Get("ETag") != tag {
			t.Errorf("%s: got %d %q %v", path, a.StatusCode, a.body, a.Header)
		}
		if a := ask(t, s, "GET", path, "", "If-None-Match: "+tag, "Accept: text/plain"); a.StatusCode != 200 {
			t.Errorf("%s: the table has the tag of the JSON", path)
		}
	}
	g.store.setMark("12", 9000)
	for tag, path := range tags {
		if a := ask(t, s, "GET", path, "", "If-None-Match: "+tag); a.StatusCode != 200 {
			t.Errorf("%s: got %d after a change", path, a.StatusCode)
		}
	}
}

func TestLeaderboardTagDoesNotDependOnTheWayItWasAnswered(t *testing.T) {
	g, s := start(t)
	tag := ask(t, s, "GET", boardPath, "").Header.Get("ETag")
	g.age = 2 * time.Second
	g.pull = func(key string) (*cache.Entry, string, time.Duration, error) {
		body, revision, err := g.store.answer(key)
		return &cache.Entry{Body: body, Revision: revision}, cache.Hit, g.age, err
	}
	for _, c := range []struct {
		mode score.CacheMode
		path string
		how  string
	}{{score.Push, boardPath + "?max_stale=30s", "stale"}, {score.Pull, boardPath, "hit"}} {
		g.elsewhere.Store(true)
		g.mode.Store(c.mode)
		a := ask(t, s, "GET", c.path, "")
		if l := askBoard(t, a); l.Total != 5 || a.Header.Get("ETag") != tag || a.Header.Get("Age") != "2" || a.Header.Get("Laurel-Cache") != c.how {
			t.Errorf("%s: got %v; want the tag %s", c.path, a.Header, tag)
		}
	}
}

func TestLeaderboardIsForwardedWithoutALease(t *testing.T) {
	g, s := start(t)
	g.elsewhere.Store(true)
	g.forward = func(w http.ResponseWriter, r *http.Request) error {
		writeBody(w, handler.TypeJSON, []byte(r.URL.RequestURI()))
		return nil
	}
	if a := ask(t, s, "GET", boardPath+"?around=7", ""); a.body != boardPath+"?around=7" || a.Header.Get("Laurel-Cache") != "forward" {
		t.Errorf("got %s %v", a.body, a.Header)
	}
	g.forward = nil
	if p := ask(t, s, "GET", boardPath, "").problem(t); p.Code != score.NoMaster {
		t.Errorf("without a master: %+v", p)
	}
	g.age = time.Minute
	if p := ask(t, s, "GET", boardPath+"?max_stale=30s", "").problem(t); p.Code != score.NotReady {
		t.Errorf("older than allowed: %+v", p)
	}
}

// What cannot be given at once goes by the adapter, and the connection stays.
func TestReadWaitsForALeaderboard(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	url, handed := frontOf(t, a)
	g.read = func(context.Context) error { return nil }
	res, err := http.Get(url + boardPath + "?limit=1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || handed.Load() != 0 {
		t.Errorf("got %d, %d requests by net/http", res.StatusCode, handed.Load())
	}
}

// releaseWhileWaiting calls h.Answer, and once the question waits for its release, then.
func releaseWhileWaiting(t *testing.T, a *API, h *fastHandler, r *fastpath.Request, then func()) []byte {
	answered := make(chan []byte, 1)
	go func() {
		answer, _ := h.Answer(t.Context(), nil, r)
		answered <- answer
	}()
	eventually(t, "the question waits", func() bool { return readsUnderWay(a) == 1 })
	select {
	case answer := <-answered:
		t.Errorf("got %s, which is not released", answer)
	default:
	}
	then()
	answer := <-answered
	if got := readsUnderWay(a); got != 0 {
		t.Errorf("%d places of questions are still taken", got)
	}
	return answer
}

func TestMadeLeaderboardWaitsForItsRelease(t *testing.T) {
	for _, released := range []bool{true, false} {
		g, a := newTestAPI(t, Options{})
		h, r := hotOf(a, boardPath)
		h.Answer(t.Context(), nil, r) // the first is counted by its route
		anew := 0
		g.board = func() { anew++ }
		lease, stream := leaseCheck(raceRevision - 1)
		g.lease = &lease
		answer := releaseWhileWaiting(t, a, h, r, func() {
			if released {
				stream.Receive(&cache.Release{Released: raceRevision}, 1)
			} else {
				stream.Close()
			}
		})
		how := "Laurel-Cache: wait"
		if !released {
			how = "Laurel-Cache: hit" // made anew, of what has been released since
		}
		if !bytes.Contains(answer, []byte(how)) || !bytes.Contains(answer, []byte(`"2888"`)) {
			t.Errorf("released %t: got %s", released, answer)
		}
		if want := map[bool]int{true: 0, false: 1}[released]; anew != want {
			t.Errorf("released %t: it was made anew %d times; want %d", released, anew, want)
		}
	}
}

func TestLeaderboardHasThePermissionsOfScores(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	newGuardedGroup(t, g)
	g.store.change(access.SettingPrivate, "true")
	url, _ := frontOf(t, a)
	for _, path := range []string{boardPath, "/v1/scores/" + contest} {
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: got %d", path, res.StatusCode)
		}
	}
}

// BenchmarkBoard is what a question about a leaderboard costs here, beside finding the rows.
func BenchmarkBoard(b *testing.B) {
	g, a := newTestAPI(b, Options{})
	g.store.post(openRaceEvents(100_000)...)
	for _, limit := range []string{"1", "10"} {
		b.Run(limit, func(b *testing.B) {
			h, r := hotOf(a, "/v1/leaderboard/"+openRace)
			dst, n := make([]byte, 0, 64<<10), 0
			b.ReportAllocs()
			for b.Loop() {
				n = (n + 7919) % 100_000
				r.Query = strconv.AppendInt(append(r.Query[:0], "around="...), int64(1000+n), 10)
				r.Query = append(r.Query, "&limit="+limit...)
				if _, ok := h.Answer(b.Context(), dst, r); !ok {
					b.Fatal("not answered")
				}
			}
		})
	}
}
