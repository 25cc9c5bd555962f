package httpapi

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"laurel/httpapi/admission"
	"laurel/score"
)

// benchGroup is a group that answers at once.
type benchGroup struct{ testMember }

func (g *benchGroup) Post(_ context.Context, p score.Post) ([]score.Result, error) {
	results := make([]score.Result, len(p.Events))
	for i := range p.Events {
		results[i] = score.Result{ID: p.Events[i].ID, Seq: 1, Revision: 8123, Status: score.Applied}
	}
	return results, nil
}

// sink is a ResponseWriter that discards everything.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

// BenchmarkPostOne measures what this package adds to one posted event: decoding, but not the
// connection.
func BenchmarkPostOne(b *testing.B) {
	a := New(groupOf(&benchGroup{}), Options{Options: admission.Options{PublicHost: testHost}})
	h := a.Handler()
	body := []byte(playOf("2"))
	in := bytes.NewReader(body)
	r := httptest.NewRequest("POST", "/v1/events", io.NopCloser(in))
	r.Host, r.ContentLength = testHost, int64(len(body))
	r.Header.Set("Content-Type", "application/json")
	w := &sink{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		in.Reset(body)
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}

// BenchmarkPostStream is BenchmarkPostOne for streams; one operation is a stream of 10,000 events.
func BenchmarkPostStream(b *testing.B) {
	a := New(groupOf(&benchGroup{}), Options{Options: admission.Options{PublicHost: testHost}})
	h := a.Handler()
	body := strings.Repeat(playOf("2")+"\n", 10_000)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/v1/events", strings.NewReader(body))
		r.Host = testHost
		r.Header.Set("Content-Type", "application/x-ndjson")
		h.ServeHTTP(&sink{http.Header{}}, r)
	}
}

// BenchmarkGetScore measures what this package adds to one read of a contest from the store.
func BenchmarkGetScore(b *testing.B) {
	_, a := newTestAPI(b, Options{})
	h := a.Handler()
	r := httptest.NewRequest("GET", "/v1/scores/"+contest, nil)
	r.Host = testHost
	w := &sink{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}
