package score

import (
	"reflect"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"laurel/score/fastjson"
	"laurel/score/mark"
	"laurel/score/quote"
)

// write appends the stored form of data, or the canonical form. ok is false if the fast
// writer cannot write it.
func (t *table) write(b []byte, data Data, canonical bool) (_ []byte, ok bool) {
	v := reflect.ValueOf(data)
	if v.IsNil() {
		return b, false
	}
	var clear []string
	if t.partial {
		clear = *data.(partial).cleared()
	}
	for _, name := range clear {
		if !slices.ContainsFunc(t.fields, func(f field) bool { return f.name == name }) {
			return b, false
		}
	}
	w := fastjson.NewWriter(b)
	t.layout.write(&w, v.UnsafePointer(), clear, canonical)
	written, err := w.End()
	return written, err == nil
}

// write writes the members of the struct at d. Those that are cleared are null.
func (l *layout) write(w *fastjson.Writer, d unsafe.Pointer, clear []string, canonical bool) {
	for i := range l.fields {
		f := &l.fields[i]
		if canonical {
			f = &l.fields[l.order[i]]
		}
		zero := f.isZero(d)
		switch {
		case len(clear) > 0 && slices.Contains(clear, f.name), zero && f.required && f.isPointer():
			w.Key(f.key)
			w.B = append(w.B, "null"...)
		case !zero || f.required:
			f.write(w, d, canonical)
		}
	}
}

func (f *field) write(w *fastjson.Writer, d unsafe.Pointer, canonical bool) {
	at := f.at(d)
	w.Key(f.key)
	switch f.kind {
	case text:
		w.Quote(*(*string)(at))
	case number:
		(*(**mark.Decimal)(at)).WriteFast(w)
	case points:
		(*(*mark.Decimal)(at)).WriteFast(w)
	case measure:
		(*(**mark.Measure)(at)).WriteFast(w)
	case totals:
		(*(*Totals)(at)).WriteFast(w, canonical)
	case names:
		list := *(*[]string)(at)
		w.Elements(len(list), func(i int) { w.Quote(list[i]) })
	case flag:
		w.B = strconv.AppendBool(w.B, *(*bool)(at))
	case integer:
		writeInt(w, *(*int)(at), canonical)
	case digits:
		writeInt(w, **(**int)(at), canonical)
	case count:
		n := *(*uint64)(at)
		w.B = strconv.AppendUint(w.B, n, 10)
		if canonical && n > maxSeq {
			w.Fail()
		}
	case moment:
		w.Time(*(*time.Time)(at))
	case list:
		l := f.listAt(d)
		w.Elements(l.Len(), func(i int) {
			w.B = append(w.B, '{')
			f.element.write(w, element(l, i), nil, canonical)
			w.B = append(w.B, '}')
		})
	}
}

// writeInt fails in the canonical form if a JSON reader with 64-bit floats would change n.
func writeInt(w *fastjson.Writer, n int, canonical bool) {
	w.B = strconv.AppendInt(w.B, int64(n), 10)
	if canonical && max(n, -n) > maxSeq {
		w.Fail()
	}
}

// check returns what is wrong with data. Data from a client is put into its stored form;
// stored data must have that form.
func (t *table) check(data Data, stored bool) *Problem {
	d := reflect.ValueOf(data).UnsafePointer()
	c := Checker{}
	for i := range t.fields {
		t.fields[i].check(d, &c, stored)
	}
	if t.partial {
		t.checkCleared(data.(partial), d, &c)
	}
	if t.rules == nil || c.Problem != nil {
		return c.Problem
	}
	ruled := Checker{} // unlike c on the heap
	t.rules(data, &ruled)
	return ruled.Problem
}

func (f *field) check(d unsafe.Pointer, c *Checker, stored bool) {
	switch f.kind {
	case text:
		if s := *(*string)(f.at(d)); f.choices != nil {
			c.OneOf(f.path, s, f.required, f.choices)
		} else if s != "" || f.required {
			c.Text(f.path, s, f.limit, f.required)
		}
	case number:
		if f.required && *(**mark.Decimal)(f.at(d)) == nil {
			c.Fail(f.path, "missing; want a number, 0 included")
		}
	case totals:
		if t := (*Totals)(f.at(d)); *t != nil || f.required {
			f.checkTotals(t, c, stored)
		}
	case names:
		c.Names(f.path, *(*[]string)(f.at(d)), f.limit)
	}
}

func (f *field) checkTotals(t *Totals, c *Checker, stored bool) {
	if f.required && len(*t) == 0 {
		c.Fail(f.path, "missing; want the total of at least one competitor, such as {\"GAU\":2}")
	}
	for _, n := range *t {
		if !plainText(n.Code, f.limit, required) { // build the path only if the name is wrong
			c.Text(f.path+"."+quote.Clip(n.Code), n.Code, f.limit, required)
		}
	}
	switch {
	case !stored:
		t.Sort()
	case !t.Sorted():
		c.Fail(f.path, "is not in the order of its names")
	}
}
