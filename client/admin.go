package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"laurel/score"
	"laurel/trust/access"
)

// Join adds a frontend to the group. The frontend must be running, or be started with the
// same id later.
func (c *Client) Join(ctx context.Context, m score.NewMember) error {
	return c.request(ctx, call{method: http.MethodPost, path: "/v1/cluster/members"}, m, nil)
}

// Leave removes a frontend from the group for good. If that would endanger the group it
// is refused with a score.StatusConflict, unless force is true.
func (c *Client) Leave(ctx context.Context, id string, force bool) error {
	r := call{method: http.MethodDelete, path: idPath("/v1/cluster/members", id)}
	if force {
		r.query = url.Values{"force": {"true"}}
	}
	_, mayHaveApplied, err := c.do(ctx, r)
	if mayHaveApplied && hasCode(err, score.NotFound) {
		// An earlier attempt, whose response was lost, has removed it.
		return nil
	}
	return err
}

// Transfer makes the frontend with the id to the master. If to is empty, the group
// chooses another frontend than the present master.
func (c *Client) Transfer(ctx context.Context, to string) error {
	// A second transfer to any other frontend might lead back to the first master.
	r := call{method: http.MethodPost, path: "/v1/cluster/transfer", nonIdempotent: to == ""}
	return c.request(ctx, r, map[string]string{"to": to}, nil)
}

// SetCacheMode switches the whole group to score.Push or score.Pull.
func (c *Client) SetCacheMode(ctx context.Context, mode score.CacheMode) error {
	r := call{method: http.MethodPut, path: "/v1/cluster/cache"}
	return c.request(ctx, r, map[string]score.CacheMode{"mode": mode}, nil)
}

// NewJoinToken returns a token with which up to uses frontends can join the group until
// ttl has passed.
func (c *Client) NewJoinToken(ctx context.Context, ttl time.Duration, uses int) (string, error) {
	var made access.JoinTokenResponse
	r := call{method: http.MethodPost, path: "/v1/cluster/tokens"}
	err := c.request(ctx, r, access.JoinTokenRequest{TTL: ttl.String(), Uses: uses}, &made)
	return made.Token, err
}

// Authorities returns the certificates of the group's authorities in PEM, as a frontend
// reports them.
func (c *Client) Authorities(ctx context.Context) ([]byte, error) {
	return c.Get(ctx, "/v1/cluster/authority", nil, JSON)
}

// RotateAuthority adds a second certificate authority to the group. After FinishRotation
// the group trusts only the new one.
func (c *Client) RotateAuthority(ctx context.Context) error { return c.rotate(ctx, false) }

// FinishRotation ends a rotation of the authority. It is refused with a
// score.StatusConflict while a member has a certificate of the old authority.
func (c *Client) FinishRotation(ctx context.Context) error { return c.rotate(ctx, true) }

func (c *Client) rotate(ctx context.Context, finish bool) error {
	r := call{method: http.MethodPost, path: "/v1/cluster/authority", nonIdempotent: true}
	return c.request(ctx, r, map[string]bool{"finish": finish}, nil)
}

// Keys returns the public keys of the bards, including revoked ones. Anybody can check
// the signatures in a timeline with them.
func (c *Client) Keys(ctx context.Context) ([]access.KeyView, error) {
	list, err := get[struct {
		Keys []access.KeyView `json:"keys"`
	}](ctx, c, "/v1/keys", nil)
	return list.Keys, err
}

// Key returns one public key by its id (score.KeyID). The problem is score.NotFound if it
// is not registered.
func (c *Client) Key(ctx context.Context, id string) (access.KeyView, error) {
	return get[access.KeyView](ctx, c, idPath("/v1/keys", id), nil)
}

// Access returns the grants, join tokens and authorities of the group.
func (c *Client) Access(ctx context.Context) (access.View, error) {
	return get[access.View](ctx, c, "/v1/access", nil)
}

// Grant gives a role to the holder of a key or, if the request names no key, of a new
// token. The token's text is in the response and nowhere else.
func (c *Client) Grant(ctx context.Context, g access.GrantRequest) (made access.GrantResponse, err error) {
	// A second request for a token would leave a token that nobody has.
	r := call{method: http.MethodPost, path: "/v1/access/grants", nonIdempotent: len(g.Public) == 0}
	err = c.request(ctx, r, g, &made)
	return made, err
}

// Revoke revokes a grant or a join token.
func (c *Client) Revoke(ctx context.Context, id string) error {
	r := call{method: http.MethodDelete, path: "/v1/access/grants/" + url.PathEscape(id)}
	return c.request(ctx, r, nil, nil)
}

// Audit returns a page of the audit trail: the changes of the membership and of access.
func (c *Client) Audit(ctx context.Context, p Page) (access.AuditPage, error) {
	return get[access.AuditPage](ctx, c, "/v1/audit", p.Query())
}
