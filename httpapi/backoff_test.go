package httpapi

import (
	"bufio"
	"bytes"
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
)

const (
	minPause         = time.Second
	returnsPerSecond = 500
)

// fastPosts posts on the fast path, without a connection, while a number of posts is under way.
type fastPosts struct {
	api  *API
	fast *fastHandler
}

func newFastPosts(t *testing.T, o Options) fastPosts {
	_, a := newTestAPI(t, o)
	return fastPosts{a, a.clientServer().fastHandler(a.Server(a.Handler()))}
}

// holdPosts has n posts under way until release is called.
func holdPosts(a *API, n int) (release func()) {
	gate := a.admission.PeerGate()
	for range n {
		gate.BeginPost()
	}
	return func() {
		for range n {
			gate.EndPost()
		}
	}
}

func postsUnderWay(a *API) int {
	_, posts, _ := a.admission.UnderWay()
	return posts
}

func (h fastPosts) post(t *testing.T, under int, early bool) (r *fastpath.Request, res *http.Response) {
	t.Helper()
	defer holdPosts(h.api, under)()
	r = &fastpath.Request{Method: http.MethodPost, Path: []byte("/v1/events"), Host: []byte(testHost), ContentType: []byte(handler.TypeJSON), Body: []byte(alert("", "")), Early: early,
		Authorization: []byte("Bearer of ill tidings"), Peer: &fastpath.Peer{Addr: netip.MustParseAddr("127.0.0.1")}}
	out, _ := h.fast.Answer(t.Context(), nil, r)
	if got := postsUnderWay(h.api); got != under {
		t.Errorf("%d posts are under way after one more of %d was answered", got, under)
	}
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, res
}

func TestRefusedPostIsToldHowLongItsConnectionIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFastPosts(t, Options{Options: admission.Options{Limits: admission.Limits{MaxPosts: 10}, Secure: true}})
		longest := time.Duration(0)
		for range 3 * returnsPerSecond {
			// The invalid token is not looked at.
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
		if longest <= minPause {
			t.Errorf("none was paused for longer than %s", longest)
		}
		if r, res := h.post(t, 9, false); res.StatusCode != http.StatusUnauthorized || r.Pause != 0 {
			t.Errorf("with a free place the invalid token gets %d and a pause of %s", res.StatusCode, r.Pause)
		}
	})
}

func TestPostBeforeItsRetryAfterIsRefusedUnderLoad(t *testing.T) {
	h := newFastPosts(t, limited(admission.Limits{MaxPosts: 10}))
	for _, c := range []struct {
		under int
		early bool
		want  int
	}{{5, true, 200}, {6, true, 429}, {6, false, 200}, {9, true, 429}, {9, false, 200}, {10, false, 429}} {
		r, res := h.post(t, c.under, c.early)
		if res.StatusCode != c.want || (r.Pause > 0) != (c.want == 429) {
			t.Errorf("with %d of 10 posts under way, early %v: got %d and a pause of %s; want %d", c.under, c.early, res.StatusCode, r.Pause, c.want)
		}
	}
}

func TestPostBeforeItsRetryAfterIsRefusedWhileOthersAreQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFastPosts(t, limited(admission.Limits{MaxPosts: 10}))
		if _, res := h.post(t, 1, true); res.StatusCode != http.StatusOK {
			t.Errorf("without a queue: got %d", res.StatusCode)
		}
		for range returnsPerSecond {
			h.post(t, 10, false)
		}
		if r, res := h.post(t, 1, true); res.StatusCode != http.StatusTooManyRequests || r.Pause < minPause {
			t.Errorf("early: got %d and a pause of %s", res.StatusCode, r.Pause)
		}
		if r, res := h.post(t, 1, false); res.StatusCode != http.StatusOK || r.Pause != 0 {
			t.Errorf("on time: got %d and a pause of %s", res.StatusCode, r.Pause)
		}
	})
}

func TestIdleFrontendTakesPostsWhateverWasRefusedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFastPosts(t, limited(admission.Limits{MaxPosts: 10}))
		for range 2 * returnsPerSecond {
			h.post(t, 10, false)
		}
		if r, res := h.post(t, 0, true); res.StatusCode != http.StatusOK || r.Pause != 0 {
			t.Errorf("got %d and a pause of %s", res.StatusCode, r.Pause)
		}
	})
}
