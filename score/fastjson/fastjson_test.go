package fastjson

import (
	"encoding/json"
	"strings"
	"testing"
	"unsafe"
)

// read reads an object of strings.
func read(text string) (members map[string]string, ok bool) {
	r := NewReader(text)
	members = map[string]string{}
	for r.Begin('{'); r.More('}'); {
		var name, value string
		if !r.Name(&name) || !r.Text(&value) {
			return members, false
		}
		members[name] = value
	}
	return members, r.Ended() && r.End()
}

func TestPlainObjectsAreRead(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                         `{}`,
		` { "a" : "b" , "c" : "" } `: `{"a":"b","c":""}`,
		`{"a":"Astérix"}`:            `{"a":"Astérix"}`,
	} {
		members, ok := read(text)
		if b, err := json.Marshal(members); err != nil || !ok || string(b) != want {
			t.Errorf("%s is read as %s, %t", text, b, ok)
		}
	}
}

// What is not plain is left to the general decoder, whether it is valid or not.
func TestTheReaderFailsOnAnythingElse(t *testing.T) {
	for _, text := range []string{
		``, `{`, `{"a"`, `{"a":`, `{"a":"b"`, `{"a":"b"}x`, `{"a":"b",}`, `{"a":"b" "c":"d"}`, `[]`, `"a"`, `null`,
		`{"a":"\u0041"}`, `{"\u0041":"b"}`, "{\"a\":\"\n\"}", "{\"a\":\"\xff\"}", `{"a":1}`,
		`{"a":null}`,
	} {
		if members, ok := read(text); ok {
			t.Errorf("%s is read as %v", text, members)
		}
	}
}

func TestWriterQuotesAndFails(t *testing.T) {
	w := NewWriter([]byte("before"))
	w.Text("a", "Astérix")
	w.Text("b", "\"\\\n")
	b, err := w.End()
	if want := `before{"a":"Astérix","b":"\"\\\n"}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v; want %s", b, err, want)
	}
	w = NewWriter(nil)
	w.Text("a", "\xff")
	if _, err := w.End(); err == nil {
		t.Error("a string that is not UTF-8 was written")
	}
}

// A string that is kept does not hold a long text in memory.
func TestStringsOfALongTextAreCopied(t *testing.T) {
	for _, c := range []struct {
		length int
		shares bool
	}{{maxShared, true}, {maxShared + 1, false}} {
		text := `{"a":"b"` + strings.Repeat(" ", c.length-len(`{"a":"b"}`)) + `}`
		members, ok := read(text)
		if !ok || members["a"] != "b" {
			t.Fatalf("a text of %d bytes is read as %v", c.length, members)
		}
		shares := unsafe.StringData(members["a"]) == unsafe.StringData(text[len(`{"a":"`):])
		if shares != c.shares {
			t.Errorf("the string of a text of %d bytes shares its memory: %t", c.length, shares)
		}
	}
}

func TestDecimalsAreReadExactly(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-0": 0, "3": 3000, "-1.5": -1500, "9.58": 9580, "0.005": 5, "999999999999.999": 999_999_999_999_999,
	} {
		r := NewReader(text)
		if got, ok := r.Decimal(); !ok || got != want || !r.End() {
			t.Errorf("%s is read as %d, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "-", ".5", "1.", "01", "-01", "1.2345", "1000000000000", "--1", "+1", "1e3"} {
		r := NewReader(text)
		if got, ok := r.Decimal(); ok && r.End() {
			t.Errorf("%s is read as %d", text, got)
		}
	}
}

// The first special byte is found wherever it is among others.
func TestSpecialBytesAreFound(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			s := strings.Repeat("a~ ", 8)[:at] + string([]byte{byte(c)}) + "\"\x00\xff!#[]"
			want := at
			if !special[c] {
				want++
			}
			if got := plainLen(s); got != want {
				t.Fatalf("%q has %d plain bytes; want %d", s, got, want)
			}
		}
	}
}
