package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/trust/access"
)

// NewJoinToken returns a token with which up to uses frontends can join the group until
// ttl has passed.
func (c *Client) NewJoinToken(ctx context.Context, ttl time.Duration, uses int) (string, error) {
	body, err := json.Marshal(access.JoinTokenRequest{TTL: ttl.String(), Uses: uses})
	if err != nil {
		return "", err
	}
	a, _, err := c.do(ctx, call{method: http.MethodPost, path: "/v1/cluster/tokens", body: body})
	if err != nil {
		return "", err
	}
	var made access.JoinTokenResponse
	if err := json.Unmarshal(a.Body, &made); err != nil || made.Token == "" {
		return "", fmt.Errorf("the response has no token")
	}
	return made.Token, nil
}

// Authorities returns the certificates of the group's authorities in PEM, as a frontend
// reports them.
func (c *Client) Authorities(ctx context.Context) ([]byte, error) {
	a, _, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/cluster/authority"})
	return a.Body, err
}

// RotateAuthority adds a second certificate authority to the group. After FinishRotation
// the group trusts only the new one.
func (c *Client) RotateAuthority(ctx context.Context) error { return c.rotate(ctx, false) }

// FinishRotation ends a rotation of the authority. It is refused with a
// score.StatusConflict while a member has a certificate of the old authority.
func (c *Client) FinishRotation(ctx context.Context) error { return c.rotate(ctx, true) }

func (c *Client) rotate(ctx context.Context, finish bool) error {
	body, err := json.Marshal(struct {
		Finish bool `json:"finish"`
	}{finish})
	if err != nil {
		return err
	}
	r := call{method: http.MethodPost, path: "/v1/cluster/authority", body: body, nonIdempotent: true}
	_, _, err = c.do(ctx, r)
	return err
}
