package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json"

	"laurel/trust/access"
)

// Access asks who may do what.
func (c *Client) Access(ctx context.Context) (access.View, error) {
	var v access.View
	err := c.get(ctx, "/v1/access", nil, &v)
	return v, err
}

// Grant gives a right to the holder of a key or, where none is named, of a token, whose text is in the answer and nowhere else ever after.
func (c *Client) Grant(ctx context.Context, g access.GrantRequest) (access.GrantResponse, error) {
	var made access.GrantResponse
	body, err := json.Marshal(g)
	if err != nil {
		return made, err
	}
	// To ask twice for a token would leave one that nobody has.
	a, _, err := c.do(ctx, call{method: http.MethodPost, path: "/v1/access/grants", body: body, nonIdempotent: len(g.Public) == 0})
	if err != nil {
		return made, err
	}
	if err := json.Unmarshal(a.body, &made); err != nil || made.ID == "" {
		return made, fmt.Errorf("the answer to the grant cannot be read: %v", err)
	}
	return made, nil
}

// Revoke takes a right, or a join token, back.
func (c *Client) Revoke(ctx context.Context, id string) error {
	_, _, err := c.do(ctx, call{method: http.MethodDelete, path: "/v1/access/grants/" + url.PathEscape(id)})
	return err
}

// Audit asks for a page of the trail of what was changed in the group and in who may do what.
func (c *Client) Audit(ctx context.Context, p Page) (access.AuditPage, error) {
	var page access.AuditPage
	err := c.get(ctx, "/v1/audit", p.query(), &page)
	return page, err
}
