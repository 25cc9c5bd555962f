package score

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score/quote"
)

// A definition may be posted in parts: what it leaves out stays, and null clears. An empty
// text, list or number in its place clears too, and has the same stored form. A comment, a
// reason and what a type requires are of the event alone.

// partial is data that leaves as it is what it does not have.
type partial interface {
	Data
	cleared() *[]string
}

// clearing is what partial data clears.
type clearing struct {
	Clear []string // the members that are null, in the order of the struct
}

func (c *clearing) cleared() *[]string { return &c.Clear }

// Clears reports whether a member is cleared.
func (c *clearing) Clears(member string) bool { return slices.Contains(c.Clear, member) }

// MarshalJSONTo writes the members that d has or clears.
func (d *CompetitionDefine) MarshalJSONTo(e *jsontext.Encoder) error { return writePartial(e, d) }

// MarshalJSONTo writes the members that d has or clears.
func (d *ContestDefine) MarshalJSONTo(e *jsontext.Encoder) error { return writePartial(e, d) }

// MarshalJSONTo writes the members that d has or clears.
func (d *CompetitorDefine) MarshalJSONTo(e *jsontext.Encoder) error { return writePartial(e, d) }

func writePartial(e *jsontext.Encoder, d partial) error {
	v, clear := reflect.ValueOf(d).Elem(), *d.cleared()
	for _, name := range clear {
		if members := memberNames(v.Type()); !slices.Contains(members, name) {
			return fmt.Errorf("cannot clear %q; want one of %s", quote.Clip(name), strings.Join(members, ", "))
		}
	}
	if err := e.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for of, member := range v.Fields() {
		name, options := nameOf(of)
		isCleared := slices.Contains(clear, name)
		if name == "-" || !isCleared && options == "omitzero" && isZero(member) {
			continue
		}
		err := e.WriteToken(jsontext.String(name))
		switch {
		case err != nil:
		case isCleared:
			err = e.WriteToken(jsontext.Null)
		default:
			err = json.MarshalEncode(e, member.Interface())
		}
		if err != nil {
			return err
		}
	}
	return e.WriteToken(jsontext.EndObject)
}

// nameOf returns the name of a member, "-" if it is not in the JSON, and its options.
func nameOf(of reflect.StructField) (name, options string) {
	name, options, _ = strings.Cut(of.Tag.Get("json"), ",")
	return name, options
}

// isZero reports whether a member counts as left out or, if it is given, as cleared.
func isZero(member reflect.Value) bool {
	if t, ok := reflect.TypeAssert[time.Time](member); ok {
		return t.IsZero()
	}
	return member.IsZero()
}

// isOfEvent reports whether a member is of the event alone and not of what it defines.
func isOfEvent(name, options string) bool {
	return name == "-" || name == "comment" || name == "reason" || options != "omitzero"
}

// readCleared finds the members that d clears. text is the JSON from which d was read.
func (t *table) readCleared(text jsontext.Value, d partial) error {
	r := jsontext.NewDecoder(bytes.NewReader(text))
	if _, err := r.ReadToken(); err != nil {
		return err
	}
	given := uint64(0)
	for r.PeekKind() == '"' {
		name, err := r.ReadToken()
		if err != nil {
			return err
		}
		for i := range t.fields {
			if t.fields[i].name == name.String() {
				given |= 1 << i
			}
		}
		if err := r.SkipValue(); err != nil {
			return err
		}
	}
	t.noteCleared(d, reflect.ValueOf(d).UnsafePointer(), given)
	return nil
}

// noteCleared notes what data at d clears, of which the fields in given were read.
func (t *table) noteCleared(data partial, d unsafe.Pointer, given uint64) {
	var clear []string
	for i := range t.fields {
		f := &t.fields[i]
		if given>>i&1 == 0 || f.ofEvent {
			continue
		}
		member := reflect.NewAt(f.of, f.at(d)).Elem()
		if f.isZero(d) || member.Kind() == reflect.Slice && member.Len() == 0 {
			member.SetZero()
			clear = append(clear, f.name)
		}
	}
	*data.cleared() = clear
}

// checkCleared checks what data at d clears, if it was not read from JSON.
func (t *table) checkCleared(data partial, d unsafe.Pointer, c *Checker) {
	clear := *data.cleared()
	if len(clear) == 0 {
		return
	}
	for i := range t.fields {
		f := &t.fields[i]
		if !slices.Contains(clear, f.name) {
			continue
		}
		if f.ofEvent {
			c.Fail(f.path, "cannot be cleared")
		}
		if !f.isZero(d) {
			c.Fail(f.path, "is both given and cleared")
		}
	}
}

// Amend changes into by what d has and clears.
func (d *ContestDefine) Amend(into *ContestDefine) { amend(into, d) }

// amend changes into by what d has and clears.
func amend[D any, P interface {
	*D
	partial
}](into *D, d P) {
	to, clear := reflect.ValueOf(into).Elem(), *d.cleared()
	for of, member := range reflect.ValueOf(d).Elem().Fields() {
		name, options := nameOf(of)
		switch {
		case isOfEvent(name, options):
		case slices.Contains(clear, name):
			to.FieldByIndex(of.Index).SetZero()
		case !isZero(member):
			to.FieldByIndex(of.Index).Set(member)
		}
	}
}
