package score

import (
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score/fastjson"
)

// Nearly every event is a play, a mark or a status in plain JSON, which package fastjson
// reads. Where it succeeds, the general decoder must too, with the same result;
// FuzzFastRead compares the two.

// UnmarshalData reads the stored form of data. It checks the JSON, but not the rules of
// Decode.
func UnmarshalData(t Type, b []byte) (Data, error) {
	of := dataTypeOf(t)
	if of == nil {
		return nil, &UnknownTypeError{t}
	}
	if d := of.read(b, ""); d != nil {
		return d, nil
	}
	return unmarshalGeneral(of, b)
}

func unmarshalGeneral(of dataType, b []byte) (Data, error) {
	d := of.empty()
	if err := json.Unmarshal(b, d, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	return d, nil
}

// fastEvent reads an event. It reads the data last, because the type may come after it.
func fastEvent(b []byte, s string) (w envelope, d Data, ok bool) {
	r := fastjson.NewReader(b, s)
	var from, to int
	ok = r.Object(func(name string) bool {
		switch name {
		case "id":
			return r.Text(&w.ID)
		case "source":
			return r.Text(&w.Source)
		case "seq":
			w.Seq = new(uint64)
			return r.Count(w.Seq)
		case "type":
			return r.Text((*string)(&w.Type))
		case "time":
			w.Time = new(time.Time)
			return r.Time(w.Time)
		case "contest_id":
			return r.Text(&w.ContestID)
		case "key":
			return r.Text(&w.Key)
		case "signature":
			return r.Base64(&w.Signature, 2*MaxSignature)
		case "data":
			from = r.Pos()
			ok := r.Skip()
			to = r.Pos()
			return ok
		}
		return false
	})
	if !ok || !r.End() {
		return w, nil, false
	}
	if of := dataTypeOf(w.Type); of != nil {
		d = of.read(b[from:to], s[from:to])
	}
	return w, d, d != nil
}

func fastDecimal(r *fastjson.Reader, to *Decimal) bool {
	v, err := ParseDecimal(r.Number())
	*to = v
	return err == nil
}

func fastTotals(r *fastjson.Reader, to *Totals) bool {
	return r.Object(func(name string) bool {
		if *to == nil {
			*to = make(Totals, 0, 2)
		}
		var v Decimal
		ok := fastDecimal(r, &v)
		*to = append(*to, Total{name, v})
		return ok
	})
}
