package watch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/score/mark"
)

// timeout bounds each wait of a test.
const timeout = time.Minute

// streamEvent is an event as a client receives it.
type streamEvent struct {
	event, id string
	data      struct {
		leaderboard
		Leaderboards []leaderboard `json:"leaderboards"`

		More     bool           `json:"more"`
		Sections map[string]int `json:"sections"`

		Contest  string `json:"contest_id"`
		Result   int    `json:"result"`
		Revision uint64 `json:"revision"`
		Scores   []struct {
			Contest  string `json:"contest_id"`
			Result   int    `json:"result"`
			Revision uint64 `json:"revision"`
		} `json:"scores"`
		Timeline []struct {
			Revision uint64 `json:"revision"`
		} `json:"timeline"`
	}
}

// leaderboard is what a stream sends about a window.
type leaderboard struct {
	Contest  string            `json:"contest_id"`
	Split    string            `json:"split"`
	Total    int               `json:"total"`
	Revision uint64            `json:"revision"`
	Order    []string          `json:"order"`
	Rows     []json.RawMessage `json:"rows"`
	mark.Format
}

// client is the client's end of a stream.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	w    *Watcher
}

// watch opens a stream over a TCP connection.
func watch(t testing.TB, h *Hub, s Subjects, lastID string) *client {
	t.Helper()
	conn, server := dial(t)
	return watchOn(t, h, s, lastID, conn, server)
}

// dial returns both ends of a TCP connection.
func dial(t testing.TB) (conn, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if conn, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, server
}

// watchPipe opens a stream over a pipe, which works in a synctest bubble.
func watchPipe(t testing.TB, h *Hub, s Subjects, lastID string) *client {
	t.Helper()
	conn, server := net.Pipe()
	return watchOn(t, h, s, lastID, conn, server)
}

// begin returns a watcher and the beginning of its stream.
func begin(ctx context.Context, h *Hub, s Subjects, lastID string) (w *Watcher, first []byte, err error) {
	return beginAs(ctx, h, s, Client{}, lastID)
}

func beginAs(ctx context.Context, h *Hub, s Subjects, c Client, lastID string) (w *Watcher, first []byte, err error) {
	return beginWithin(ctx, h, s, c, lastID, beginTimeout)
}

func beginWithin(
	ctx context.Context, h *Hub, s Subjects, c Client, lastID string, limit time.Duration,
) (w *Watcher, first []byte, err error) {
	if w, err = h.Subscribe(s, c); err != nil {
		return nil, nil, err
	}
	err = h.begin(ctx, w, lastID, limit, func(part []byte) error {
		first = append(first, part...)
		return nil
	})
	if err != nil {
		h.Remove(w)
		return nil, nil, err
	}
	return w, first, nil
}

func watchOn(t testing.TB, h *Hub, s Subjects, lastID string, conn, server net.Conn) *client {
	t.Helper()
	w, first, err := beginWithin(context.Background(), h, s, Client{}, lastID, timeout)
	if err != nil {
		t.Fatal(err)
	}
	h.Attach(w, server)
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, r: bufio.NewReader(io.MultiReader(bytes.NewReader(first), conn)), w: w}
}

// next returns the next event that is no heartbeat.
func (c *client) next() (e streamEvent, err error) {
	c.conn.SetReadDeadline(time.Now().Add(timeout))
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return e, err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "event":
			e.event = value
		case "id":
			e.id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.data); err != nil {
				return e, err
			}
			e.data.leaderboard.Contest, e.data.leaderboard.Revision = e.data.Contest, e.data.Revision
		case "":
			if e.event != "heartbeat" {
				return e, nil
			}
			e = streamEvent{}
		}
	}
}

func (c *client) mustNext() streamEvent {
	c.t.Helper()
	e, err := c.next()
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

// holdWrites keeps the watcher from its writers, as if its connection accepted nothing,
// until release is called.
func (c *client) holdWrites() (release func()) {
	waitFor(c.t, "nothing is pending", func() (ok bool) {
		release, ok = c.tryHoldWrites()
		return ok
	})
	return release
}

// tryHoldWrites is holdWrites unless something is being written.
func (c *client) tryHoldWrites() (release func(), ok bool) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.w.queued {
		return nil, false
	}
	c.w.queued = true
	return func() { c.w.hub.queue <- c.w }, true
}

// windowView is a window as a client assembles it from the events of a stream.
type windowView struct {
	total int
	order []string
	rows  map[string]string
}

// watchWindow opens a stream of one window over a pipe.
func watchWindow(t *testing.T, h *Hub, w Window, lastID string) (*client, *windowView) {
	t.Helper()
	c, v := watchPipe(t, h, Subjects{Windows: []Window{w}}, lastID), new(windowView)
	v.begin(t, c)
	return c, v
}

// begin applies the first event of a stream, which has the full window.
func (v *windowView) begin(t *testing.T, c *client) streamEvent {
	t.Helper()
	e := c.mustNext()
	switch {
	case e.event == "snapshot" && len(e.data.Leaderboards) == 1:
		v.apply(t, e.data.Leaderboards[0], true)
	case e.event == "leaderboard":
		v.apply(t, e.data.leaderboard, true)
	default:
		t.Fatalf("a stream began with %+v", e)
	}
	return e
}

// until applies events until the window has exactly these competitors. It returns the last.
func (v *windowView) until(t *testing.T, c *client, codes ...string) streamEvent {
	t.Helper()
	for {
		e := c.mustNext()
		if e.event != "leaderboard" {
			t.Fatalf("got %+v", e)
		}
		v.apply(t, e.data.leaderboard, false)
		if fmt.Sprint(v.order) == fmt.Sprint(codes) {
			return e
		}
	}
}

// apply applies an event. Rows that it does not repeat stay as they were.
func (v *windowView) apply(t *testing.T, l leaderboard, full bool) {
	t.Helper()
	rows := map[string]string{}
	for _, raw := range l.Rows {
		var row struct{ Competitor string }
		if err := json.Unmarshal(raw, &row); err != nil {
			t.Fatal(err)
		}
		rows[row.Competitor] = string(raw)
	}
	if full && len(rows) != len(l.Order) {
		t.Fatalf("got %d rows for the order %v, want all", len(rows), l.Order)
	}
	for _, code := range l.Order {
		if rows[code] == "" {
			rows[code] = v.rows[code]
		}
		if rows[code] == "" {
			t.Fatalf("no row for %s was ever sent", code)
		}
	}
	v.total, v.order, v.rows = l.Total, l.Order, rows
}

// answer returns the window in the form of fakeStore.answerAt.
func (v *windowView) answer() string {
	all := []string{fmt.Sprint(v.total)}
	for _, code := range v.order {
		all = append(all, v.rows[code])
	}
	return strings.Join(all, "\n")
}

func (v *windowView) wantOrder(t *testing.T, codes ...string) {
	t.Helper()
	if !slices.Equal(v.order, codes) {
		t.Errorf("the window has %v, want %v", v.order, codes)
	}
}

func newHub(t *testing.T, s Store) *Hub {
	h := New(s, 2)
	h.slowWrite = timeout // a busy machine reads late
	t.Cleanup(h.Close)
	return h
}

// awaitDelivered waits until the hub has delivered a revision. A watcher that subscribes
// earlier gets it in the snapshot and once more.
func awaitDelivered(t testing.TB, h *Hub, revision uint64) {
	t.Helper()
	waitFor(t, "revision is delivered", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.delivered >= revision
	})
}

// awaitAnnounced waits until the watchers of a window have been notified of a revision.
func awaitAnnounced(t *testing.T, h *Hub, w Window, revision uint64) {
	t.Helper()
	waitFor(t, "window is announced", func() bool {
		h.mu.Lock()
		win := h.windows[w]
		h.mu.Unlock()
		win.fetching <- struct{}{}
		defer func() { <-win.fetching }()
		return win.announced.revision >= revision
	})
}

func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, timeout)
		}
	}
}
