package score

import (
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unsafe"

	"golang.org/x/text/unicode/norm"
)

// Two identifiers that look alike in one script must be the same: " 42", "42" with an
// invisible character, and both forms of "José". So identifiers are in Unicode's
// normalization form C, and have neither invisible characters nor blanks that cannot be
// counted. Letters of other scripts that look alike are not judged.
//
// What this means depends on the version of Unicode. So an event is checked where it
// arrives and where the master takes it, but not when it is applied: frontends of different
// versions must apply it alike.

// CheckIdentifiers returns what is wrong with the identifiers in the event, whose data must
// have been checked, or nil.
func (e *Event) CheckIdentifiers() *Problem {
	c := Checker{}
	c.identifier("id", e.ID)
	t := dataTypeOf(e.Data.eventType())
	d := reflect.ValueOf(e.Data).UnsafePointer()
	for i := range t.fields {
		if f := &t.fields[i]; f.identifies {
			f.checkIdentifiers(d, &c)
		}
	}
	return c.Problem
}

// identifying are the tags of members that identify something, with the exceptions.
var (
	identifying    = []string{"id", "contest_id", "code", "period"}
	notIdentifying = []string{"clock", "action"}
)

// identifies reports whether a member of a struct has identifiers, or has structs with
// such members.
func identifies(f reflect.StructField, name string) bool {
	if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct && f.Type != reflect.TypeFor[Totals]() {
		return true
	}
	return slices.Contains(identifying, f.Tag.Get("is")) && !slices.Contains(notIdentifying, name)
}

func (f *field) checkIdentifiers(d unsafe.Pointer, c *Checker) {
	switch f.kind {
	case text:
		c.identifier(f.path, *(*string)(f.at(d)))
	case totals:
		for _, n := range *(*Totals)(f.at(d)) {
			c.identifier(f.path, n.Code)
		}
	case names:
		for _, s := range *(*[]string)(f.at(d)) {
			c.identifier(f.path, s)
		}
	case list:
		c.identifiersIn(f, f.listAt(d))
	}
}

// identifiersIn checks the identifiers in a list of structs.
func (c *Checker) identifiersIn(f *field, list reflect.Value) {
	for i := range list.Len() {
		one := Checker{}
		for j := range f.element.fields {
			if of := &f.element.fields[j]; of.identifies {
				of.checkIdentifiers(element(list, i), &one)
			}
		}
		c.adopt(&one, f.path, i)
	}
}

// identifier checks an identifier, which may be missing.
func (c *Checker) identifier(field, s string) {
	if plainIdentifier(s) || c.Problem != nil {
		return
	}
	for _, r := range s {
		switch {
		case invisible(r):
			c.Fail(field, "has %U, which cannot be seen: %+q", r, s)
		case r != ' ' && unicode.IsSpace(r):
			c.Fail(field, "has the blank %U, which looks like U+0020: %+q", r, s)
		}
	}
	switch nfc := norm.NFC.String(s); {
	case s != strings.TrimSpace(s):
		c.Fail(field, "has a blank at an end: %q; want %q", s, strings.TrimSpace(s))
	case strings.Contains(s, "  "):
		c.Fail(field, "has two blanks in a row: %q; want one", s)
	case s != nfc:
		c.Fail(field, "is not in Unicode's normalization form C: got %+q; want %+q", s, nfc)
	}
}

// plainIdentifier reports whether s is ASCII with nothing wrong, as nearly all are.
func plainIdentifier(s string) bool {
	blank := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == ' ' && blank {
			return false
		}
		blank = s[i] == ' '
	}
	return s == "" || !blank
}

// invisible reports whether a character, which is no control character, shows nothing.
func invisible(r rune) bool {
	const braillePatternBlank = '\u2800'
	return r == braillePatternBlank || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
