package client_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"laurel/client"
	"laurel/score"
)

// fullFor returns a server that refuses n posts for lack of room, and takes the next one.
func fullFor(t *testing.T, n int32) (s *httptest.Server, posts *atomic.Int32) {
	posts = new(atomic.Int32)
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			fmt.Fprint(w, "{}")
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if posts.Add(1) <= n {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusInsufficientStorage)
			fmt.Fprint(w, `{"status":507,"code":"no_space","detail":"make room"}`)
			return
		}
		fmt.Fprint(w, `{"revision":1,"results":[{"id":"a","revision":1,"status":"applied"}]}`)
	}))
	t.Cleanup(s.Close)
	return s, posts
}

func TestAPostIsRepeatedWhenThereIsRoomAgain(t *testing.T) {
	s, posts := fullFor(t, 1)
	c := newClient(t, withPatience(client.Options{}), s.URL)
	results, err := c.Post(t.Context(), []score.Event{alert("hail")})
	if err != nil || len(results) != 1 || posts.Load() != 2 {
		t.Errorf("%d posts, %v, %v; want one result after two posts", posts.Load(), results, err)
	}
}

func TestAPostWithoutRoomHasCertainlyNotBeenApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := newTransportClient(func(r *http.Request) (int, io.ReadCloser, error) {
			return 507, io.NopCloser(strings.NewReader(`{"status":507,"code":"no_space","detail":"make room"}`)), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Post(t.Context(), []score.Event{alert("hail")})
		wantProblem(t, err, score.NoSpace)
	})
}
