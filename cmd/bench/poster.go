package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// poster is a bard that posts single events over a connection of its own.
type poster struct {
	wire    *wire
	plays   *plays
	head    []byte
	body    []byte
	request []byte
	acked   uint64
	at      uint64 // the revision of the event acked last
	retried int
}

// newPoster connects to a frontend and makes and starts the bard's contest there, unless another has.
func newPoster(ctx context.Context, addr string, p *plays) (*poster, error) {
	w, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	b := &poster{wire: w, plays: p, head: postHead(addr)}
	if p.shared {
		return b, nil
	}
	if err := b.post(ctx, p.appendStart(nil)); err != nil {
		w.Close()
		return nil, fmt.Errorf("starting the contest %s: %w", p.contest, err)
	}
	return b, nil
}

func (b *poster) write(ctx context.Context) error {
	b.body = b.plays.append(b.body[:0])
	return b.post(ctx, b.body)
}

// post posts what ends with the event of p.seq. A frontend that asks to be tried again is: with its source and seq, an event counts once.
func (b *poster) post(ctx context.Context, body []byte) error {
	b.request = appendRequest(b.request[:0], b.head, body)
	for {
		a, err := b.wire.roundTrip(b.request)
		if err != nil {
			return err
		}
		switch {
		case a.status == http.StatusOK && acked(a.body):
			b.acked = b.plays.seq
			b.at, err = revisionOf(a.body)
			return err
		case a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable:
			b.retried++
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(a.retryAfter):
			}
		default:
			return fmt.Errorf("%s refused the event %d of %s: status %d: %s", b.wire.host, b.plays.seq, b.plays.source, a.status, clip(a.body))
		}
	}
}

// revisionOf is the first revision that JSON names: in the answer to a post that of its last event.
func revisionOf(body []byte) (uint64, error) {
	_, after, found := bytes.Cut(body, []byte(`"revision":`))
	digits := after[:len(after)-len(bytes.TrimLeft(after, "0123456789"))]
	if !found || len(digits) == 0 {
		return 0, fmt.Errorf("no revision in %s", clip(body))
	}
	return strconv.ParseUint(string(digits), 10, 64)
}

// acked tells whether an answer, or a line of one, says that events are in the store. One that was tried again may be there already.
func acked(body []byte) bool {
	return bytes.Contains(body, []byte(`"applied"`)) || bytes.Contains(body, []byte(`"duplicate"`))
}

func (b *poster) source() string   { return b.plays.source }
func (b *poster) lastSeq() uint64  { return b.acked }
func (b *poster) revision() uint64 { return b.at }
func (b *poster) retries() int     { return b.retried }
func (b *poster) close()           { b.wire.Close() }
