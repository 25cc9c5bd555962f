package score

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

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
		case strings.HasSuffix(what, "after top-level value"):
			return fieldProblem(field,
				"not valid JSON at byte %d: %s; want one event, or many as an array or as application/x-ndjson",
				syntax.ByteOffset, what)
		}
		return fieldProblem(field, "not valid JSON at byte %d: %s", syntax.ByteOffset, what)
	}
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return fieldProblem(base, "%s", err)
	}
	field := fieldPath(base, semantic.JSONPointer)
	switch {
	case errors.Is(semantic.Err, json.ErrUnknownName):
		return fieldProblem(field, "unknown member; want only %s", strings.Join(memberNames(semantic.GoType), ", "))
	case semantic.GoType == reflect.TypeFor[Decimal]() || semantic.GoType == reflect.TypeFor[Totals]():
		return fieldProblem(field, "%s", semantic.Err)
	}
	return fieldProblem(field, "%s; want %s", got(semantic.JSONKind, semantic.JSONValue), wanted(semantic.GoType))
}

// got describes the value in the place of the wanted one: numbers and strings by their
// text, if v has it, others by their kind.
func got(k jsontext.Kind, v jsontext.Value) string {
	switch {
	case (k == '"' || k == '0') && len(v) > 0:
		return "got " + clip(string(v))
	case k == '"':
		return "got a string"
	case k == '0':
		return "got a number"
	case k == 't' || k == 'f':
		return "got " + k.String()
	case k == 'n':
		return "got null"
	case k == '{':
		return "got an object"
	case k == '[':
		return "got an array"
	}
	return "missing"
}

// wanted describes the JSON value for a Go type.
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

// memberNames returns the JSON names of the fields of a struct.
func memberNames(t reflect.Type) (names []string) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
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
		path += clip(name)
	}
	return path
}
