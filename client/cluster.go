package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"laurel/score"

	"github.com/go-json-experiment/json"
)

// Join gives a frontend a place in the group. The frontend itself must be running, or be started with the same id.
func (c *Client) Join(ctx context.Context, m score.NewMember) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, _, err = c.do(ctx, call{method: http.MethodPost, path: "/v1/cluster/members", body: body})
	return err
}

// Leave takes a frontend out of the group for good. Where that would endanger the group it is refused with a score.StatusConflict
// that says why; force does it all the same.
func (c *Client) Leave(ctx context.Context, id string, force bool) error {
	r := call{method: http.MethodDelete, path: idPath("/v1/cluster/members", id)}
	if force {
		r.query = url.Values{"force": {"true"}}
	}
	_, unsure, err := c.do(ctx, r)
	var p *score.Problem
	if unsure && errors.As(err, &p) && p.Code == score.NotFound {
		// An earlier attempt, whose answer was lost, has done it.
		return nil
	}
	return err
}

// Transfer makes the frontend named to the master; "" lets the group choose another than the present one.
func (c *Client) Transfer(ctx context.Context, to string) error {
	body, err := json.Marshal(struct {
		To string `json:"to"`
	}{to})
	if err != nil {
		return err
	}
	// To any other, twice, might lead back to the first.
	_, _, err = c.do(ctx, call{method: http.MethodPost, path: "/v1/cluster/transfer", body: body, nonIdempotent: to == ""})
	return err
}

// SetCacheMode switches the whole group between score.Push and score.Pull.
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
