package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"laurel/score"
)

// fakeFrontend takes posts as a frontend does, keeps no more than the last seq of each source, and refuses what a frontend would.
type fakeFrontend struct {
	*httptest.Server
	mu     sync.Mutex
	last   map[string]uint64
	meddle func(e score.Event) (status int) // 0: none; else the answer to this event
}

func newFake(t *testing.T) *fakeFrontend {
	f := &fakeFrontend{last: map[string]uint64{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/events", f.events)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeFrontend) addr() string { return strings.TrimPrefix(f.URL, "http://") }

func (f *fakeFrontend) lastSeq(_ context.Context, source string) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last[source], nil
}

func (f *fakeFrontend) apply(e score.Event) (status int, line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.meddle != nil {
		if status := f.meddle(e); status != 0 {
			return status, fmt.Sprintf(`{"id":%q,"problem":{"code":"made_up"}}`, e.ID)
		}
	}
	if e.Seq != f.last[e.Source]+1 {
		return http.StatusConflict, `{"problem":{"code":"seq_gap"}}`
	}
	f.last[e.Source]++
	return http.StatusOK, fmt.Sprintf(`{"id":%q,"seq":%d,"revision":1,"status":"applied"}`, e.ID, e.Seq)
}

func (f *fakeFrontend) events(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") == "application/x-ndjson" {
		f.stream(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	events, _, p := score.DecodeArray(body)
	if p != nil {
		http.Error(w, p.Error(), http.StatusBadRequest)
		return
	}
	var lines []string
	for _, e := range events {
		status, line := f.apply(e)
		if status != http.StatusOK {
			w.Header().Set("Retry-After", "0")
			http.Error(w, line, status)
			return
		}
		lines = append(lines, line)
	}
	fmt.Fprintf(w, `{"revision":1,"results":[%s]}`, strings.Join(lines, ","))
}

func (f *fakeFrontend) stream(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	if err := c.EnableFullDuplex(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		e, p := score.Decode(lines.Bytes())
		if p != nil {
			fmt.Fprintf(w, `{"problem":{"detail":%q}}`+"\n", p.Error())
			return
		}
		status, line := f.apply(e)
		fmt.Fprintln(w, line)
		if err := c.Flush(); err != nil || status != http.StatusOK {
			return
		}
	}
}

// required skips where something is not there, but on a full run there is no excuse.
func required(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if fullRun() {
		t.Fatal(err)
	}
	t.Skip(err)
}
