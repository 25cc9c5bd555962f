package httpapi

import (
	"bufio"
	"bytes"
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"laurel/httpapi/fastpath"
)

func TestThoseWhoRestComeBackOneAfterTheOther(t *testing.T) {
	var r rests
	now := time.Now()
	var all []time.Duration
	for range 3 * returnsPerSecond {
		all = append(all, r.begin(now))
	}
	for i, rest := range all {
		if rest < restAfterRefusal || rest > maxRest {
			t.Fatalf("number %d rests for %s; want %s to %s", i, rest, restAfterRefusal, maxRest)
		}
		if i >= returnsPerSecond && rest < maxRest && rest-all[i-returnsPerSecond] < time.Second {
			t.Fatalf("number %d comes back %s after number %d", i, rest-all[i-returnsPerSecond], i-returnsPerSecond)
		}
	}
	for range MaxConnections {
		if rest := r.begin(now); rest > maxRest {
			t.Fatalf("one rests for %s; want %s at most, however many rest", rest, maxRest)
		}
	}
	if !r.line(now.Add(time.Second)) || r.line(now.Add(maxRest)) {
		t.Errorf("there is a line after a second: %t, and when all have come back: %t", r.line(now.Add(time.Second)), r.line(now.Add(maxRest)))
	}
	if rest := r.begin(now.Add(maxRest)); rest != restAfterRefusal {
		t.Errorf("when all have come back one rests for %s; want %s", rest, restAfterRefusal)
	}
}

// hotPosts posts by the front, past its connections, while so many posts are under way.
type hotPosts struct {
	api *API
	hot *hot
}

func newHotPosts(t *testing.T, o Options) hotPosts {
	_, a := newFake(t, o)
	return hotPosts{a, (&port{API: a, name: "client", forwards: true}).hot(a.Server(a.Handler()))}
}

func (h hotPosts) post(t *testing.T, under int, early bool) (r *fastpath.Request, res *http.Response) {
	t.Helper()
	h.api.load.posts.Store(int64(under))
	r = &fastpath.Request{Method: http.MethodPost, Path: []byte("/v1/events"), ContentType: []byte(typeJSON), Body: []byte(alert("", "")), Early: early,
		Authorization: []byte("Bearer of ill tidings"), Peer: &fastpath.Peer{Addr: netip.MustParseAddr("127.0.0.1")}}
	out, _ := h.hot.Answer(t.Context(), nil, r)
	if got := h.api.load.posts.Load(); got != int64(under) {
		t.Errorf("%d posts are under way after one more of %d was answered", got, under)
	}
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, res
}

func TestARefusedPostIsToldForHowLongItsConnectionIsNotRead(t *testing.T) {
	h := newHotPosts(t, Options{Limits: Limits{MaxPosts: 10}, Secure: true})
	longest := time.Duration(0)
	for range 3 * returnsPerSecond {
		// Whose it is is not looked at: the token is a wrong one.
		r, res := h.post(t, 10, false)
		if res.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("got %d; want 429", res.StatusCode)
		}
		seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if told := time.Duration(seconds) * time.Second; err != nil || told != r.Wait || told < r.Pause || told >= r.Pause+time.Second {
			t.Fatalf("Retry-After is %q (%v), and the connection is not read for %s", res.Header.Get("Retry-After"), err, r.Pause)
		}
		longest = max(longest, r.Pause)
	}
	if longest <= restAfterRefusal {
		t.Errorf("none rested for longer than %s", longest)
	}
	if r, res := h.post(t, 9, false); res.StatusCode != http.StatusUnauthorized || r.Pause != 0 {
		t.Errorf("with a place free the wrong token gets %d and a rest of %s", res.StatusCode, r.Pause)
	}
}

func TestWhoDidNotWaitAsAskedFindsNoPlaceWhilePostsAreMany(t *testing.T) {
	h := newHotPosts(t, Options{Limits: Limits{MaxPosts: 10}})
	for _, c := range []struct {
		under int
		early bool
		want  int
	}{{5, true, 200}, {6, true, 429}, {6, false, 200}, {9, true, 429}, {9, false, 200}, {10, false, 429}} {
		r, res := h.post(t, c.under, c.early)
		if res.StatusCode != c.want || (r.Pause > 0) != (c.want == 429) {
			t.Errorf("with %d of 10 posts under way, early %v: got %d and a rest of %s; want %d", c.under, c.early, res.StatusCode, r.Pause, c.want)
		}
	}
}

func TestWhoDidNotWaitFindsNoPlaceWhileThoseWhoWaitStandInLine(t *testing.T) {
	h := newHotPosts(t, Options{Limits: Limits{MaxPosts: 10}})
	if _, res := h.post(t, 1, true); res.StatusCode != http.StatusOK {
		t.Errorf("without a line: got %d", res.StatusCode)
	}
	for range returnsPerSecond {
		h.post(t, 10, false)
	}
	if r, res := h.post(t, 1, true); res.StatusCode != http.StatusTooManyRequests || r.Pause < restAfterRefusal {
		t.Errorf("early: got %d and a rest of %s", res.StatusCode, r.Pause)
	}
	if r, res := h.post(t, 1, false); res.StatusCode != http.StatusOK || r.Pause != 0 {
		t.Errorf("in time: got %d and a rest of %s", res.StatusCode, r.Pause)
	}
}

func TestAnEmptyHouseTakesPostsAtOnceWhateverWasRefusedBefore(t *testing.T) {
	h := newHotPosts(t, Options{Limits: Limits{MaxPosts: 10}})
	for range 2 * returnsPerSecond {
		h.post(t, 10, false)
	}
	if r, res := h.post(t, 0, true); res.StatusCode != http.StatusOK || r.Pause != 0 {
		t.Errorf("got %d and a rest of %s", res.StatusCode, r.Pause)
	}
}
