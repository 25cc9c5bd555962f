package client

import (
	"cmp"
	"time"
)

// WaitForRefresh returns when no list of frontends is being asked for.
func (c *Client) WaitForRefresh() { c.waitForRefresh() }

// NewPatient is New for a client with so much time that a busy machine is no reason for another
// attempt, unless the first one is lost without a sign. Its own transport would give up a
// connection after 1 s or 2 s.
func NewPatient(urls []string, o Options) (*Client, error) {
	o.Timeout, o.AttemptTimeout = cmp.Or(o.Timeout, 2*time.Minute), 30*time.Second
	c, err := New(urls, o)
	if err == nil {
		c.own.DialContext, c.own.TLSHandshakeTimeout = nil, 0
	}
	return c, err
}
