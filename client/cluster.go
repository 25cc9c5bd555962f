package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"laurel/score"

	"github.com/go-json-experiment/json"
)

// Join adds a frontend to the group. The frontend must be running, or be started with the
// same id later.
func (c *Client) Join(ctx context.Context, m score.NewMember) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, _, err = c.do(ctx, call{method: http.MethodPost, path: "/v1/cluster/members", body: body})
	return err
}

// Leave removes a frontend from the group for good. If that would endanger the group it
// is refused with a score.StatusConflict, unless force is true.
func (c *Client) Leave(ctx context.Context, id string, force bool) error {
	r := call{method: http.MethodDelete, path: idPath("/v1/cluster/members", id)}
	if force {
		r.query = url.Values{"force": {"true"}}
	}
	_, mayHaveApplied, err := c.do(ctx, r)
	var p *score.Problem
	if mayHaveApplied && errors.As(err, &p) && p.Code == score.NotFound {
		// An earlier attempt, whose response was lost, has removed it.
		return nil
	}
	return err
}

// Transfer makes the frontend with the id to the master. If to is empty, the group
// chooses another frontend than the present master.
func (c *Client) Transfer(ctx context.Context, to string) error {
	body, err := json.Marshal(struct {
		To string `json:"to"`
	}{to})
	if err != nil {
		return err
	}
	// A second transfer to any other frontend might lead back to the first master.
	r := call{method: http.MethodPost, path: "/v1/cluster/transfer", body: body, nonIdempotent: to == ""}
	_, _, err = c.do(ctx, r)
	return err
}

// SetCacheMode switches the whole group to score.Push or score.Pull.
func (c *Client) SetCacheMode(ctx context.Context, mode score.CacheMode) error {
	body, err := json.Marshal(struct {
		Mode score.CacheMode `json:"mode"`
	}{mode})
	if err != nil {
		return err
	}
	_, _, err = c.do(ctx, call{method: http.MethodPut, path: "/v1/cluster/cache", body: body})
	return err
}
