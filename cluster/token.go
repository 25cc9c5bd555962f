package cluster

import (
	"log/slog"
	"time"

	"laurel/cluster/batch"
	"laurel/cluster/peer"
	"laurel/score"
	"laurel/trust/access"
)

// tokenReasons are why the tokens of forwarded posts are refused, as the metrics count it.
// None is expected of an honest frontend, but revoked and expired of one that is a moment
// behind.
var tokenReasons = map[error]string{
	access.ErrUnknownToken: "unknown", access.ErrRevokedToken: "revoked", access.ErrExpiredToken: "expired",
}

// tokenCheck checks the tokens of the posts that a member forwards in one batch, each
// token once.
type tokenCheck struct {
	*poster
	from    string // the member
	checked map[access.BearerToken]*score.Problem
}

// check refuses a post whose events name a token that was not sent with them: another
// member's word is no proof. What the token's grant permits is checked where the events
// are applied.
//
// Nobody has a token before the master has applied its grant. So a master that serves
// knows all of them.
func (c *tokenCheck) check(post *batch.Post) *score.Problem {
	switch {
	case post.Token == "":
		return nil
	case c.leadership() == nil:
		return peer.NotMaster() // its state may lack what earlier masters committed
	}
	token := access.BearerToken{ID: post.Token, Secret: string(post.Secret)}
	problem, known := c.checked[token]
	if known {
		return problem
	}
	if _, err := c.access.Access().Authenticate(token, time.Now()); err != nil {
		c.refusals.Note(slog.LevelWarn, tokenReasons[err], "refused a forwarded post because of its token",
			"member", c.from, "token", token.ID, "err", err)
		problem = score.Problemf(score.Unauthorized, "%v", err)
	}
	c.checked[token] = problem
	return problem
}
