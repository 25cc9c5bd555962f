package signing

import (
	"unicode/utf8"

	"laurel/score"
)

// maxQuoted is the number of bytes of a form that a problem quotes.
const maxQuoted = 300

// WrongSignature returns the problem of an event whose signature does not verify over
// form.
func WrongSignature(e *score.Event, form []byte) *score.Problem {
	quoted := form
	if len(quoted) > maxQuoted {
		n := maxQuoted
		for n > 0 && !utf8.RuneStart(quoted[n]) {
			n--
		}
		quoted = append(quoted[:n:n], "..."...)
	}
	p := score.Problemf(score.Unauthorized,
		"not a signature by the key %s of this event; the signature must cover these %d bytes: %s",
		e.Key, len(form), quoted)
	p.ID, p.Field = e.ID, "signature"
	return p
}

// Unsignable returns the problem of a signed event that has no form.
func Unsignable(e *score.Event, err error) *score.Problem {
	p := score.Problemf(score.Unauthorized, "the event cannot have been signed: %v", err)
	p.ID = e.ID
	return p
}
