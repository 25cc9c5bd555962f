package access

import "strings"

// tokenMarks are how the texts of tokens begin: those of grants, and those with which
// frontends join.
var tokenMarks = [...]string{bearerPrefix, "laurel-join-1.", "laurel-join-2."}

// WithoutToken returns a text up to the token in it, if there is one: what may be logged.
func WithoutToken(text string) string {
	for _, mark := range tokenMarks {
		if i := strings.Index(text, mark); i >= 0 {
			text = text[:i+len(mark)]
		}
	}
	return text
}

// HasToken reports whether a text has that of a token in it. People send a token where its
// id, or a name, is asked for.
func HasToken(text string) bool { return len(WithoutToken(text)) < len(text) }
