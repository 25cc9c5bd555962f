package signing

import (
	"bytes"
	"fmt"
	"time"

	"laurel/score"
	"laurel/score/fastjson"
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
	return appendForm(b, e, func(b []byte) ([]byte, error) { return score.AppendCanonical(b, e.Data) })
}

// AppendFormWith appends the form of e. appendData appends the data in the canonical form.
func AppendFormWith(b []byte, e *score.Event, appendData func(b []byte) []byte) ([]byte, error) {
	return appendForm(b, e, func(b []byte) ([]byte, error) { return appendData(b), nil })
}

// FormOf returns the form of e with data in the place of e.Data. It is an error if data
// is written in another way than Laurel writes it, apart from the order of members.
func FormOf(e *score.Event, data []byte) ([]byte, error) {
	canonical, err := score.Canonicalize(data)
	if err != nil {
		return nil, err
	}
	return appendForm(nil, e, func(b []byte) ([]byte, error) { return append(b, canonical...), nil })
}

func appendForm(b []byte, e *score.Event, appendData func(b []byte) ([]byte, error)) ([]byte, error) {
	if err := checkComplete(e); err != nil {
		return b, err
	}
	w := fastjson.NewWriter(b)
	w.Text("contest_id", e.ContestID)
	w.Name("data")
	var err error
	if w.B, err = appendData(w.B); err != nil {
		return w.B, err
	}
	w.Text("id", e.ID)
	w.Text("key", e.Key)
	w.Uint("seq", e.Seq)
	w.Text("source", e.Source)
	w.Name("time")
	w.B = append(e.Time.AppendFormat(append(w.B, '"'), time.RFC3339Nano), '"')
	w.Text("type", string(e.Type))
	return w.End()
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

const maxQuoted = 300 // bytes of a form

// WrongSignature returns the problem of an event whose signature does not verify over
// form.
func WrongSignature(e *score.Event, form []byte) *score.Problem {
	quoted := form
	if len(quoted) > maxQuoted {
		quoted = append(bytes.ToValidUTF8(form[:maxQuoted], nil), "..."...)
	}
	p := score.Problemf(score.Unauthorized,
		"not a signature by the key %s of this event for the store %s; the signature must cover these %d bytes: %s",
		e.Key, e.Lineage, len(form), quoted)
	p.ID, p.Field = e.ID, "signature"
	return p
}

// wrongStore returns the problem of an event that was signed for another store than the
// one with the lineage.
func wrongStore(e *score.Event, lineage string) *score.Problem {
	p := score.Problemf(score.Unauthorized,
		"the event was signed for the store %q, and this is the store %q; sign it for this store", e.Lineage, lineage)
	p.ID, p.Field = e.ID, "lineage"
	return p
}

// Unsignable returns the problem of a signed event that has no form.
func Unsignable(e *score.Event, err error) *score.Problem {
	p := score.Problemf(score.Unauthorized, "the event cannot have been signed: %v", err)
	p.ID = e.ID
	return p
}
