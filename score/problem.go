package score

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score/mark"
	"laurel/score/quote"
)

// Code is the kind of a Problem. All kinds of errors that Laurel answers with are defined
// here, with their HTTP status.
type Code string

const (
	InvalidEvent   Code = "invalid_event"
	Unauthorized   Code = "unauthorized"
	Forbidden      Code = "forbidden"
	Unsigned       Code = "unsigned" // what a sworn group takes only with a signature
	NotFound       Code = "not_found"
	SeqGap         Code = "seq_gap"
	IDConflict     Code = "id_conflict"
	TotalMismatch  Code = "total_mismatch"
	StatusConflict Code = "status_conflict"
	// UnsupportedFormat is for what a member cannot read; see access.FormatError.
	UnsupportedFormat Code = "unsupported_format"
	TooLarge          Code = "too_large"
	RateLimited       Code = "rate_limited"
	NoSpace           Code = "no_space"
	NoMaster          Code = "no_master"
	OutcomeUnknown    Code = "outcome_unknown"
	NotReady          Code = "not_ready"
)

var codes = map[Code]struct {
	status int
	title  string
}{
	InvalidEvent:      {http.StatusBadRequest, "Invalid request"},
	Unauthorized:      {http.StatusUnauthorized, "Authentication required"},
	Forbidden:         {http.StatusForbidden, "Permission denied"},
	Unsigned:          {http.StatusForbidden, "Signature required"},
	NotFound:          {http.StatusNotFound, "Not found"},
	SeqGap:            {http.StatusConflict, "Gap in the sequence"},
	IDConflict:        {http.StatusConflict, "Identity already in use"},
	TotalMismatch:     {http.StatusConflict, "Totals do not match"},
	StatusConflict:    {http.StatusConflict, "Conflict with the current state"},
	UnsupportedFormat: {http.StatusConflict, "Format not supported by all members"},
	TooLarge:          {http.StatusRequestEntityTooLarge, "Too large"},
	RateLimited:       {http.StatusTooManyRequests, "Too many requests"},
	NoSpace:           {http.StatusInsufficientStorage, "No room for events"},
	NoMaster:          {http.StatusServiceUnavailable, "No master"},
	OutcomeUnknown:    {http.StatusServiceUnavailable, "Outcome unknown"},
	NotReady:          {http.StatusServiceUnavailable, "Not ready"},
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
	return slices.Collect(maps.Keys(codes))
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

func fieldProblem(field, format string, args ...any) *Problem {
	return Problemf(InvalidEvent, format, args...).At(field)
}

// jsonProblem turns an error of the JSON decoder into a problem that a bard can act on.
// base is the path of the decoded value.
func jsonProblem(base string, err error) *Problem {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		field, what := fieldPath(base, syntax.JSONPointer), strings.TrimPrefix(syntax.Err.Error(), "jsontext: ")
		switch {
		case errors.Is(syntax.Err, jsontext.ErrDuplicateName):
			return fieldProblem(field, "the member is given twice; want it once")
		case errors.Is(syntax.Err, io.ErrUnexpectedEOF):
			return fieldProblem(field, "not valid JSON: it ends in the middle, after %d bytes", syntax.ByteOffset)
		}
		return fieldProblem(field, "not valid JSON at byte %d: %s", syntax.ByteOffset, what)
	}
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return fieldProblem(base, "%s", err)
	}
	field := fieldPath(base, semantic.JSONPointer)
	if wrong, ok := errors.AsType[timeError](semantic.Err); ok {
		return fieldProblem(field, "%s", wrong)
	}
	switch {
	case errors.Is(semantic.Err, json.ErrUnknownName):
		return fieldProblem(field, "unknown member; want only %s", strings.Join(memberNames(semantic.GoType), ", "))
	case slices.Contains(ownTypes, semantic.GoType):
		return fieldProblem(field, "%s", semantic.Err)
	}
	return fieldProblem(field, "%s; want %s", quote.Got(semantic.JSONKind, semantic.JSONValue), wanted(semantic.GoType))
}

// ownTypes read themselves and name what is wrong.
var ownTypes = []reflect.Type{reflect.TypeFor[mark.Decimal](), reflect.TypeFor[mark.Measure](),
	reflect.TypeFor[Totals]()}

func wanted(t reflect.Type) string {
	if t == nil {
		return "another kind of value"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	case reflect.Int:
		return "a whole number"
	case reflect.Uint64:
		return "a whole number, 1 or more"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a string in base64"
		}
		return "an array"
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return "an RFC 3339 time, such as \"2026-02-09T10:16:40Z\""
		}
		return "an object with the members " + strings.Join(memberNames(t), ", ")
	}
	return "another kind of value"
}

func memberNames(t reflect.Type) (names []string) {
	for f := range t.Fields() {
		if name, _ := nameOf(f); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// maxField limits the path in a problem, because the client decides how deep its JSON is
// nested.
const maxField = 200

// fieldPath returns a JSON pointer as the path of a field, such as data.result.GAU.
func fieldPath(base string, p jsontext.Pointer) string {
	path := base
	for name := range p.Tokens() {
		if len(path) > maxField {
			return path + "..."
		}
		if path != "" {
			path += "."
		}
		path += quote.Clip(name)
	}
	return path
}
