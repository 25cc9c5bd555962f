package score

import "time"

// An event in a log was decoded by another process, which may be corrupt. What follows are Decode's
// checks for an event that is complete: they decide by the event alone, so that they come to the same on
// every machine, and a reader of stored events can rely on the bounds of all strings and lists in them.

// The seconds since 1970 at which the years 0, 1 and 10000 begin.
const (
	year0     = -62167219200
	year1     = -62135596800
	year10000 = 253402300800
)

// CheckEnvelope returns what is wrong with the id, source, seq, time and contest_id of e; nil if nothing is.
func (e *Event) CheckEnvelope() *Problem {
	c := Checker{}
	c.Text("id", e.ID, MaxID, required)
	c.Path("source", e.Source, MaxID)
	if e.Seq > maxSeq {
		c.Fail("seq", "got %d; the most is %d", e.Seq, uint64(maxSeq))
	}
	if !writable(e.Time) {
		c.Fail("time", "is none that RFC 3339 can write, in the years 1 to 9999 in UTC")
	}
	c.Path("contest_id", e.ContestID, MaxContestID)
	return c.Problem
}

// writable reports whether JSON can hold t as it is: its year is one of 1 to 9999 in UTC and one of 0 to
// 9999 where it was, which is a whole number of minutes from UTC.
func writable(t time.Time) bool {
	_, offset := t.Zone()
	utc := t.Unix()
	local := utc + int64(offset)
	return utc >= year1 && utc < year10000 && local >= year0 && local < year10000 && offset%60 == 0 && !t.IsZero()
}

// ReadData reads the canonical data of e into e.Data. It returns nil, or why it is invalid; the rules that
// data has to follow are CheckData's.
func (e *Event) ReadData(data []byte) *Problem {
	if len(data) > MaxEventBytes {
		return fieldProblem("data", "has %d bytes; the most is %d", len(data), MaxEventBytes)
	}
	if len(data) == 0 || data[0] != '{' {
		return fieldProblem("data", "is no JSON object")
	}
	d := quickData(e.Type, data)
	if d == nil {
		mk, ok := newData[e.Type]
		if !ok {
			c := Checker{}
			c.OneOf("type", string(e.Type), required, typeNames())
			return c.Problem
		}
		d = mk()
		if p := (&envelope{Data: data}).readData(d); p != nil {
			return p
		}
	}
	e.Data = d
	return nil
}

// CheckData returns what Decode would find wrong with e.Data, which has been read; nil if nothing is.
// Decode puts totals in order, so that others are wrong.
func (e *Event) CheckData() *Problem {
	c := Checker{}
	switch d := e.Data.(type) { // nearly all events, which are called directly so that c stays on the stack
	case *ScorePlay:
		c.ordered("data.result", d.Result)
		c.ordered("data.stats_delta", d.StatsDelta)
		if c.Problem == nil {
			d.check(&c)
		}
		return c.Problem
	case *ResultSet:
		d.check(&c)
		return c.Problem
	case *ContestStatus:
		d.check(&c)
		return c.Problem
	}
	return e.checkRarer()
}

func (e *Event) checkRarer() *Problem {
	c := Checker{}
	if d, ok := e.Data.(*ScoreSet); ok {
		c.ordered("data.result", d.Result)
	}
	if c.Problem == nil {
		e.Data.check(&c)
	}
	if c.Problem == nil {
		checkConsistency(e, &c)
	}
	return c.Problem
}

func (c *Checker) ordered(field string, t Totals) {
	for i := 1; i < len(t); i++ {
		if t[i-1].Code >= t[i].Code {
			c.Fail(field, "is not in the order of its names")
			return
		}
	}
}

// CheckSignature returns what can be said against the key and the signature of e without the key; nil if
// there is nothing, or e has neither.
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
	w.checkSigned(&c)
	return c.Problem
}
