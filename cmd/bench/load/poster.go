package load

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
)

// events is what a Poster posts: Plays or Marks.
type events interface {
	Append(dst []byte) []byte
	appendStart(dst []byte) []byte
}

// Poster is a bard that posts single events over a connection of its own.
type Poster struct {
	Wire *Wire

	events   events
	header   *header
	head     []byte
	body     []byte
	request  []byte
	acked    uint64
	revision uint64
}

// NewPoster connects to a frontend. It defines and starts the contest of the plays there,
// unless another bard has.
func NewPoster(ctx context.Context, addr string, p *Plays) (*Poster, error) {
	return newPoster(ctx, addr, p, &p.header, !p.shared)
}

// NewMarker connects to a frontend to give marks. With start it defines and starts the
// contest.
func NewMarker(ctx context.Context, addr string, m *Marks, start bool) (*Poster, error) {
	return newPoster(ctx, addr, m, &m.header, start)
}

func newPoster(ctx context.Context, addr string, e events, h *header, start bool) (*Poster, error) {
	w, err := Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	b := &Poster{Wire: w, events: e, header: h, head: postHead(addr)}
	if start {
		if err := b.post(ctx, e.appendStart(nil)); err != nil {
			w.Close()
			return nil, fmt.Errorf("start the contest %s: %w", h.contest, err)
		}
	}
	return b, nil
}

// Write posts the next event.
func (b *Poster) Write(ctx context.Context) error {
	b.body = b.events.Append(b.body[:0])
	return b.post(ctx, b.body)
}

// post posts a body whose last event is the one that was made last. It retries when a
// frontend asks for it: with its source and seq, an event counts once.
func (b *Poster) post(ctx context.Context, body []byte) error {
	b.request = appendRequest(b.request[:0], b.head, body)
	for {
		a, err := b.Wire.RoundTrip(b.request)
		if err != nil {
			return err
		}
		switch {
		case a.Status == http.StatusOK && IsAcked(a.Body):
			b.acked = b.header.seq
			b.revision, err = RevisionOf(a.Body)
			return err
		case a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable:
			if err := Sleep(ctx, a.RetryAfter); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s refused event %d of %s: status %d: %s",
				b.Wire.host, b.header.seq, b.header.source, a.Status, Clip(a.Body))
		}
	}
}

// Stream streams events to the frontend over the poster's connection, and returns when
// all are acknowledged. next is as in Stream.Next. The poster is of no use afterwards.
func (b *Poster) Stream(ctx context.Context, next func([]byte) ([]byte, error), window int, m *Meter) error {
	s := stream{wire: b.Wire, next: next, window: uint64(window), meter: m}
	n, err := s.run(ctx)
	b.acked += n
	return err
}

func (b *Poster) Source() string { return b.header.source }
func (b *Poster) Acked() uint64  { return b.acked }
func (b *Poster) Close()         { b.Wire.Close() }

// Revision returns the revision of the event acknowledged last.
func (b *Poster) Revision() uint64 { return b.revision }

// RevisionOf returns the first revision in a JSON text. In the answer to a post that is
// the revision of its last event.
func RevisionOf(body []byte) (uint64, error) {
	_, after, found := bytes.Cut(body, []byte(`"revision":`))
	digits := after[:len(after)-len(bytes.TrimLeft(after, "0123456789"))]
	if !found || len(digits) == 0 {
		return 0, fmt.Errorf("no revision in %s", Clip(body))
	}
	return strconv.ParseUint(string(digits), 10, 64)
}

// IsAcked reports whether an answer, or a line of one, says that events are in the store.
// An event that was posted twice may be there already.
func IsAcked(body []byte) bool {
	return bytes.Contains(body, []byte(`"applied"`)) || bytes.Contains(body, []byte(`"duplicate"`))
}
