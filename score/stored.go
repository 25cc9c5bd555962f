package score

import "time"

// Events in a log were decoded by another process, which may be corrupt. The checks below
// are those of Decode for a complete event. They depend on the event alone, so they have
// the same result on every machine, and readers of stored events can rely on the limits
// of all strings and lists.

// Unix times at which the years 0, 1 and 10000 begin.
const (
	year0     = -62167219200
	year1     = -62135596800
	year10000 = 253402300800
)

// CheckEnvelope returns what is wrong with the id, source, seq, time or contest_id of e,
// or nil.
func (e *Event) CheckEnvelope() *Problem {
	c := Checker{}
	c.Text("id", e.ID, MaxID, required)
	c.Path("source", e.Source, MaxID)
	if e.Seq > maxSeq {
		c.Fail("seq", "got %d; the most is %d", e.Seq, uint64(maxSeq))
	}
	if !writable(e.Time) {
		c.Fail("time", "cannot be written in RFC 3339; want a time in the years 1 to 9999 in UTC")
	}
	c.Path("contest_id", e.ContestID, MaxContestID)
	return c.Problem
}

// writable reports whether JSON can hold t as it is: the year is within 1 to 9999 in UTC
// and within 0 to 9999 in t's own zone, whose offset is a whole number of minutes.
func writable(t time.Time) bool {
	_, offset := t.Zone()
	utc := t.Unix()
	local := utc + int64(offset)
	return utc >= year1 && utc < year10000 && local >= year0 && local < year10000 && offset%60 == 0 && !t.IsZero()
}

// ReadData reads stored data into e.Data. It returns nil, or why the data is invalid.
// CheckData checks the rules of the type.
func (e *Event) ReadData(data []byte) *Problem {
	if len(data) > MaxEventBytes {
		return fieldProblem("data", "has %d bytes; the most is %d", len(data), MaxEventBytes)
	}
	if len(data) == 0 || data[0] != '{' {
		return fieldProblem("data", "is not a JSON object")
	}
	if of := dataTypeOf(e.Type); of != nil {
		if e.Data = of.read(data, ""); e.Data != nil {
			return nil
		}
	}
	var p *Problem
	e.Data, p = readData(e.Type, data)
	return p
}

// CheckData returns what Decode would find wrong with e.Data, or nil. Decode sorts
// totals, so totals in another order are wrong too.
func (e *Event) CheckData() *Problem {
	if p := e.Data.kind().check(e.Data, true); p != nil {
		return p
	}
	c := Checker{}
	e.checkContestID(&c)
	return c.Problem
}

// CheckSignature checks what can be checked of the key and signature of e without the
// key. It returns nil if e has neither.
func (e *Event) CheckSignature() *Problem {
	if e.Key == "" && len(e.Signature) == 0 {
		return nil
	}
	c, w := Checker{}, envelope{Source: e.Source, Key: e.Key, Signature: e.Signature}
	if e.IDGiven {
		w.ID = e.ID
	}
	if e.Seq > 0 {
		w.Seq = &e.Seq
	}
	if e.TimeGiven {
		w.Time = &e.Time
	}
	w.checkSignature(&c)
	return c.Problem
}
