package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json"

	"laurel/trust/access"
)

// Access returns the grants, join tokens and authorities of the group.
func (c *Client) Access(ctx context.Context) (access.View, error) {
	var v access.View
	err := c.get(ctx, "/v1/access", nil, &v)
	return v, err
}

// Grant gives a role to the holder of a key or, if the request names no key, of a new
// token. The token's text is in the response and nowhere else.
func (c *Client) Grant(ctx context.Context, g access.GrantRequest) (access.GrantResponse, error) {
	var made access.GrantResponse
	body, err := json.Marshal(g)
	if err != nil {
		return made, err
	}
	// A second request for a token would leave a token that nobody has.
	r := call{method: http.MethodPost, path: "/v1/access/grants", body: body, nonIdempotent: len(g.Public) == 0}
	a, _, err := c.do(ctx, r)
	if err != nil {
		return made, err
	}
	if err := json.Unmarshal(a.Body, &made); err != nil || made.ID == "" {
		return made, fmt.Errorf("cannot read the response to the grant: %v", err)
	}
	return made, nil
}

// Revoke revokes a grant or a join token.
func (c *Client) Revoke(ctx context.Context, id string) error {
	_, _, err := c.do(ctx, call{method: http.MethodDelete, path: "/v1/access/grants/" + url.PathEscape(id)})
	return err
}

// Audit returns a page of the audit trail: the changes of the membership and of access.
func (c *Client) Audit(ctx context.Context, p Page) (access.AuditPage, error) {
	var page access.AuditPage
	err := c.get(ctx, "/v1/audit", p.query(), &page)
	return page, err
}
