package client

// WaitForRefresh returns when no list of frontends is being asked for.
func (c *Client) WaitForRefresh() { c.waitForRefresh() }
