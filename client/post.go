package client

import (
	"context"
	"fmt"
	"net/http"

	"laurel/score"

	"github.com/go-json-experiment/json"
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
	var body []byte
	var err error
	if len(events) == 1 {
		body, err = json.Marshal(&events[0])
	} else {
		body, err = json.Marshal(events)
	}
	if err != nil {
		return nil, fmt.Errorf("encode an event: %w", err)
	}
	a, _, err := c.do(ctx, call{method: http.MethodPost, path: "/v1/events", body: body})
	if err != nil {
		return nil, err
	}
	var posted struct {
		Results []score.Result `json:"results"`
	}
	if err := json.Unmarshal(a.Body, &posted); err != nil {
		return nil, fmt.Errorf("cannot read the response to the post: %w", err)
	}
	if len(posted.Results) != len(events) {
		return nil, fmt.Errorf("%d events were posted, but the response has %d results",
			len(events), len(posted.Results))
	}
	return posted.Results, nil
}
