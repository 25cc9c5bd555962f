package ranking

import (
	"iter"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score/fastjson"
)

// Categories is a set of categories of a competitor: their names in order, each with a
// zero byte behind it. So it is comparable, and boards can share it.
type Categories string

const categoryEnd = "\x00"

// NewCategories returns the set of the names that are not empty.
func NewCategories(names ...string) (c Categories) {
	if len(names) == 1 && names[0] != "" {
		return Categories(names[0] + categoryEnd) // as of nearly every mark
	}
	names = slices.Sorted(slices.Values(names))
	for _, name := range slices.Compact(names) {
		if name != "" {
			c += Categories(name + categoryEnd)
		}
	}
	return c
}

// All returns the names in order.
func (c Categories) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range strings.SplitAfterSeq(string(c), categoryEnd) {
			if name != "" && !yield(strings.TrimSuffix(name, categoryEnd)) {
				return
			}
		}
	}
}

// Len returns the number of categories.
func (c Categories) Len() int { return strings.Count(string(c), categoryEnd) }

// Has reports whether a category is in the set.
func (c Categories) Has(name string) bool {
	for rest := string(c); rest != ""; {
		var first string
		if first, rest, _ = strings.Cut(rest, categoryEnd); first == name {
			return true
		}
	}
	return false
}

// With returns the set with all categories of another one.
func (c Categories) With(other Categories) Categories {
	switch {
	case c == "" || c == other:
		return other
	case other == "":
		return c
	}
	return NewCategories(slices.AppendSeq(slices.Collect(c.All()), other.All())...)
}

// String returns the names separated by commas.
func (c Categories) String() string { return strings.Join(slices.Collect(c.All()), ", ") }

// MarshalJSONTo writes a JSON array of the names.
func (c Categories) MarshalJSONTo(e *jsontext.Encoder) error {
	return json.MarshalEncode(e, append([]string{}, slices.Collect(c.All())...))
}

// UnmarshalJSONFrom reads a JSON array of names.
func (c *Categories) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var names []string
	err := json.UnmarshalDecode(d, &names)
	*c = NewCategories(names...)
	return err
}

// writeTo writes a member with the names, unless there are none.
func (c Categories) writeTo(w *fastjson.Writer, member string) {
	if c == "" {
		return
	}
	w.Name(member)
	w.B = append(w.B, '[')
	for name := range c.All() {
		if w.B[len(w.B)-1] != '[' {
			w.B = append(w.B, ',')
		}
		w.Quote(name)
	}
	w.B = append(w.B, ']')
}
