package score

import (
	"fmt"
	"net/http"
)

// Code is the kind of a Problem. Every kind of error that Laurel answers with is defined here, once, with its HTTP status.
type Code string

const (
	InvalidEvent   Code = "invalid_event"
	Unauthorized   Code = "unauthorized"
	Forbidden      Code = "forbidden"
	NotFound       Code = "not_found"
	SeqGap         Code = "seq_gap"
	IDConflict     Code = "id_conflict"
	TotalMismatch  Code = "total_mismatch"
	StatusConflict Code = "status_conflict"
	TooLarge       Code = "too_large"
	RateLimited    Code = "rate_limited"
	NoMaster       Code = "no_master"
	OutcomeUnknown Code = "outcome_unknown"
	NotReady       Code = "not_ready"
)

var codes = map[Code]struct {
	status int
	title  string
}{
	InvalidEvent:   {http.StatusBadRequest, "The request is not valid"},
	Unauthorized:   {http.StatusUnauthorized, "Who are you?"},
	Forbidden:      {http.StatusForbidden, "You may not do this"},
	NotFound:       {http.StatusNotFound, "There is no such thing"},
	SeqGap:         {http.StatusConflict, "The seq leaves a gap"},
	IDConflict:     {http.StatusConflict, "The identity is taken"},
	TotalMismatch:  {http.StatusConflict, "The totals do not add up"},
	StatusConflict: {http.StatusConflict, "The present state does not allow this"},
	TooLarge:       {http.StatusRequestEntityTooLarge, "Too large"},
	RateLimited:    {http.StatusTooManyRequests, "Too much at once"},
	NoMaster:       {http.StatusServiceUnavailable, "The group has no master now"},
	OutcomeUnknown: {http.StatusServiceUnavailable, "The outcome is not known"},
	NotReady:       {http.StatusServiceUnavailable, "This frontend is not ready"},
}

// HTTPStatus is the status that goes with c; 500 for a code that is not of Laurel.
func (c Code) HTTPStatus() int {
	if k, ok := codes[c]; ok {
		return k.status
	}
	return http.StatusInternalServerError
}

// Codes lists every code of Laurel, in no order.
func Codes() []Code {
	all := make([]Code, 0, len(codes))
	for c := range codes {
		all = append(all, c)
	}
	return all
}

// Problem says why something was refused. It is an RFC 9457 problem, with Laurel's own members behind the standard ones.
// It is the one error type of Laurel's interface: servers write it, clients get it back. A Problem is not changed once returned.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail says what was wrong with which field, and what would be right.
	Detail string `json:"detail"`
	Code   Code   `json:"code"`
	// Field is the member at fault, as a path: "data.delta".
	Field string `json:"field,omitzero"`
	// ID and Index name the event at fault where many were posted at once; Index counts from 0.
	ID    string `json:"id,omitzero"`
	Index *int   `json:"index,omitzero"`
	// ExpectedSeq is the only seq that the source may use next; with seq_gap.
	ExpectedSeq uint64 `json:"expected_seq,omitzero"`
}

// Problemf makes a Problem of the kind c.
func Problemf(c Code, format string, args ...any) *Problem {
	return &Problem{Type: "urn:laurel:problem:" + string(c), Title: codes[c].title, Status: c.HTTPStatus(), Code: c, Detail: fmt.Sprintf(format, args...)}
}

func (p *Problem) Error() string {
	if p.Field != "" {
		return fmt.Sprintf("%s: %s: %s", p.Code, p.Field, p.Detail)
	}
	return fmt.Sprintf("%s: %s", p.Code, p.Detail)
}

// fieldProblem is an invalid_event about one field.
func fieldProblem(field, format string, args ...any) *Problem {
	p := Problemf(InvalidEvent, format, args...)
	p.Field = field
	return p
}
