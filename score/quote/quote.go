// Package quote shows input in the text of problems: short, and by its kind or format.
package quote

import (
	"bytes"
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

// formats are the beginnings of what is posted by mistake in the place of JSON in UTF-8.
var formats = []struct{ begin, name string }{
	{"\xff\xfe", "UTF-16"},
	{"\xfe\xff", "UTF-16"},
	{"\x00\x00\xfe\xff", "UTF-32"},
	{"\x1f\x8b", "gzip"},
	{"PK\x03\x04", "ZIP"},
	{"\x28\xb5\x2f\xfd", "Zstandard"},
	{"\xfd7zXZ\x00", "xz"},
	{"BZh", "bzip2"},
}

// FormatOf returns the format of a text, as far as its beginning shows it; "" if it may be
// UTF-8.
func FormatOf(text []byte) string {
	for _, f := range formats {
		if bytes.HasPrefix(text, []byte(f.begin)) {
			return f.name
		}
	}
	// JSON begins with ASCII, which has a zero byte beside it in UTF-16.
	if len(text) > 1 && (text[0] == 0 || text[1] == 0) {
		return "UTF-16"
	}
	return ""
}
