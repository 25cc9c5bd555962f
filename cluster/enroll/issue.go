package enroll

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// Paths of the master's side on the peer port.
const (
	CertificatePath = "/peer/v1/certificate" // see ServeCertificate
	KeysPath        = "/peer/v1/authority"   // see ServeKeys
	PromotePath     = "/peer/v1/promote"     // see ServePromote
	OperatorPath    = "/peer/v1/operator"    // see ServeOperator
)

const (
	// maxRequest bounds a certificate request, in bytes.
	maxRequest = 64 << 10
	// maxMember bounds id@instance, in bytes.
	maxMember = 130

	maxTokenTTL  = 30 * 24 * time.Hour
	maxTokenUses = 1000
)

// Certificates is what a member says of its certificates, as authorities' fingerprints.
type Certificates struct {
	// IssuedBy is the authority that issued the member's certificate.
	IssuedBy string `json:"issued_by,omitzero"`
	// Keys are the authorities whose private keys the member holds.
	Keys []string `json:"keys,omitzero"`
}

// CertificatesOf returns the certificates of an identity, which may be nil.
func CertificatesOf(i *pki.Identity) (c Certificates) {
	if i != nil {
		c.IssuedBy, c.Keys = i.IssuedBy(), i.Keys()
	}
	return c
}

// Issuer issues certificates and rotates the authority of the group, at the master. Its
// exported methods return a *score.Problem where this member is not the master or the
// group is insecure. It is safe for concurrent use.
type Issuer struct {
	Self    raft.ServerID
	Auth    *peer.Authenticator // nil in an insecure group
	Port    *peer.Port
	ValidID func(id string) bool // reports whether a member may have an id

	// IsMaster reports whether this member is the master.
	IsMaster func() bool
	// OtherMaster returns the peer address of the master; "" for this one or none.
	OtherMaster func() string
	// IsVoter reports whether a server is a voter of the committed configuration, and
	// whether this member is the master: no other one knows.
	IsVoter func(raft.ServerID) (voter, known bool)
	// Connected reports whether the master has a stream to a server.
	Connected func(raft.ServerID) bool
	// Certificates returns what a server last said; ok is false if that is too old.
	Certificates func(raft.ServerID) (c Certificates, ok bool)
	// ChangeAccess commits a change of the access control. The error is a *score.Problem.
	ChangeAccess func(context.Context, access.Change) error
}

// requireMaster returns a problem in an insecure group, and where this is not the master.
func (i *Issuer) requireMaster() *score.Problem {
	if i.Auth == nil {
		return score.Problemf(score.StatusConflict,
			"this group is insecure: it has no certificates, and joining needs no token")
	}
	if !i.IsMaster() {
		return peer.NotMaster()
	}
	return nil
}

// requireVoter returns a problem unless a server is a voter of the committed configuration:
// the role of its certificate may be from one that is not committed yet. what names what
// only a voter does.
func (i *Issuer) requireVoter(id raft.ServerID, what string) *score.Problem {
	switch voter, known := i.IsVoter(id); {
	case !known:
		return peer.NotMaster()
	case !voter:
		return score.Problemf(score.Forbidden, "%q has no vote; only a voter %s", peer.MemberID(id), what)
	}
	return nil
}

// callMaster asks the master on its peer port.
func (i *Issuer) callMaster(ctx context.Context, path string, body io.Reader, answer any) error {
	master := i.OtherMaster()
	if master == "" {
		return peer.NoMaster()
	}
	return i.Port.Call(ctx, master, http.MethodPost, path, body, answer)
}

// issuing returns the fingerprint of the authority that is to issue all certificates.
func (i *Issuer) issuing() string {
	if list := i.Auth.Access().Authorities; len(list) > 0 {
		return access.Fingerprint(list[len(list)-1])
	}
	return i.Auth.Identity.IssuedBy()
}

// NewJoinToken makes a token with which frontends may join uses times within ttl, on the
// terms. Its text is stored nowhere. by is the operator. The error is a *score.Problem.
func (i *Issuer) NewJoinToken(
	ctx context.Context, by string, ttl time.Duration, uses int, terms access.Terms,
) (text string, err error) {
	if p := i.requireMaster(); p != nil {
		return "", p
	}
	if p := CheckToken(ttl, uses, terms.Hosts); p != nil {
		return "", p
	}
	now := i.Auth.Identity.Now()
	token := pki.NewJoinToken(i.issuing())
	err = i.ChangeAccess(ctx, access.Change{At: now.UTC(), By: by, JoinToken: &access.JoinToken{
		ID: token.ID, Hash: token.Hash(), Expires: now.Add(ttl).UTC(), Uses: uses, Terms: terms,
	}})
	if err != nil {
		return "", err
	}
	return token.Text(), nil
}

// CheckToken returns a problem if a join token cannot be valid for so long, or for so many
// frontends or such hosts.
func CheckToken(ttl time.Duration, uses int, hosts []string) *score.Problem {
	if ttl <= 0 || ttl > maxTokenTTL {
		return invalid("ttl", "got %s; want more than 0 and at most %s", ttl, maxTokenTTL)
	}
	if uses < 1 || uses > maxTokenUses {
		return invalid("uses", "got %d; want 1 to %d", uses, maxTokenUses)
	}
	for n, host := range hosts {
		if err := pki.CheckHost(host); err != nil {
			return invalid(fmt.Sprintf("hosts.%d", n), "%v", err)
		}
	}
	return nil
}

func invalid(field, format string, args ...any) *score.Problem {
	return score.Problemf(score.InvalidEvent, format, args...).At(field)
}

// Enroll issues the certificate with which a frontend, member (id@instance), may join, for
// its request csr (DER), and takes one use of the token. The error is a *score.Problem.
func (i *Issuer) Enroll(ctx context.Context, token string, csr []byte, member string) (*pki.IssuedCertificate, error) {
	if p := i.requireMaster(); p != nil {
		return nil, p
	}
	t, err := pki.ParseJoinToken(token)
	if err != nil {
		return nil, score.Problemf(score.Unauthorized, "%v", err)
	}
	if id := peer.MemberID(raft.ServerID(member)); len(member) > maxMember || !i.ValidID(id) {
		return nil, invalid("member", "got %.80q; want the id of a frontend and of its data, id@instance", member)
	}
	known, p := i.checkToken(t)
	if p != nil {
		i.Auth.Logger.Warn("join rejected: invalid token", "token", t.ID, "member", member)
		return nil, p
	}
	public, p := i.checkJoiner(csr, raft.ServerID(member), known.Replace)
	if p != nil {
		return nil, p
	}
	if i.authority() == nil {
		return nil, noKey()
	}
	// The answer to the first request may have been lost, and its use of the token taken.
	if i.Auth.Access().Enrolled(member, keyHash(public), i.Auth.Identity.Now()) == nil {
		if known.Uses == 0 {
			i.Auth.Logger.Warn("join rejected: the token is used up", "token", t.ID, "member", member)
			return nil, invalidToken()
		}
		err = i.ChangeAccess(ctx, access.Change{
			At: i.Auth.Identity.Now().UTC(), By: member, UseJoinToken: t.ID, JoinKey: keyHash(public),
		})
		if err != nil {
			return nil, err
		}
	}
	return i.issue(public, pki.Holder{Member: member, Role: pki.Joiner})
}

// checkToken returns what is known of a token, which may have no uses left, or a problem if it
// is not valid. The problem does not reveal whether there is or was a token of that name.
func (i *Issuer) checkToken(t pki.JoinToken) (known *access.JoinToken, p *score.Problem) {
	known = i.Auth.Access().JoinTokens[t.ID]
	if known == nil {
		known = &access.JoinToken{Hash: make([]byte, 32)} // so that the check takes as long
	}
	who, matches := i.Auth.Identity, access.SecretMatches(t.Secret, known.Hash)
	if !matches || !who.Now().Before(known.Expires) || !who.Trusts(t.Fingerprint) {
		return nil, invalidToken()
	}
	return known, nil
}

func invalidToken() *score.Problem {
	return score.Problemf(score.Unauthorized,
		"the join token is invalid, used up or expired; an operator can make another")
}

// checkJoiner returns the public key of a frontend, or a problem if it cannot join, before
// its token is used. replace is the id of the dead member that the token is for; "" if it is
// for any frontend that is new.
func (i *Issuer) checkJoiner(
	csr []byte, member raft.ServerID, replace string,
) (public crypto.PublicKey, p *score.Problem) {
	id := peer.MemberID(member)
	public, _, err := parseRequest(csr, string(member))
	if err != nil {
		return nil, invalid("csr", "%v", err)
	}
	servers := i.Auth.Servers()
	taken := slices.IndexFunc(servers, func(s raft.Server) bool { return peer.MemberID(s.ID) == id && s.ID != member })
	conflict := func(format string, args ...any) (crypto.PublicKey, *score.Problem) {
		return nil, score.Problemf(score.IDConflict, format, args...).At("id")
	}
	switch {
	case i.Auth.Removed(member):
		return nil, score.Problemf(score.Forbidden,
			"%q was removed from the group; to join as a new member, start it with an empty data directory", member)
	case replace != "" && id != replace:
		return nil, score.Problemf(score.Forbidden,
			"the join token is for a frontend that replaces %q, not for %q", replace, id)
	case taken >= 0 && replace != "" && i.Connected(servers[taken].ID):
		return nil, score.Problemf(score.NotReady, "the frontend %q is connected, and only a dead one is replaced", id)
	case taken >= 0 && replace == "":
		return conflict("the id %q is taken by a frontend with other data; "+
			"choose another id, or remove that frontend first; to replace it if it is dead, join with --replace "+
			"and a token of laurel cluster token --replace", id)
	case i.Connected(member):
		// Otherwise the owner of a token could become any member that it can name.
		return conflict("the frontend %q is a member and connected; it renews its certificate itself", id)
	}
	return public, nil
}

// parseRequest returns the public key and the hosts of a member's certificate request.
func parseRequest(csr []byte, member string) (public crypto.PublicKey, hosts []string, err error) {
	r, named, err := pki.ParseRequest(csr)
	if err == nil && named != member {
		err = fmt.Errorf("the request is for %q, but %q sent it", named, member)
	}
	if err != nil {
		return nil, nil, err
	}
	hosts = r.DNSNames
	for _, ip := range r.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return r.PublicKey, hosts, nil
}

// issue issues a certificate. The error is a *score.Problem.
func (i *Issuer) issue(public crypto.PublicKey, h pki.Holder) (*pki.IssuedCertificate, error) {
	a := i.authority()
	if a == nil {
		return nil, noKey()
	}
	issued, err := a.Issue(public, h, i.Auth.Identity.Now())
	if err != nil {
		return nil, invalid("csr", "%v", err)
	}
	issued.Authorities = i.Auth.Identity.Authorities()
	i.Auth.Logger.Info("issued a certificate",
		"member", h.Member, "role", h.Role, "hosts", h.Hosts, "authority", a.Fingerprint())
	return issued, nil
}

func noKey() *score.Problem {
	return score.Problemf(score.NotReady,
		"this master does not hold the key of the group's authority yet; retry in a second")
}

// authority returns the newest authority whose key a majority of the voters hold, so that
// they can go on with it if this master is lost; else the oldest one whose key this
// member holds, nil if it holds none.
func (i *Issuer) authority() *pki.Authority {
	list := i.Auth.Access().Authorities
	if len(list) == 0 {
		return i.Auth.Identity.Authority(i.Auth.Identity.IssuedBy())
	}
	var oldest *pki.Authority
	for _, der := range slices.Backward(list) {
		a := i.Auth.Identity.Authority(access.Fingerprint(der))
		if a == nil {
			continue
		}
		if oldest = a; i.heldByMajority(a.Fingerprint()) {
			break
		}
	}
	return oldest
}

// heldByMajority reports whether a majority of the voters hold the key of an authority.
func (i *Issuer) heldByMajority(authority string) bool {
	voters, holders := 0, 0
	for _, s := range i.Auth.Servers() {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if c, ok := i.Certificates(s.ID); s.ID == i.Self || ok && slices.Contains(c.Keys, authority) {
			holders++
		}
	}
	return holders*2 > voters
}

// keyHash returns access.KeyHash of a public key of a certificate request.
func keyHash(public crypto.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil // ParseRequest has accepted the key
	}
	return access.KeyHash(der)
}
