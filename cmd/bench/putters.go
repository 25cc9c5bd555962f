package main

import (
	"context"
	"fmt"

	"laurel/cmd/bench/load"
)

// writersPerClient is the number of writers that share one client of a peer, and so one
// connection. etcd and NATS advise to share; one client for all is too few.
const writersPerClient = 16

// put writes the event of p that was made last.
type put func(ctx context.Context, p *load.Plays, body []byte) error

// putter puts into a peer what a poster would post.
type putter struct {
	put   put
	close func() // nil: another one that shares the client closes it
	plays *load.Plays
	body  []byte
	acked uint64
}

// openPutters returns n writers to the members of order, in turn, or to the last one.
func openPutters(
	order []string, to string, n int, connect func(addr string) (put, func(), error),
) ([]load.Writer, error) {
	if to == toMaster {
		order = order[len(order)-1:]
	}
	run := load.NewRun()
	shared := make([]put, len(order)) // of the next writers to each member
	return load.OpenAll(n, func(i int) (load.Writer, error) {
		w := &putter{plays: load.NewPlays(run, i+1)}
		member := i % len(order)
		if i/len(order)%writersPerClient == 0 {
			var err error
			if shared[member], w.close, err = connect(order[member]); err != nil {
				return nil, err
			}
		}
		w.put = shared[member]
		return w, nil
	})
}

func (w *putter) Write(ctx context.Context) error {
	w.body = w.plays.Append(w.body[:0])
	if err := w.put(ctx, w.plays, w.body); err != nil {
		return fmt.Errorf("put event %d of %s: %w", w.plays.Seq(), w.Source(), err)
	}
	w.acked++
	return nil
}

func (w *putter) Source() string { return w.plays.Source() }
func (w *putter) Acked() uint64  { return w.acked }

func (w *putter) Close() {
	if w.close != nil {
		w.close()
	}
}
