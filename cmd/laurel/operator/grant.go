package operator

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"laurel/client"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// Grant signs a grant. A token is made here, so that no frontend ever sees it.
func (k *Key) Grant(
	ctx context.Context, c *client.Client, r access.GrantRequest,
) (made access.GrantResponse, err error) {
	g, token := r.Grant(time.Now().UTC())
	if err := k.Change(ctx, c, access.Change{Grant: g}); err != nil {
		return made, err
	}
	return access.GrantResponse{ID: g.ID, Token: token}, nil
}

// JoinToken signs a join token, which names the authority and the first operator.
func (k *Key) JoinToken(
	ctx context.Context, c *client.Client, ttl time.Duration, uses int, terms access.Terms,
) (string, error) {
	s, err := k.signer(ctx, c)
	if err != nil {
		return "", err
	}
	authority, err := newestAuthority(ctx, c)
	if err != nil {
		return "", err
	}
	token := pki.NewJoinToken(authority)
	token.Founder = s.roster.Founder
	signed, err := s.sign(access.Change{JoinToken: &access.JoinToken{
		ID: token.ID, Hash: token.Hash(), Expires: time.Now().Add(ttl).UTC(), Uses: uses, Terms: terms,
	}})
	if err != nil {
		return "", err
	}
	return token.Text(), c.ChangeSigned(ctx, signed)
}

// newestAuthority returns the fingerprint of the authority that issues certificates: of two
// the newer one begins later.
func newestAuthority(ctx context.Context, c *client.Client) (string, error) {
	text, err := c.Authorities(ctx)
	if err != nil {
		return "", err
	}
	var newest *x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", fmt.Errorf("read the certificates of the group: %w", err)
		}
		if newest == nil || cert.NotBefore.After(newest.NotBefore) {
			newest = cert
		}
	}
	if newest == nil {
		return "", errNoAuthority
	}
	return pki.Fingerprint(newest), nil
}

var errNoAuthority = errors.New("the frontends show no certificate of an authority")
