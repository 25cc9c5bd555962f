package fastjson

import (
	"encoding/json"
	"testing"
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
