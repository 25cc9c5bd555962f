package textfmt

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

func TestOneLineLeavesNothingThatATerminalObeys(t *testing.T) {
	for s, want := range map[string]string{
		"Astérix":                "Astérix",
		"\x1b[31mred\x07":        " [31mred ",
		"two\r\nlines\tand":      "two  lines and",
		"\u202egnirts\u2066":     " gnirts ",
		"invalid \xff\u009b31m!": "invalid   31m!",
	} {
		if got := OneLine(s); got != want {
			t.Errorf("%q becomes %q; want %q", s, got, want)
		}
	}
}

func TestEscapeLeavesNothingThatATerminalObeysButLinesAndTabs(t *testing.T) {
	for s, want := range map[string]string{
		"Astérix\tand\nObélix\n":  "Astérix\tand\nObélix\n",
		"\x1b]0;owned\x07\x1b[2J": `\u001b]0;owned\u0007\u001b[2J`,
		"over\rwritten\x7f":       `over\u000dwritten\u007f`,
		"\u009b31m":               `\u009b31m`,
		"a\u202eb\u2066c\u061cd":  `a\u202eb\u2066c\u061cd`,
		"\u200f\u200e":            `\u200f\u200e`,
		"invalid \xff\xc2":        `invalid \ufffd\ufffd`,
		"a zero\u200djoiner":      "a zero\u200djoiner",
	} {
		if got := string(Escape([]byte(s))); got != want {
			t.Errorf("%q becomes %q; want %q", s, got, want)
		}
	}
}

func TestEscapedJSONKeepsItsMeaning(t *testing.T) {
	for r := rune(0); r <= 0x2100; r++ {
		text, err := json.Marshal("a" + string(r) + "b")
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := json.Unmarshal(Escape(text), &got); err != nil || got != "a"+string(r)+"b" {
			t.Errorf("%q becomes %q (%v)", text, got, err)
		}
	}
}

func TestClipCountsCharactersAndMarksWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		s     string
		width int
		want  string
	}{
		{"Obélix", 6, "Obélix"},
		{"Obélix", 5, "Obél…"},
		{"Obélix", 1, "O"},
		{"Obélix", 0, ""},
		{"Obélix", -1, ""},
	} {
		if got := Clip(c.s, c.width); got != c.want {
			t.Errorf("%q in %d is %q; want %q", c.s, c.width, got, c.want)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1: "0"} {
		if got := Thousands(n); got != want {
			t.Errorf("%d is %q; want %q", n, got, want)
		}
	}
}

func TestATableAlignsItsColumnsAndClipsTheWidest(t *testing.T) {
	table := NewTable("RANK", "NAME", "")
	table.Row("1", "Assurancetourix", "x")
	table.Row("12", "Obélix", "")
	want := []string{"RANK  NAME", "1     Assurancetourix  x", "12    Obélix"}
	if got := table.Lines(0); !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
	for width := range 25 {
		for _, line := range table.Lines(width + 1) {
			if utf8.RuneCountInString(line) > width+1 || strings.HasSuffix(line, " ") {
				t.Errorf("width %d: %q", width+1, line)
			}
		}
	}
	if got := table.Lines(20)[1]; got != "1     Assurancet…  x" {
		t.Errorf("got %q", got)
	}
}
