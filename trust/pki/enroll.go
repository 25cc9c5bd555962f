package pki

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"laurel/internal/address"
)

// errJoinToken does not quote the input, which may be a mistyped secret.
var errJoinToken = errors.New("not a join token; want the whole text, which begins with \"laurel-join-1.\"")

// JoinToken admits a frontend to a group and names the authority that the frontend
// trusts. Its text is laurel-join-1.FINGERPRINT.ID.SECRET or, for a sworn group,
// laurel-join-2.FINGERPRINT.FOUNDER.ID.SECRET. Only the maker and the holder know the
// secret; the group stores its hash.
type JoinToken struct {
	Fingerprint string // of the authority, in hexadecimal
	Founder     string // the fingerprint of the first operator's key of a sworn group; else ""
	ID          string
	Secret      string `json:"-"`
}

// NewJoinToken makes a token for the group with the authority.
func NewJoinToken(fingerprint string) JoinToken {
	var id [8]byte
	var secret [32]byte
	rand.Read(id[:]) // never returns an error
	rand.Read(secret[:])
	return JoinToken{
		Fingerprint: fingerprint, ID: hex.EncodeToString(id[:]),
		Secret: base64.RawURLEncoding.EncodeToString(secret[:]),
	}
}

// Text returns the text of the token, with the secret.
func (t JoinToken) Text() string {
	if t.Founder != "" {
		return "laurel-join-2." + t.Fingerprint + "." + t.Founder + "." + t.ID + "." + t.Secret
	}
	return "laurel-join-1." + t.Fingerprint + "." + t.ID + "." + t.Secret
}

// String returns the token without the secret, for logs.
func (t JoinToken) String() string { return "laurel-join-1." + short(t.Fingerprint) + "..." + t.ID }

// GoString returns the token without the secret.
func (t JoinToken) GoString() string { return t.String() }

// Hash returns the hash of the secret, which the group stores.
func (t JoinToken) Hash() []byte {
	sum := sha256.Sum256([]byte(t.Secret))
	return sum[:]
}

var joinToken = regexp.MustCompile(
	`^laurel-join-(?:1\.([0-9a-f]{64})|2\.([0-9a-f]{64})\.([0-9a-f]{64}))\.([0-9a-f]{16})\.([A-Za-z0-9_-]{43})$`)

// ParseJoinToken parses the text of a token. The error does not quote it.
func ParseJoinToken(text string) (JoinToken, error) {
	parts := joinToken.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return JoinToken{}, errJoinToken
	}
	return JoinToken{parts[1] + parts[2], parts[3], parts[4], parts[5]}, nil
}

// EnrollPath is the URL path at which a joining frontend requests its certificate.
const EnrollPath = "/v1/cluster/enroll"

// EnrollRequest is the request of a joining frontend.
type EnrollRequest struct {
	Token  string `json:"token"`
	CSR    []byte `json:"csr"`
	Member string `json:"member"` // id@instance
}

const (
	enrollTimeout   = 10 * time.Second
	maxEnrollAnswer = 1 << 20
)

// EnrollError is the group's refusal to issue a certificate.
type EnrollError struct {
	URL    string
	Status int
	Code   string
	Detail string
}

func (e *EnrollError) Error() string {
	return fmt.Sprintf("%s issued no certificate: %d %s: %s", e.URL, e.Status, e.Code, e.Detail)
}

// Temporary reports whether the request may succeed later.
func (e *EnrollError) Temporary() bool {
	switch e.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Enroll requests a frontend's first certificate, for the request csr of NewRequest, from
// the frontend at base. That frontend must have a certificate by the authority that the
// token names; the token is sent to nobody else. Repeating it with the same csr takes no
// further use of the token.
func Enroll(ctx context.Context, base string, token JoinToken, o Options, csr []byte) (*IssuedCertificate, error) {
	target, err := enrollURL(base)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(EnrollRequest{token.Text(), csr, o.Member})
	if err != nil {
		return nil, err
	}
	now := o.new().Now
	issued, err := postEnrollment(ctx, target, body, token.pinned(now))
	if err != nil {
		return nil, err
	}
	chain, err := parseCertificates(issued.all())
	if err != nil {
		return nil, fmt.Errorf("parse the certificate from %s: %w", base, err)
	}
	if _, err := token.verify(chain, now()); err != nil {
		return nil, fmt.Errorf("invalid certificate from %s: %w", base, err)
	}
	return issued, nil
}

func enrollURL(base string) (string, error) {
	u, err := address.Parse(base)
	if err != nil {
		return "", err
	}
	// A frontend that publishes an http URL speaks https at the same port, too.
	return "https://" + u.HostPort() + u.Path + EnrollPath, nil
}

func postEnrollment(ctx context.Context, target string, body []byte, secure *tls.Config) (*IssuedCertificate, error) {
	ctx, cancel := context.WithTimeout(ctx, enrollTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{TLSClientConfig: secure, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req) // follows no redirects
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxEnrollAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		e := &EnrollError{URL: target, Status: resp.StatusCode}
		var problem struct{ Code, Detail string }
		if json.Unmarshal(answer, &problem) == nil {
			e.Code, e.Detail = problem.Code, problem.Detail
		}
		return nil, e
	}
	issued := new(IssuedCertificate)
	if err := json.Unmarshal(answer, issued); err != nil || len(issued.Certificate) == 0 || len(issued.Chain) == 0 {
		return nil, fmt.Errorf("%s answered without a certificate", target)
	}
	return issued, nil
}

// pinned returns a configuration that trusts only members of the group that the token is
// for.
func (t JoinToken) pinned(now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: ServerName,
		// The root is known only by its fingerprint, so VerifyConnection verifies the
		// chain instead.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			h, err := t.verify(s.PeerCertificates, now())
			if err == nil && h.Role < Nonvoter {
				err = refuse(WrongRole, "%q is not a member of the group yet", h.Member)
			}
			return err
		},
		Time: now,
	}
}

var errPinned = errors.New(
	"the frontend has no certificate by the authority of the join token: it is not a member of that group")

func (t JoinToken) verify(chain []*x509.Certificate, now time.Time) (Holder, error) {
	for i, c := range chain {
		if i > 0 && Fingerprint(c) == t.Fingerprint {
			return verify(chain, []*x509.Certificate{c}, now)
		}
	}
	return Holder{}, &CertificateError{WrongAuthority, errPinned}
}
