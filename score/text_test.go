package score

import (
	"strings"
	"testing"
	"unicode/utf16"
)

const markedAlert = "\uFEFF" + `{"type":"alert","contest_id":"D15/1","data":{"text":"hi"}}`

func TestAByteOrderMarkIsSkipped(t *testing.T) {
	if _, p := Decode([]byte(markedAlert)); p != nil {
		t.Error(p)
	}
	for _, body := range []string{
		markedAlert, markedAlert + "\r\n", "\uFEFF[" + markedAlert[3:] + "]", "\uFEFF\r\n[" + markedAlert[3:] + "]\r\n",
	} {
		if events, p := DecodeArray([]byte(body)); p != nil || len(events) != 1 {
			t.Errorf("%q: %d events, %v", body, len(events), p)
		}
	}
	for line, want := range map[string]string{
		markedAlert + "\r\n": markedAlert[3:],
		"\uFEFF\r\n":         "",
		"\uFEFF":             "",
		" \t{}\r\n":          "{}",
	} {
		if got := TrimLine([]byte(line)); string(got) != want {
			t.Errorf("%q becomes %q; want %q", line, got, want)
		}
	}
	if _, p := Decode([]byte("\uFEFF")); p == nil || !strings.Contains(p.Detail, "empty") {
		t.Errorf("a mark alone: %v", p)
	}
	if _, p := Decode([]byte(`{"type":"alert",` + "\uFEFF" + `"contest_id":"D15/1"}`)); p == nil {
		t.Error("a mark in the middle is taken")
	}
}

// inUTF16 returns a text in UTF-16, of either order of bytes.
func inUTF16(text string, big bool) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(text)) {
		one, two := byte(u), byte(u>>8)
		if big {
			one, two = two, one
		}
		b.WriteByte(one)
		b.WriteByte(two)
	}
	return b.String()
}

func TestTextOfAnotherFormatIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		inUTF16(markedAlert, false):             "UTF-16",
		inUTF16(markedAlert, true):              "UTF-16",
		inUTF16(markedAlert[3:], false):         "UTF-16",
		inUTF16(markedAlert[3:], true):          "UTF-16",
		inUTF16("["+markedAlert[3:]+"]", false): "UTF-16",
		inUTF16("["+markedAlert[3:]+"]", true):  "UTF-16",
		"\x00\x00\xfe\xff\x00\x00\x00{":         "UTF-32",
		"\x1f\x8b\x08\x00\x00":                  "gzip",
		"PK\x03\x04\x14\x00":                    "ZIP",
		"\x28\xb5\x2f\xfd\x04":                  "Zstandard",
		"\xfd7zXZ\x00\x00":                      "xz",
		"BZh91AY":                               "bzip2",
	} {
		for name, decode := range map[string]func([]byte) *Problem{
			"Decode":      func(b []byte) *Problem { _, p := Decode(b); return p },
			"DecodeArray": func(b []byte) *Problem { _, p := DecodeArray(b); return p },
		} {
			p := decode([]byte(text))
			if p == nil || !strings.HasSuffix(p.Detail, "the text is "+want+"; want JSON in UTF-8") {
				t.Errorf("%s of %.8q: %v; want it to name %s", name, text, p, want)
			}
		}
	}
	for _, text := range []string{"{", "[", `{"a":`, "]", "x", "\x00", ""} {
		if _, p := DecodeArray([]byte(text)); p == nil || strings.Contains(p.Detail, "the text is") {
			t.Errorf("%q: %v", text, p)
		}
	}
}
