package pki

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// EnrollPath is where a frontend that joins asks for its certificate.
const EnrollPath = "/v1/cluster/enroll"

// EnrollRequest is what it sends there.
type EnrollRequest struct {
	Token  string `json:"token"`
	CSR    []byte `json:"csr"`
	Member string `json:"member"` // id@instance
}

const (
	enrollLimit     = 10 * time.Second
	maxEnrollAnswer = 1 << 20
)

// EnrollError is the group's answer where it does not issue a certificate.
type EnrollError struct {
	URL    string
	Status int
	Code   string
	Detail string
}

func (e *EnrollError) Error() string {
	return fmt.Sprintf("%s gave no certificate: %d %s: %s", e.URL, e.Status, e.Code, e.Detail)
}

// Later tells whether the answer may be another in a moment.
func (e *EnrollError) Temporary() bool {
	return e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests || e.Status == http.StatusGatewayTimeout
}

// Enroll gets a frontend's first certificate, from the frontend at base, which must show a certificate by the authority that the
// token names: the token tells nobody else.
func Enroll(ctx context.Context, base string, token JoinToken, o Options) (*ecdsa.PrivateKey, *IssuedCertificate, error) {
	target, err := enrollURL(base)
	if err != nil {
		return nil, nil, err
	}
	key, csr, err := NewRequest(o.Member, o.Hosts)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	body, err := json.Marshal(EnrollRequest{token.Text(), csr, o.Member})
	if err != nil {
		return nil, nil, err
	}
	issued, err := postEnrollment(ctx, target, body, token.pinned(now))
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.ParseCertificate(issued.Certificate)
	if err != nil {
		return nil, nil, fmt.Errorf("the certificate from %s cannot be read: %w", base, err)
	}
	chain, err := parseCertificates(issued.Chain)
	if err != nil {
		return nil, nil, fmt.Errorf("the chain from %s cannot be read: %w", base, err)
	}
	if err := token.vouches(append([]*x509.Certificate{leaf}, chain...), now()); err != nil {
		return nil, nil, fmt.Errorf("the certificate from %s is no good: %w", base, err)
	}
	return key, issued, nil
}

func enrollURL(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is no URL of a frontend; want such as https://10.0.0.1:8001", base)
	}
	u.Scheme = "https" // the port speaks it, whatever is published
	u.Path = strings.TrimRight(u.Path, "/") + EnrollPath
	return u.String(), nil
}

func postEnrollment(ctx context.Context, target string, body []byte, secure *tls.Config) (*IssuedCertificate, error) {
	ctx, cancel := context.WithTimeout(ctx, enrollLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{TLSClientConfig: secure, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req) // it follows no redirect
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
		var said struct{ Code, Detail string }
		if json.Unmarshal(answer, &said) == nil {
			e.Code, e.Detail = said.Code, said.Detail
		}
		return nil, e
	}
	issued := new(IssuedCertificate)
	if err := json.Unmarshal(answer, issued); err != nil || len(issued.Certificate) == 0 || len(issued.Chain) == 0 {
		return nil, fmt.Errorf("%s answered without a certificate", target)
	}
	return issued, nil
}

// pinned trusts a member of the group that the token is for, and nobody else.
func (t JoinToken) pinned(now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: ServerName,
		// No root is known but by its fingerprint, which the standard check has no notion of: VerifyConnection checks all.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return t.vouches(s.PeerCertificates, now()) },
		Time:               now,
	}
}

var errPinned = errors.New("the frontend does not belong to the group that the join token is for: it shows no certificate by that group's authority")

// vouches checks that a chain leads to the authority that the token names.
func (t JoinToken) vouches(chain []*x509.Certificate, now time.Time) error {
	for i, c := range chain {
		if i > 0 && Fingerprint(c) == t.Fingerprint {
			_, err := verify(chain, []*x509.Certificate{c}, now)
			return err
		}
	}
	return &CertificateError{WrongAuthority, errPinned}
}
