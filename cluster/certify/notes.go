package certify

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/score"
)

// Path is where a member takes the notes of others on the peer port.
const Path = "/peer/v1/notes"

const (
	// maxMessage bounds a message of notes, in bytes.
	maxMessage = 256 << 10
	// sendTimeout bounds the delivery of a message. The next one has everything.
	sendTimeout = time.Second
	// restFactor is how many times as long as the notes of a member took to verify the next
	// ones of it wait, for maxRest at most: a corrupt one cannot take all the time.
	restFactor = 3
	maxRest    = 100 * time.Millisecond
)

// outbox has the newest message for a member.
type outbox struct {
	wake chan struct{}

	mu      sync.Mutex
	addr    string
	message []byte
}

// send sends notes to all other frontends of the roster. What is sent later has everything
// of what is sent before, so what has not gone yet is replaced.
func (c *Certifier) send(ctx context.Context, notes [][]byte) {
	c.sentAt = time.Now()
	list := make([]string, len(notes))
	for i, n := range notes {
		list[i] = string(n)
	}
	message, err := json.Marshal(list)
	if err != nil {
		c.Logger.Error("notes that cannot be sent", "err", err)
		return
	}
	for id, addr := range c.Peers() {
		if id == c.ID || c.access.KeyOf(id) == nil {
			continue
		}
		box, known := c.outboxes[id]
		if !known {
			box = &outbox{wake: make(chan struct{}, 1)}
			c.outboxes[id] = box
			c.running.Go(func() { c.deliver(ctx, box) })
		}
		box.mu.Lock()
		box.addr, box.message = addr, message
		box.mu.Unlock()
		ping(box.wake)
	}
}

// deliver sends what is in an outbox.
func (c *Certifier) deliver(ctx context.Context, box *outbox) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-box.wake:
		}
		box.mu.Lock()
		addr, message := box.addr, box.message
		box.mu.Unlock()
		one, cancel := context.WithTimeout(ctx, sendTimeout)
		if err := c.acts.Load().Send(one, addr, message); err != nil {
			c.Logger.Debug("notes were not delivered", "address", addr, "err", err)
		}
		cancel()
	}
}

// inbox has the newest message of each member.
type inbox struct {
	mu   sync.Mutex
	mail map[string]*mail
}

type mail struct {
	notes [][]byte // nil if they were taken
	after time.Time
}

func (b *inbox) put(from string, notes [][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.mail[from]
	if m == nil {
		m = &mail{}
		b.mail[from] = m
	}
	m.notes = notes
}

// take returns the notes of a member, or nil and how long to wait for the next ones.
func (b *inbox) take() (from string, notes [][]byte, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for from, m := range b.mail {
		if m.notes == nil {
			continue
		}
		if rest := m.after.Sub(now); rest > 0 {
			if wait == 0 || rest < wait {
				wait = rest
			}
			continue
		}
		notes, m.notes = m.notes, nil
		return from, notes, 0
	}
	return "", nil, wait
}

// rest lets the next notes of a member wait, after those that took so long.
func (b *inbox) rest(from string, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.mail[from]; m != nil {
		m.after = time.Now().Add(min(restFactor*took, maxRest))
	}
}

// clear forgets all messages, and members that are no more.
func (b *inbox) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.mail)
}

// Serve takes a message of another member. It answers before the notes are verified. A nil
// Certifier refuses it.
func (c *Certifier) Serve(w http.ResponseWriter, r *http.Request) error {
	from := peer.MemberID(raft.ServerID(peer.FromContext(r.Context())))
	if c == nil || c.Access().KeyOf(from) == nil {
		return score.Problemf(score.Forbidden, "the roster has no frontend %q", from)
	}
	message, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	if err == nil {
		err = c.Deliver(from, message)
	}
	if err != nil {
		c.metrics.refused.WithLabelValues(from).Inc()
		return score.Problemf(score.InvalidEvent, "notes of frontends: %v", err)
	}
	return nil
}

// Deliver takes a message of the frontend from, which is in the roster.
func (c *Certifier) Deliver(from string, message []byte) error {
	var list []string
	if err := json.UnmarshalRead(bytes.NewReader(message), &list); err != nil {
		return err
	}
	notes := make([][]byte, len(list))
	for i, n := range list {
		notes[i] = []byte(n)
	}
	if len(notes) > 0 {
		c.inbox.put(from, notes)
		ping(c.wake)
	}
	return nil
}
