package score

import (
	"slices"
	"strings"

	"laurel/score/fastjson"
)

// A table lists the members of one type of data, once. Reading, writing, the canonical
// form and the checks of single members all follow it. Adding a member means adding a
// struct field and a line in the table (data.go).
type table[D any, P dataPointer[D]] struct {
	fields []field[D] // in the order of the struct, which is the order of the stored form
	sorted []field[D] // in the order of the canonical form
	names  []string   // of fields
	// rules checks what concerns several members; nil if nothing does.
	rules func(d *D, c *Checker)
	// general is true if a member is neither a text, a number nor totals. Such data is
	// read and written by the general JSON code.
	general bool
}

// dataPointer is the pointer to a type of data, which implements Data.
type dataPointer[D any] interface {
	*D
	Data
}

// A field is one member. One of text, number, totals and check is set.
type field[D any] struct {
	name     string
	path     string // of the member in an event, for problems
	required bool   // checked, and written even if it is zero
	limit    int    // bytes of a text, or of each name of totals
	values   []string

	text   func(*D) *string
	number func(*D) **Decimal
	totals func(*D) *Totals
	check  func(*D, *Checker)
}

// dataType is a table without its type parameters.
type dataType interface {
	// empty returns zero data.
	empty() Data
	// read reads b, whose text is s; it makes s if that is empty. It returns nil if b is
	// not simple enough for the fast reader.
	read(b []byte, s string) Data
	// write appends the stored form of d, or the canonical form. ok is false if the fast
	// writer cannot write d.
	write(b []byte, d Data, canonical bool) (_ []byte, ok bool)
	// check returns what is wrong with d. Data from a client is put into its stored form;
	// stored data must have that form.
	check(d Data, stored bool) *Problem
	// members returns the names of all members, and of the required ones.
	members() (all, required []string)
}

func newTable[D any, P dataPointer[D]](rules func(*D, *Checker), fields ...field[D]) *table[D, P] {
	t := &table[D, P]{fields: fields, rules: rules}
	for i := range fields {
		fields[i].path = "data." + fields[i].name
		t.names = append(t.names, fields[i].name)
		t.general = t.general || fields[i].check != nil
	}
	t.sorted = slices.SortedFunc(slices.Values(fields), func(a, b field[D]) int {
		return strings.Compare(a.name, b.name)
	})
	return t
}

func text[D any](name string, required bool, limit int, at func(*D) *string) field[D] {
	return field[D]{name: name, required: required, limit: limit, text: at}
}

// choice is a text that must be one of values.
func choice[D any](name string, required bool, values []string, at func(*D) *string) field[D] {
	return field[D]{name: name, required: required, values: values, text: at}
}

func number[D any](name string, required bool, at func(*D) **Decimal) field[D] {
	return field[D]{name: name, required: required, number: at}
}

func totals[D any](name string, required bool, limit int, at func(*D) *Totals) field[D] {
	return field[D]{name: name, required: required, limit: limit, totals: at}
}

// other is an optional member of another kind.
func other[D any](name string, check func(*D, *Checker)) field[D] {
	return field[D]{name: name, check: check}
}

func (t *table[D, P]) empty() Data { return P(new(D)) }

func (t *table[D, P]) members() (all, required []string) {
	for i := range t.fields {
		f := &t.fields[i]
		all = append(all, f.name)
		if f.required {
			required = append(required, f.name)
		}
	}
	return all, required
}

func (t *table[D, P]) read(b []byte, s string) Data {
	if t.general {
		return nil
	}
	if s == "" {
		s = string(b)
	}
	d := new(D)
	r := fastjson.NewReader(b, s)
	next := 0 // the field after the last one read: stored data is in order
	ok := r.Object(func(name string) bool {
		i := next
		for i < len(t.names) && t.names[i] != name {
			i++
		}
		if i == len(t.names) {
			if i = slices.Index(t.names[:next], name); i < 0 {
				return false
			}
		}
		next = i + 1
		return t.fields[i].read(&r, d)
	})
	if !ok || !r.End() {
		return nil
	}
	return P(d)
}

func (f *field[D]) read(r *fastjson.Reader, d *D) bool {
	switch {
	case f.text != nil:
		return r.Text(f.text(d))
	case f.number != nil:
		n := new(Decimal)
		*f.number(d) = n
		return fastDecimal(r, n)
	}
	return fastTotals(r, f.totals(d))
}

func (t *table[D, P]) write(b []byte, data Data, canonical bool) (_ []byte, ok bool) {
	d := (*D)(data.(P))
	if d == nil || t.general {
		return b, false
	}
	fields := t.fields
	if canonical {
		fields = t.sorted
	}
	w := fastjson.NewWriter(b)
	for i := range fields {
		fields[i].write(&w, d, canonical)
	}
	return w.End()
}

func (f *field[D]) write(w *fastjson.Writer, d *D, canonical bool) {
	switch {
	case f.text != nil:
		if s := *f.text(d); s != "" || f.required {
			w.Text(f.name, s)
		}
	case f.number != nil:
		n := *f.number(d)
		if n != nil {
			fastWriteDecimal(w, f.name, *n)
		}
		if n == nil && f.required || n != nil && canonical && !bounded(*n) {
			w.Fail()
		}
	default:
		n := *f.totals(d)
		if n != nil || f.required {
			fastWriteTotals(w, f.name, n)
		}
		if canonical && !n.canonical() {
			w.Fail()
		}
	}
}

func (t *table[D, P]) check(data Data, stored bool) *Problem {
	d := (*D)(data.(P))
	c := Checker{}
	for i := range t.fields {
		t.fields[i].checkMember(d, &c, stored)
	}
	if t.rules != nil && c.Problem == nil {
		t.rules(d, &c)
	}
	return c.Problem
}

func (f *field[D]) checkMember(d *D, c *Checker, stored bool) {
	switch {
	case f.text != nil && f.values == nil:
		if s := *f.text(d); (s != "" || f.required) && !plainText(s, f.limit, f.required) {
			c.Text(f.path, s, f.limit, f.required)
		}
	case f.text != nil:
		c.OneOf(f.path, *f.text(d), f.required, f.values)
	case f.number != nil:
		if f.required && *f.number(d) == nil {
			c.Fail(f.path, "missing; want a number, 0 included")
		}
	case f.totals != nil:
		if t := f.totals(d); *t != nil || f.required {
			f.checkTotals(t, c, stored)
		}
	default:
		f.check(d, c)
	}
}

func (f *field[D]) checkTotals(t *Totals, c *Checker, stored bool) {
	if f.required && len(*t) == 0 {
		c.Fail(f.path, "missing; want the total of at least one competitor, such as {\"GAU\":2}")
	}
	for _, n := range *t {
		if !plainText(n.Code, f.limit, required) { // build the path only if the name is wrong
			c.Text(f.path+"."+clip(n.Code), n.Code, f.limit, required)
		}
	}
	switch {
	case !stored:
		t.sort()
	case !t.sorted():
		c.Fail(f.path, "is not in the order of its names")
	}
}
