package testgroup

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/go-json-experiment/json"
)

// watch is an open stream of server-sent events.
type watch struct {
	home   string // the home that its client names
	cancel context.CancelFunc
	inject chan []byte // whole events
}

// serveWatch passes a stream of server-sent events on, event by event.
func (p *proxy) serveWatch(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	to := p.redirect
	p.mu.Unlock()
	if to != nil && !r.URL.Query().Has("moved") {
		http.Redirect(w, r, to.URL+"/v1/watch?"+r.URL.RawQuery+"&moved=1", http.StatusTemporaryRedirect)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out, err := p.request(r.WithContext(ctx), nil)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	resp, err := p.transport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	copyHead(w, resp)
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
		_, _ = io.Copy(w, resp.Body)
		return
	}
	s := &watch{home: r.URL.Query().Get("home"), cancel: cancel, inject: make(chan []byte, 64)}
	p.mu.Lock()
	p.watches[s] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.watches, s)
	}()
	events := make(chan []byte)
	go func() {
		defer close(events)
		readEvents(ctx, resp.Body, events)
	}()
	for {
		var event []byte
		select {
		case event = <-s.inject:
		case event = <-events:
			if event == nil {
				return // the frontend ended the stream
			}
		case <-ctx.Done():
			return
		}
		_, _ = w.Write(event)
		_ = http.NewResponseController(w).Flush()
	}
}

// readEvents sends the events of a stream, each with the empty line behind it, until ctx
// or the stream ends.
func readEvents(ctx context.Context, r io.Reader, events chan<- []byte) {
	lines := bufio.NewReader(r)
	var event []byte
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		if event = append(event, line...); len(line) > 1 {
			continue
		}
		select {
		case events <- event:
			event = nil
		case <-ctx.Done():
			return
		}
	}
}

// Watches returns, for each open watch at the frontend, the home that its client names,
// in no order.
func (f *Frontend) Watches() (homes []string) {
	f.proxy.mu.Lock()
	defer f.proxy.mu.Unlock()
	for s := range f.proxy.watches {
		homes = append(homes, s.home)
	}
	return homes
}

// EndWatches ends the open watches at the frontend.
func (f *Frontend) EndWatches() {
	f.proxy.mu.Lock()
	defer f.proxy.mu.Unlock()
	for s := range f.proxy.watches {
		s.cancel()
	}
}

// InjectEvent adds an event to the open watches at the frontend, as if the frontend had
// sent it.
func (f *Frontend) InjectEvent(name string, data any) {
	b, err := json.Marshal(data)
	if err != nil {
		f.group.tb.Errorf("inject an event %q: %v", name, err)
		return
	}
	f.proxy.mu.Lock()
	defer f.proxy.mu.Unlock()
	for s := range f.proxy.watches {
		s.inject <- fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, b)
	}
}

// RedirectWatches makes the frontend redirect new watches to another one, as if it had no
// room; nil ends that.
func (f *Frontend) RedirectWatches(to *Frontend) {
	f.proxy.mu.Lock()
	defer f.proxy.mu.Unlock()
	f.proxy.redirect = to
}
