// Package quote shows input in the text of problems: short, and by its kind.
package quote

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Clip shortens input that a problem quotes. A problem is JSON and must stay UTF-8.
func Clip(s string) string {
	const limit = 40
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}

// OneOf returns "one of a, b, c". Of a long list it has the first names and how many more
// there are.
func OneOf(names []string) string {
	const most = 20
	more := ""
	if n := len(names) - most; n > 0 {
		names, more = names[:most], fmt.Sprintf(" or of %d more", n)
	}
	return "one of " + strings.Join(names, ", ") + more
}

// Got describes the value in the place of the wanted one: numbers and strings by their
// text, if v has it, others by their kind.
func Got(k jsontext.Kind, v jsontext.Value) string {
	switch {
	case (k == '"' || k == '0') && len(v) > 0:
		return "got " + Clip(string(v))
	case kindNames[k] != "":
		return "got " + kindNames[k]
	}
	return "missing"
}

var kindNames = map[jsontext.Kind]string{
	'"': "a string",
	'0': "a number",
	't': "true",
	'f': "false",
	'n': "null",
	'{': "an object",
	'[': "an array",
}
