package client

import (
	"context"
	"fmt"
	"net/http"

	"laurel/score"

	"github.com/go-json-experiment/json"
)

// Post posts one event, or up to score.MaxArray that are applied all or none, and waits until they are durable.
// An event without an id is given one, in the slice: whoever posts the same slice again, after an error too, posts the same events.
// An event that the store has already comes back as score.Duplicate; that is no error.
//
// Where the client has a key the events are signed, for which they need a source. Those without a time get the present one, those without a seq the next of
// their source, in the slice too; another who posts as the same source at the same time makes that take several tries.
func (c *Client) Post(ctx context.Context, events []score.Event) ([]score.Result, error) {
	if len(events) == 0 || len(events) > score.MaxArray {
		return nil, score.Problemf(score.TooLarge, "%d events in one post; want 1 to %d (use a Stream for more)", len(events), score.MaxArray)
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
		return nil, fmt.Errorf("an event cannot be written as JSON: %w", err)
	}
	a, _, err := c.do(ctx, call{method: http.MethodPost, path: "/v1/events", body: body})
	if err != nil {
		return nil, err
	}
	var posted struct {
		Results []score.Result `json:"results"`
	}
	if err := json.Unmarshal(a.body, &posted); err != nil {
		return nil, fmt.Errorf("the answer to the post cannot be read: %w", err)
	}
	if len(posted.Results) != len(events) {
		return nil, fmt.Errorf("%d events were posted, but the answer has %d results", len(events), len(posted.Results))
	}
	return posted.Results, nil
}
