package snapshots

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/score"
)

// store gives snapshots of a content.
type store struct {
	content  []byte
	err      error         // after the content
	wait     chan struct{} // before the content, unless it is nil
	released atomic.Int32
}

func (s *store) Snapshot(context.Context) (*queries.Snapshot, error) {
	return &queries.Snapshot{
		Lineage: "og50bc", Incarnation: "first", Revision: 7, Index: 9,
		Write: func(w io.Writer, at time.Time) error {
			if s.wait != nil {
				<-s.wait
			}
			if _, err := w.Write(s.content); err != nil {
				return err
			}
			return s.err
		},
		Release: func() { s.released.Add(1) },
	}, nil
}

// serve serves the snapshots of s.
func serve(t *testing.T, s *store, h *Handlers) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		a, err := h.Get(hr.Context(), handler.FromHTTP(w, hr, nil, nil))
		if p, ok := errors.AsType[*score.Problem](err); ok {
			a = a.WithProblem(p, 0)
		} else if err != nil {
			t.Error(err)
		}
		if !a.IsWritten() {
			a.WriteTo(w, handler.Shared{})
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, method, url string, header ...string) (*http.Response, []byte, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

// random returns what cannot be kept in the buffers of a connection.
func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

func TestAnAnswerHasTheSnapshotItsRevisionAndItsDigest(t *testing.T) {
	s := &store{content: random(3 << 20)}
	server := serve(t, s, New(s))
	resp, body, err := get(t, "GET", server.URL)
	sum := sha256.Sum256(s.content)
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	if err != nil || !bytes.Equal(body, s.content) || resp.Header.Get("Laurel-Revision") != "7" ||
		resp.Header.Get("Content-Type") != "application/gzip" || resp.Trailer.Get("Repr-Digest") != digest {
		t.Errorf("%v, %d bytes, %v, the trailer is %v; want %s", err, len(body), resp.Header, resp.Trailer, digest)
	}
	tag := resp.Header.Get("Etag")
	if resp, body, err := get(t, "HEAD", server.URL); err != nil || len(body) > 0 || resp.Header.Get("Etag") != tag {
		t.Errorf("HEAD: %v, %d bytes, %v", err, len(body), resp.Header)
	}
	resp, body, err = get(t, "GET", server.URL, "If-None-Match", tag)
	if err != nil || resp.StatusCode != http.StatusNotModified || len(body) > 0 || tag == "" {
		t.Errorf("unchanged: %v %d, %d bytes", err, resp.StatusCode, len(body))
	}
	if s.released.Load() != 3 {
		t.Errorf("%d of 3 snapshots were released", s.released.Load())
	}
}

func TestAnAnswerThatBreaksOffIsNotTakenForTheWhole(t *testing.T) {
	s := &store{content: random(1 << 20), err: errors.New("a record is damaged")}
	server := serve(t, s, New(s))
	server.Config.ErrorLog = nil
	resp, body, err := get(t, "GET", server.URL)
	if !errors.Is(err, io.ErrUnexpectedEOF) || resp.Trailer.Get("Repr-Digest") != "" {
		t.Errorf("got %d bytes, %v, and the trailer %v", len(body), err, resp.Trailer)
	}
	if s.released.Load() != 1 {
		t.Error("the snapshot was not released")
	}
}

func TestSoManySnapshotsAreWrittenAtOnceAndNoMore(t *testing.T) {
	s := &store{content: []byte("content"), wait: make(chan struct{})}
	h := New(s)
	server := serve(t, s, h)
	answers := make(chan int, maxAtOnce)
	var asking sync.WaitGroup
	for range maxAtOnce {
		asking.Go(func() {
			resp, _, _ := get(t, "GET", server.URL) // it may end this goroutine
			answers <- resp.StatusCode
		})
	}
	waitFor(t, "the first ones", func() bool { return len(h.places) == maxAtOnce })
	if resp, body, _ := get(t, "GET", server.URL); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one more: %d %s", resp.StatusCode, body)
	}
	close(s.wait)
	asking.Wait()
	close(answers)
	for status := range answers {
		if status != http.StatusOK {
			t.Errorf("one of the first: %d", status)
		}
	}
	if resp, _, err := get(t, "GET", server.URL); resp.StatusCode != http.StatusOK || err != nil {
		t.Errorf("afterwards: %d, %v", resp.StatusCode, err)
	}
}

// While a snapshot is held the database cannot reuse space, and grows with each event.
func TestAClientThatDoesNotReadHoldsNoSnapshotForEver(t *testing.T) {
	s := &store{content: random(16 << 20)}
	h := New(s)
	h.pieceTimeout = 50 * time.Millisecond
	server := serve(t, s, h)
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the release", func() bool { return s.released.Load() == 1 && len(h.places) == 0 })
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited too long for ", what)
		}
	}
}
