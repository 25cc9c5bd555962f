package textfmt

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
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
