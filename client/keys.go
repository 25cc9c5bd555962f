package client

import (
	"context"

	"laurel/score"
)

// Keys are the public keys of the bards, revoked ones too, by which anybody can check the signatures in a timeline.
func (c *Client) Keys(ctx context.Context) ([]score.KeyView, error) {
	var list struct {
		Keys []score.KeyView `json:"keys"`
	}
	err := c.get(ctx, "/v1/keys", nil, &list)
	return list.Keys, err
}

// Key asks for one public key by its id (score.KeyID). The problem is score.NotFound for one that is not registered.
func (c *Client) Key(ctx context.Context, id string) (score.KeyView, error) {
	var k score.KeyView
	err := c.get(ctx, idPath("/v1/keys", id), nil, &k)
	return k, err
}
