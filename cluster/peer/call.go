package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/score"
)

// maxAnswer bounds the answer to a call, in bytes.
const maxAnswer = 64 << 20

// RoundTrip sends an HTTP request to the member at the address that is the request's
// host.
func (p *Port) RoundTrip(r *http.Request) (*http.Response, error) {
	return p.client.Load().RoundTrip(r)
}

// Call sends a request to the member at addr and decodes its JSON answer into answer,
// unless that is nil. A body is JSON. The error is a *score.Problem if the answer is one;
// it is a *RemovedError around that if the answering member does not know this one as a
// member, and a *SupersededError if the store of this one has ended there.
func (p *Port) Call(ctx context.Context, addr, method, path string, body io.Reader, answer any) error {
	return call(ctx, p.client.Load(), addr, method, path, body, answer)
}

// AskAnyone sends a GET request to the frontend of the group at addr, even if it is
// another one than the configuration has there.
func (p *Port) AskAnyone(ctx context.Context, addr, path string, answer any) error {
	client := newClient(func(ctx context.Context, _, addr string) (net.Conn, error) {
		return p.connect(ctx, addr, "", []byte{ProtocolHTTP})
	})
	defer client.CloseIdleConnections()
	return call(ctx, client, addr, http.MethodGet, path, nil, answer)
}

func call(ctx context.Context, by http.RoundTripper, addr, method, path string, body io.Reader, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, body)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := by.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		problem := new(score.Problem)
		if err := json.UnmarshalRead(io.LimitReader(resp.Body, maxAnswer), problem); err != nil || problem.Code == "" {
			return withReason(resp.Header, fmt.Errorf("the member at %s answered %s", addr, resp.Status))
		}
		return withReason(resp.Header, problem)
	}
	if answer == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.UnmarshalRead(io.LimitReader(resp.Body, maxAnswer), answer)
}

// DialFailed reports whether a call failed before its request was sent.
func DialFailed(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// WriteProblem answers a call with a problem.
func WriteProblem(w http.ResponseWriter, p *score.Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	json.MarshalWrite(w, p)
}

// removedHeader is on the answer to a member that was removed. It has the index of the
// answering member's committed configuration, which does not have the asking member.
const removedHeader = "Laurel-Removed"

// RemovedError is the error of a call that WriteRemoved answered.
type RemovedError struct {
	Index uint64 // of the answering member's committed configuration
	Err   error
}

func (e *RemovedError) Error() string { return e.Err.Error() }
func (e *RemovedError) Unwrap() error { return e.Err }

// supersededHeader is on the answer to a member of the group that there was before this one
// was recovered. It has the incarnation of the store in this group.
const supersededHeader = "Laurel-Superseded"

// SupersededError is the error of a call that WriteSuperseded answered.
type SupersededError struct {
	Incarnation string // of the store at the answering member
	Err         error
}

func (e *SupersededError) Error() string { return e.Err.Error() }
func (e *SupersededError) Unwrap() error { return e.Err }

// withReason returns err, or a *RemovedError or a *SupersededError if an answer's header has
// what makes it one.
func withReason(h http.Header, err error) error {
	if incarnation := h.Get(supersededHeader); score.ValidLineage(incarnation) {
		return &SupersededError{incarnation, err}
	}
	if index, bad := strconv.ParseUint(h.Get(removedHeader), 10, 64); bad == nil {
		return &RemovedError{index, err}
	}
	return err
}

// WriteSuperseded answers a call of a member whose store is in an incarnation that has ended
// here, where it is in another one. It closes the connection, which may be older than the
// certificate by which this member is believed.
func WriteSuperseded(w http.ResponseWriter, incarnation string) {
	w.Header().Set("Connection", "close")
	w.Header().Set(supersededHeader, incarnation)
	WriteProblem(w, score.Problemf(score.Forbidden,
		"the group was recovered without this frontend, and the store is in "+
			"the incarnation %s", incarnation))
}

// WriteRemoved answers a call of a member that is not in the committed configuration of
// index.
func WriteRemoved(w http.ResponseWriter, index uint64, p *score.Problem) {
	w.Header().Set(removedHeader, strconv.FormatUint(index, 10))
	WriteProblem(w, p)
}

// MemberID returns the id of a member without the instance of its data directory: the id
// by which people know it.
func MemberID(s raft.ServerID) string {
	id, _, _ := strings.Cut(string(s), "@")
	return id
}

// NoMaster returns the problem of a request for which no master can be reached.
func NoMaster() *score.Problem {
	return score.Problemf(score.NoMaster,
		"the group has no master that this frontend can reach; retry in a second, or ask another frontend")
}

// NotMaster returns the problem of a request that only the master can answer, at another
// member.
func NotMaster() *score.Problem {
	return score.Problemf(score.NoMaster, "this frontend is not the master any more; retry")
}

// IsAnswer reports whether an error is a problem that a member answered with, other than
// that it is not the master: another master would answer the same.
func IsAnswer(err error) bool {
	code := score.CodeOf(err)
	return code != "" && code != score.NoMaster
}
