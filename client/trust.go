package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/trust/access"
)

// NewJoinToken makes a token with which frontends may join the group, as often as uses says and for as long as ttl says.
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
	if err := json.Unmarshal(a.body, &made); err != nil || made.Token == "" {
		return "", fmt.Errorf("the frontend answered without a token")
	}
	return made.Token, nil
}

// Authorities is the certificates of the group's authorities in PEM, as a frontend says.
func (c *Client) Authorities(ctx context.Context) ([]byte, error) {
	a, _, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/cluster/authority"})
	return a.body, err
}

// RotateAuthority gives the group another certificate authority beside the one it has; FinishRotation has it trust the new one only.
func (c *Client) RotateAuthority(ctx context.Context) error { return c.rotate(ctx, false) }

// FinishRotation is refused with a score.StatusConflict while a member has a certificate by the old authority.
func (c *Client) FinishRotation(ctx context.Context) error { return c.rotate(ctx, true) }

func (c *Client) rotate(ctx context.Context, finish bool) error {
	body, err := json.Marshal(struct {
		Finish bool `json:"finish"`
	}{finish})
	if err != nil {
		return err
	}
	_, _, err = c.do(ctx, call{method: http.MethodPost, path: "/v1/cluster/authority", body: body, nonIdempotent: true})
	return err
}
