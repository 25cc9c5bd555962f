package signing

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
)

// Form returns what the signature of e covers: the event as the timeline shows it,
// without what the store adds, as JSON in the canonical form of RFC 8785:
//
//	{"contest_id":...,"data":{...},"id":...,"key":...,"seq":...,"source":...,
//	 "time":...,"type":...}
//
// An error means that e cannot be signed: it is incomplete, or cannot be written.
func Form(e *score.Event) ([]byte, error) { return AppendForm(make([]byte, 0, 512), e) }

// AppendForm appends the form of e.
func AppendForm(b []byte, e *score.Event) ([]byte, error) {
	b, err := appendHead(b, e)
	if err != nil {
		return b, err
	}
	if b, err = score.AppendCanonical(b, e.Data); err != nil {
		return b, err
	}
	return appendTail(b, e), nil
}

// FormOf returns the form of e with data in the place of e.Data. It is an error if data
// is written in another way than Laurel writes it, apart from the order of members.
func FormOf(e *score.Event, data []byte) ([]byte, error) {
	b, err := appendHead(nil, e)
	if err != nil {
		return nil, err
	}
	canonical, err := score.Canonicalize(data)
	if err != nil {
		return nil, err
	}
	return appendTail(append(b, canonical...), e), nil
}

func appendHead(b []byte, e *score.Event) ([]byte, error) {
	if err := checkComplete(e); err != nil {
		return b, err
	}
	b = appendText(append(b, `{"contest_id":`...), e.ContestID)
	return append(b, `,"data":`...), nil
}

func appendTail(b []byte, e *score.Event) []byte {
	b = appendText(append(b, `,"id":`...), e.ID)
	b = appendText(append(b, `,"key":`...), e.Key)
	b = strconv.AppendUint(append(b, `,"seq":`...), e.Seq, 10)
	b = appendText(append(b, `,"source":`...), e.Source)
	b = e.Time.AppendFormat(append(b, `,"time":"`...), time.RFC3339Nano)
	b = appendText(append(b, `","type":`...), string(e.Type))
	return append(b, '}')
}

// checkComplete returns an error if a member that is signed is missing or cannot be
// written.
func checkComplete(e *score.Event) error {
	missing := ""
	switch {
	case e.Key == "":
		missing = "key"
	case e.ID == "":
		missing = "id"
	case e.Source == "":
		missing = "source"
	case e.Seq == 0:
		missing = "seq"
	case e.Time.IsZero():
		missing = "time"
	}
	if missing != "" {
		return fmt.Errorf("%s is missing; a signed event has an id, a source, a seq and a time", missing)
	}
	// RFC 3339 drops the seconds of an offset: different times would be written alike.
	if _, offset := e.Time.Zone(); offset%60 != 0 {
		return fmt.Errorf("the time's offset of %d s is not a whole minute", offset)
	}
	return nil
}

// appendText appends s as a JSON string. Bytes that are not UTF-8 are replaced.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}

const maxQuoted = 300 // bytes of a form

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
