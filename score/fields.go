package score

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/go-json-experiment/json"

	"laurel/score/eventsig"
	"laurel/score/fastjson"
	"laurel/score/mark"
)

// A layout lists the members of a struct that has a form in JSON. Reading, writing, the
// canonical form and the checks of single members all follow it.
type layout struct {
	fields []field // in the order of the struct, which is the order of the stored form
	order  []uint8 // the indexes of fields in the order of the canonical form
	places []uint8 // of the fields in order, plus one
	needed uint64  // the bits of the required fields
}

// A table is the layout of one type of data with what its members do not tell.
type table struct {
	layout
	name Type
	data reflect.Type
	// room is a struct of the data and of what its members point to, for one allocation.
	room reflect.Type
	// as returns a pointer to data as such.
	as func(unsafe.Pointer) Data
	// rules checks what concerns several members, or members of other types than those that
	// field.check knows.
	rules func(d Data, c *Checker)
	// options are those of the general JSON code: only data with times has times read.
	options json.Options
	partial bool // a member that is null or empty is cleared
}

type field struct {
	name     string
	key      string // the name as it is written
	path     string // of the member in an event, for problems
	kind     kind
	offset   uintptr // in the struct
	room     uintptr // the offset of what the member points to, in the room of a table
	required bool    // checked, and written even if it is zero: not omitzero
	limit    int     // bytes of a text, or of each name of totals and lists
	choices  []string
	// identifies means that the member has identifiers; see CheckIdentifiers.
	identifies bool
	ofEvent    bool // of the event alone and not of what it defines
	of         reflect.Type
	element    layout // of a list
}

// kind is the type of a member.
type kind int

const (
	text      kind = 1 + iota // string
	number                    // *Decimal
	points                    // Decimal
	measure                   // *Measure
	totals                    // Totals
	names                     // []string
	flag                      // bool
	integer                   // int
	digits                    // *int
	count                     // uint64
	moment                    // time.Time
	list                      // a slice of structs
	base64                    // []byte
	eventData                 // Data, of an Event
)

var kinds = map[reflect.Type]kind{
	reflect.TypeFor[string]():        text,
	reflect.TypeFor[*mark.Decimal](): number,
	reflect.TypeFor[mark.Decimal]():  points,
	reflect.TypeFor[*mark.Measure](): measure,
	reflect.TypeFor[Totals]():        totals,
	reflect.TypeFor[[]string]():      names,
	reflect.TypeFor[bool]():          flag,
	reflect.TypeFor[int]():           integer,
	reflect.TypeFor[*int]():          digits,
	reflect.TypeFor[uint64]():        count,
	reflect.TypeFor[time.Time]():     moment,
	reflect.TypeFor[[]byte]():        base64,
	reflect.TypeFor[Data]():          eventData,
}

// kindOf returns the kind of a type of members, 0 if there is none.
func kindOf(of reflect.Type) kind {
	switch k := kinds[of]; {
	case k != 0:
		return k
	case of.Kind() == reflect.String:
		return text
	case of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct:
		return list
	}
	return 0
}

// newLayout returns the layout of a struct that is at an offset in another one. base is
// what precedes the names of its members in the paths of problems.
func newLayout(data reflect.Type, offset uintptr, base string) (l layout) {
	for of := range data.Fields() {
		name, options := nameOf(of)
		switch {
		case name == "-":
			continue
		case of.Anonymous:
			l.fields = append(l.fields, newLayout(of.Type, offset+of.Offset, base).fields...)
			continue
		case kindOf(of.Type) == 0:
			panic(fmt.Sprintf("score: no kind of member is a %s", of.Type))
		}
		is := of.Tag.Get("is")
		l.fields = append(l.fields, field{
			name:       name,
			key:        `"` + name + `":`,
			path:       base + name,
			kind:       kindOf(of.Type),
			offset:     offset + of.Offset,
			required:   options != "omitzero",
			limit:      limits[is],
			choices:    choices[is],
			identifies: identifies(of, name),
			ofEvent:    isOfEvent(name, options),
			of:         of.Type,
		})
		if f := &l.fields[len(l.fields)-1]; f.kind == list {
			f.element = newLayout(f.of.Elem(), 0, "")
		}
	}
	for i, f := range l.fields {
		if l.order = append(l.order, uint8(i)); f.required {
			l.needed |= 1 << i
		}
	}
	slices.SortFunc(l.order, func(a, b uint8) int { return strings.Compare(l.fields[a].name, l.fields[b].name) })
	l.places = make([]uint8, len(l.order))
	for place, i := range l.order {
		l.places[i] = uint8(place) + 1
	}
	return l
}

func newTable[D any, P interface {
	*D
	Data
}](name Type, rules func(P, *Checker)) *table {
	t := &table{
		layout:  newLayout(reflect.TypeFor[D](), 0, "data."),
		name:    name,
		data:    reflect.TypeFor[D](),
		as:      func(d unsafe.Pointer) Data { return P(d) },
		options: json.RejectUnknownMembers(true),
		partial: reflect.TypeFor[P]().Implements(reflect.TypeFor[partial]()),
	}
	if rules != nil {
		t.rules = func(d Data, c *Checker) { rules(d.(P), c) }
	}
	if slices.ContainsFunc(t.fields, func(f field) bool { return f.kind == moment }) {
		t.options = json.JoinOptions(t.options, withTimes)
	}
	t.makeRoom()
	return t
}

// fewTotals is the number of totals for which a table has room.
const fewTotals = 2

func (t *table) makeRoom() {
	parts := []reflect.StructField{{Name: "Data", Type: t.data}}
	part := make([]int, len(t.fields)) // of each field; 0 for none
	for i := range t.fields {
		var of reflect.Type
		switch t.fields[i].kind {
		case number:
			of = reflect.TypeFor[mark.Decimal]()
		case measure:
			of = reflect.TypeFor[mark.Measure]()
		case totals:
			of = reflect.TypeFor[[fewTotals]Total]()
		default:
			continue
		}
		part[i] = len(parts)
		parts = append(parts, reflect.StructField{Name: fmt.Sprintf("Room%d", i), Type: of})
	}
	t.room = reflect.StructOf(parts)
	for i := range t.fields {
		t.fields[i].room = t.room.Field(part[i]).Offset
	}
}

// at returns the member of the struct at d. With reflect.Value.Field instead, a stream takes
// 6 % fewer events per second.
func (f *field) at(d unsafe.Pointer) unsafe.Pointer { return unsafe.Add(d, f.offset) }

func (t *table) empty() Data { return t.as(reflect.New(t.data).UnsafePointer()) }

// read reads data from JSON, and notes its members unless m is nil. It returns nil if the
// JSON is not simple enough for the fast reader.
func (t *table) read(r *fastjson.Reader, m *fastjson.Members) Data {
	d := reflect.New(t.room).UnsafePointer()
	given, ok := t.layout.read(r, d, t.partial, m)
	if !ok {
		return nil
	}
	data := t.as(d)
	if t.partial {
		r.Loosen()
		t.noteCleared(data.(partial), d, given)
	}
	return data
}

// read reads the struct at d. given has a bit for each field that was there. A null is
// left to the caller if nulls is set.
func (l *layout) read(
	r *fastjson.Reader, d unsafe.Pointer, nulls bool, m *fastjson.Members,
) (given uint64, ok bool) {
	next := 0 // the field to try first: stored data is in order
	for r.Begin('{'); r.More('}'); next++ {
		from := r.Pos()
		if next = l.readName(r, next); next < 0 {
			return given, false
		}
		f, bit := &l.fields[next], uint64(1)<<next
		if given&bit != 0 || !(nulls && r.Null()) && !f.read(r, d) {
			return given, false
		}
		given |= bit
		if m != nil {
			m.Note(r, next, from, f.required || !f.isZero(d))
		}
	}
	if given&l.needed != l.needed {
		r.Loosen()
	}
	return given, r.Ended()
}

// readName reads the name of a member and returns the index of its field, -1 if it has
// none. It tries next and the fields after it first, and then those that come after next-1
// in the canonical form, in which signed events are posted.
func (l *layout) readName(r *fastjson.Reader, next int) int {
	for i := next; i < min(next+2, len(l.fields)); i++ {
		if r.Skips(l.fields[i].key) {
			return i
		}
	}
	place := 0
	if next > 0 {
		place = int(l.places[next-1])
	}
	for _, i := range l.order[place:min(place+4, len(l.order))] {
		if r.Skips(l.fields[i].key) {
			return int(i)
		}
	}
	var name string
	if !r.Name(&name) {
		return -1
	}
	for i := range l.fields {
		if l.fields[i].name == name {
			return i
		}
	}
	return -1
}

func (f *field) read(r *fastjson.Reader, d unsafe.Pointer) bool {
	at := f.at(d)
	switch f.kind {
	case number:
		n := (*mark.Decimal)(unsafe.Add(d, f.room))
		*(**mark.Decimal)(at) = n
		return n.ReadFast(r)
	case measure:
		m := (*mark.Measure)(unsafe.Add(d, f.room))
		*(**mark.Measure)(at) = m
		return m.ReadFast(r)
	case totals:
		return (*Totals)(at).ReadFast(r, (*[fewTotals]Total)(unsafe.Add(d, f.room))[:0])
	case names:
		return readNames(r, (*[]string)(at))
	case digits:
		n := new(int)
		*(**int)(at) = n
		return r.Int(n)
	case list:
		return f.readList(r, f.listAt(d))
	}
	return f.readPlain(r, at)
}

// readPlain reads a member that points to nothing else of its struct, which may therefore
// be on the stack.
func (f *field) readPlain(r *fastjson.Reader, at unsafe.Pointer) bool {
	switch f.kind {
	case text:
		return r.Text((*string)(at))
	case points:
		return (*mark.Decimal)(at).ReadFast(r)
	case flag:
		return r.Bool((*bool)(at))
	case integer:
		return r.Int((*int)(at))
	case count:
		return r.Count((*uint64)(at))
	case moment:
		return r.Time((*time.Time)(at))
	case base64:
		return r.Base64((*[]byte)(at), 2*eventsig.MaxSize)
	}
	return false
}

func readNames(r *fastjson.Reader, to *[]string) bool {
	*to = []string{}
	for r.Begin('['); r.More(']'); {
		var s string
		if !r.Text(&s) {
			return false
		}
		*to = append(*to, s)
	}
	return r.Ended()
}

// listAt returns the list of structs in the struct at d.
func (f *field) listAt(d unsafe.Pointer) reflect.Value { return reflect.NewAt(f.of, f.at(d)).Elem() }

// element returns an element of a list of structs.
func element(list reflect.Value, i int) unsafe.Pointer { return list.Index(i).Addr().UnsafePointer() }

func (f *field) readList(r *fastjson.Reader, to reflect.Value) bool {
	r.Loosen() // the order of its members was not noted
	to.Set(reflect.MakeSlice(f.of, 0, 0))
	for r.Begin('['); r.More(']'); {
		n := to.Len()
		to.Grow(1)
		to.SetLen(n + 1)
		if _, ok := f.element.read(r, element(to, n), false, nil); !ok {
			return false
		}
	}
	return r.Ended()
}

func (f *field) isPointer() bool { return f.kind == number || f.kind == measure || f.kind == digits }

// isZero reports whether a member counts as left out or, if it is given, as cleared.
func (f *field) isZero(d unsafe.Pointer) bool {
	at := f.at(d)
	switch f.kind {
	case text:
		return *(*string)(at) == ""
	case number, measure, digits:
		return *(*unsafe.Pointer)(at) == nil
	case points:
		return *(*mark.Decimal)(at) == 0
	case totals:
		return *(*Totals)(at) == nil
	case names:
		return *(*[]string)(at) == nil
	case flag:
		return !*(*bool)(at)
	case integer:
		return *(*int)(at) == 0
	case count:
		return *(*uint64)(at) == 0
	case moment:
		return (*time.Time)(at).IsZero()
	case list:
		return f.listAt(d).IsNil()
	}
	return true
}
