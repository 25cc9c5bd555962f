package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"laurel/client"
	"laurel/score"
)

// snapshotServer answers requests for snapshots with f, and counts them.
func snapshotServer(t *testing.T, f http.HandlerFunc) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/snapshot" {
			http.NotFound(w, r)
			return
		}
		asked.Add(1)
		f(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func refuseWith(status int, code score.Code) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"code":"`+string(code)+`","status":1,"title":"x"}`)
	}
}

func TestASnapshotComesFromTheNextFrontendIfOneCannotGiveIt(t *testing.T) {
	first, askedFirst := snapshotServer(t, refuseWith(503, score.NotReady))
	second, _ := snapshotServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "content") })
	c, err := client.NewPatient([]string{first, second}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		body, err := c.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil || string(content) != "content" {
			t.Errorf("got %q, %v", content, err)
		}
	}
	if n := askedFirst.Load(); n != 1 {
		t.Errorf("the frontend that could not was asked %d times", n)
	}
}

func TestARefusedSnapshotIsAskedForOnce(t *testing.T) {
	url, asked := snapshotServer(t, refuseWith(403, score.Forbidden))
	c, err := client.NewPatient([]string{url}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Snapshot(t.Context()); score.CodeOf(err) != score.Forbidden || asked.Load() != 1 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
}

// Its beginning was given to the caller, so another frontend cannot go on.
func TestASnapshotThatBreaksOffIsAnError(t *testing.T) {
	url, _ := snapshotServer(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "the begin")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	c, err := client.NewPatient([]string{url}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body, err := c.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if content, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v", content, err)
	}
}
