package client

import (
	"context"

	"laurel/trust/access"
)

// Keys returns the public keys of the bards, including revoked ones. Anybody can check
// the signatures in a timeline with them.
func (c *Client) Keys(ctx context.Context) ([]access.KeyView, error) {
	var list struct {
		Keys []access.KeyView `json:"keys"`
	}
	err := c.get(ctx, "/v1/keys", nil, &list)
	return list.Keys, err
}

// Key returns one public key by its id (score.KeyID). The problem is score.NotFound if it
// is not registered.
func (c *Client) Key(ctx context.Context, id string) (access.KeyView, error) {
	var k access.KeyView
	err := c.get(ctx, idPath("/v1/keys", id), nil, &k)
	return k, err
}
