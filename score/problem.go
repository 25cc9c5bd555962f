package score

import (
	"errors"
	"fmt"
	"net/http"
)

// Code is the kind of a Problem. All kinds of errors that Laurel answers with are defined
// here, with their HTTP status.
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
	InvalidEvent:   {http.StatusBadRequest, "Invalid request"},
	Unauthorized:   {http.StatusUnauthorized, "Authentication required"},
	Forbidden:      {http.StatusForbidden, "Permission denied"},
	NotFound:       {http.StatusNotFound, "Not found"},
	SeqGap:         {http.StatusConflict, "Gap in the sequence"},
	IDConflict:     {http.StatusConflict, "Identity already in use"},
	TotalMismatch:  {http.StatusConflict, "Totals do not match"},
	StatusConflict: {http.StatusConflict, "Conflict with the current state"},
	TooLarge:       {http.StatusRequestEntityTooLarge, "Too large"},
	RateLimited:    {http.StatusTooManyRequests, "Too many requests"},
	NoMaster:       {http.StatusServiceUnavailable, "No master"},
	OutcomeUnknown: {http.StatusServiceUnavailable, "Outcome unknown"},
	NotReady:       {http.StatusServiceUnavailable, "Not ready"},
}

// HTTPStatus returns the HTTP status of c, or 500 if c is not one of Laurel's codes.
func (c Code) HTTPStatus() int {
	if k, ok := codes[c]; ok {
		return k.status
	}
	return http.StatusInternalServerError
}

// Codes returns all codes, in no particular order.
func Codes() []Code {
	all := make([]Code, 0, len(codes))
	for c := range codes {
		all = append(all, c)
	}
	return all
}

// Problem is the one error type of Laurel's API: servers write it, and clients return it.
// It is an RFC 9457 problem with a few members of Laurel's own. A Problem is not changed
// once it is returned.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail describes what is wrong with the field, and what would be right.
	Detail string `json:"detail"`
	Code   Code   `json:"code"`
	// Field is the path of the member at fault, such as "data.delta".
	Field string `json:"field,omitzero"`
	// ID and Index identify the event at fault if many were posted at once. Index counts
	// from 0.
	ID    string `json:"id,omitzero"`
	Index *int   `json:"index,omitzero"`
	// ExpectedSeq is the only seq that the source may use next. It is set with SeqGap.
	ExpectedSeq uint64 `json:"expected_seq,omitzero"`
}

// Problemf returns a Problem with code c and a formatted detail.
func Problemf(c Code, format string, args ...any) *Problem {
	return &Problem{
		Type:   "urn:laurel:problem:" + string(c),
		Title:  codes[c].title,
		Status: c.HTTPStatus(),
		Code:   c,
		Detail: fmt.Sprintf(format, args...),
	}
}

// CodeOf returns the code of the Problem in err, "" if there is none.
func CodeOf(err error) Code {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Code
	}
	return ""
}

// At sets Field and returns p.
func (p *Problem) At(field string) *Problem {
	p.Field = field
	return p
}

func (p *Problem) Error() string {
	if p.Field != "" {
		return fmt.Sprintf("%s: %s: %s", p.Code, p.Field, p.Detail)
	}
	return fmt.Sprintf("%s: %s", p.Code, p.Detail)
}

// fieldProblem returns an InvalidEvent problem about one field.
func fieldProblem(field, format string, args ...any) *Problem {
	return Problemf(InvalidEvent, format, args...).At(field)
}
