package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// hub is what one would write first: net/http, and a goroutine and a channel for each watcher. It keeps one record in memory, of which a post is the next
// revision; it writes to no disk, tells no other server, resumes nothing and sends no heartbeats.
type hub struct {
	mu       sync.Mutex
	revision uint64
	watchers map[chan []byte]struct{}
}

// backlog is how many frames a watcher that reads slowly may have coming. Of more, it misses the oldest.
const backlog = 16

func newHub() *hub { return &hub{watchers: map[chan []byte]struct{}{}} }

func (h *hub) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /v1/events", h.post)
	mux.HandleFunc("GET /v1/watch", h.watch)
	return mux
}

// post makes a new revision, and answers when every watcher has it coming.
func (h *hub) post(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	h.mu.Lock()
	h.revision++
	revision := h.revision
	f := frameOf("score", revision) // once for all
	for c := range h.watchers {
		select {
		case c <- f:
			continue
		default:
		}
		select {
		case <-c:
		default: // it has just been taken
		}
		c <- f // there is room: nobody else sends
	}
	h.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"revision":%d,"results":[{"revision":%d,"status":"applied"}]}`, revision, revision)
}

func (h *hub) watch(w http.ResponseWriter, r *http.Request) {
	c := make(chan []byte, backlog)
	h.mu.Lock()
	h.watchers[c] = struct{}{}
	first := frameOf("snapshot", h.revision)
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.watchers, c)
		h.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	out := http.NewResponseController(w)
	for f := first; ; {
		if _, err := w.Write(f); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case f = <-c:
		case <-r.Context().Done():
			return
		}
	}
}

// frameOf is what a frontend would send.
func frameOf(event string, revision uint64) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: %s\nid: %s-%d\n\n", event, recordAt(revision), "3dbt6abpt5mfa", revision)
}

// recordAt is a record as a frontend gives it, for those that have no rules to make one.
func recordAt(revision uint64) []byte {
	const competitor = `{"code":"%s","name":"%s","organisation":"%s","result":%d,"periods":{"END1":%d},"tiebreak":0,"stats":{},"rank":%d,"sort_order":%d}`
	gaul, rome := revision-revision/2, revision/2
	b := []byte(`{"contest_id":"BENCH-abcdef/CUR-M-GPA-0001","competition":"BENCH-abcdef","sport":"stone-curling","kind":"head_to_head","title":"GAU vs ROM",` +
		`"result_type":"POINTS","schedule_status":"RUNNING","result_status":"LIVE","period":"END1","clock":"07:41","competitors":[`)
	b = fmt.Appendf(b, competitor+","+competitor, "GAU", "Gaul", "GAU", gaul, gaul, 1, 1, "ROM", "Rome", "ROM", rome, rome, 2, 2)
	b = fmt.Appendf(b, `],"winner":"","revision":%d,"updated_at":"`, revision)
	return append(time.Now().UTC().AppendFormat(b, time.RFC3339), `"}`...)
}

// hubCommand is the hub in a process of its own: the bench starts itself as this.
func hubCommand() *cobra.Command {
	var addr string
	c := &cobra.Command{
		Use:    "hub",
		Short:  "Tells watchers of one record: what a frontend is measured against",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				return err
			}
			server := &http.Server{Handler: newHub().handler()}
			context.AfterFunc(c.Context(), func() { server.Close() })
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
	}
	c.Flags().StringVar(&addr, "addr", "127.0.0.1:0", "where to listen")
	return c
}

// startHub has this program be the hub in a process of its own.
func startHub(ctx context.Context, dir string) (*process, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, "", err
	}
	p, err := start("hub", dir, self, "hub", "--addr", ports[0])
	if err != nil {
		return nil, "", err
	}
	if err := p.await(ctx, func(ctx context.Context) error { return get(ctx, "http://"+ports[0]+"/readyz", nil) }); err != nil {
		p.kill()
		return nil, "", err
	}
	return p, ports[0], nil
}
