package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"laurel/score"
	"laurel/trust/signing"
)

// Post posts one event, or up to score.MaxArray events that are applied all or none, and
// waits until they are durable. It gives events without an id one, in the slice, so
// posting the same slice again, also after an error, posts the same events. If the store
// has an event already, its result is score.Duplicate, which is no error.
//
// If the client has a key, Post signs the events, which must have a source. It sets the
// time of events without one to the present, and the seq of events without one to the
// next of their source, also in the slice. If another program posts as the same source at
// the same time, that may take several attempts.
func (c *Client) Post(ctx context.Context, events []score.Event) ([]score.Result, error) {
	if len(events) == 0 || len(events) > score.MaxArray {
		return nil, score.Problemf(score.TooLarge, "%d events in one post; want 1 to %d (use a Stream for more)",
			len(events), score.MaxArray)
	}
	for i := range events {
		if events[i].ID == "" {
			events[i].ID = defaultID(&events[i])
		}
	}
	if len(c.o.Key) > 0 {
		return c.postSigned(ctx, events)
	}
	return c.postAll(ctx, events)
}

func (c *Client) postAll(ctx context.Context, events []score.Event) ([]score.Result, error) {
	var body any = events
	if len(events) == 1 {
		body = &events[0]
	}
	var posted struct {
		Results []score.Result `json:"results"`
	}
	err := c.request(ctx, call{method: http.MethodPost, path: eventsPath}, body, &posted)
	if err != nil {
		return nil, err
	}
	if len(posted.Results) != len(events) {
		return nil, fmt.Errorf("%d events were posted, but the response has %d results",
			len(events), len(posted.Results))
	}
	return posted.Results, nil
}

// maxNumberings bounds the attempts while another program posts as the same source.
const maxNumberings = 5

// postSigned is Post with a key. A signature covers the complete event, so the client
// sets the time and the seq of events that have none before it signs them.
func (c *Client) postSigned(ctx context.Context, events []score.Event) ([]score.Result, error) {
	for n := 1; ; n++ {
		numbered, err := c.complete(ctx, events)
		if err != nil {
			return nil, err
		}
		lineage, err := c.signingLineage(ctx)
		if err != nil {
			return nil, err
		}
		if err := signing.Sign(c.o.Key, lineage, events); err != nil {
			return nil, err
		}
		results, err := c.postAll(ctx, events)
		seqTaken := hasCode(err, score.SeqGap, score.IDConflict)
		if len(numbered) == 0 || n == maxNumberings || !seqTaken {
			return results, err
		}
		// Nothing was applied, so the seqs that were set here may change.
		for _, i := range numbered {
			events[i].Seq = 0
		}
	}
}

// signingLineage returns the lineage of the store for which the client signs.
func (c *Client) signingLineage(ctx context.Context) (string, error) {
	c.signsFor.Lock()
	defer c.signsFor.Unlock()
	if c.o.Lineage != "" {
		return c.o.Lineage, nil
	}
	lineage, err := c.Lineage(ctx)
	if err == nil && c.o.TrustLineage != nil {
		err = c.o.TrustLineage(lineage)
	}
	if err != nil {
		return "", err
	}
	c.o.Lineage = lineage
	return lineage, nil
}

// complete sets the time and the seq of events that have none. numbered are the indices
// of the events that got a seq.
func (c *Client) complete(ctx context.Context, events []score.Event) (numbered []int, err error) {
	last := map[string]uint64{} // of sources
	for i := range events {
		e := &events[i]
		if e.Source == "" {
			return nil, score.Problemf(score.InvalidEvent,
				"event %q has no source; a signed event needs one: the name under which the key is "+
					"registered, or one below it", e.ID)
		}
		if e.Time.IsZero() {
			e.Time = time.Now().UTC()
		}
		if e.Seq == 0 {
			if _, asked := last[e.Source]; !asked {
				if last[e.Source], err = c.lastSeq(ctx, e.Source); err != nil {
					return nil, err
				}
			}
			e.Seq = last[e.Source] + 1
			numbered = append(numbered, i)
		}
		last[e.Source] = e.Seq
	}
	return numbered, nil
}

// lastSeq returns the last seq of a source, 0 if it has posted nothing.
func (c *Client) lastSeq(ctx context.Context, source string) (uint64, error) {
	b, err := c.Bard(ctx, source)
	if hasCode(err, score.NotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the next seq of %s for a signed event: %w", source, err)
	}
	return b.LastSeq, nil
}
