package textfmt

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

func TestOneLineLeavesNothingThatATerminalObeys(t *testing.T) {
	for s, want := range map[string]string{
		"Astérix":                    "Astérix",
		"\x1b[31mred\x07":            " [31mred ",
		"two\r\nlines\tand":          "two  lines and",
		"\u202egnirts\u2066":         " gnirts ",
		"two\u2028lines\u2029\u206e": "two lines  ",
		"invalid \xff\u009b31m!":     "invalid   31m!",
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
		"a\u2028b\u206fc":         `a\u2028b\u206fc`,
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

func TestWidthCountsCellsOfATerminal(t *testing.T) {
	for s, want := range map[string]int{
		"":             0,
		"Gaul":         4,
		"Obe\u0301lix": 6,
		"日本太郎":         8,
		"한국":           4,
		"ﾃﾆｽ":          3, // half width
		"Ｇａｕｌ":         8, // full width
		"🇬🇧":           2,
		"👩‍👩‍👧":        2,
		"🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f": 2,
		"\u200b": 0,
		"नमस्ते": 4,
		"שלום":   4,
	} {
		if got := Width(s); got != want {
			t.Errorf("%q is %d cells wide; want %d", s, got, want)
		}
	}
}

func TestClipCutsBetweenLettersThatArePeopleSee(t *testing.T) {
	for _, c := range []struct {
		s     string
		width int
		want  string
	}{
		{"日本太郎", 8, "日本太郎"},
		{"日本太郎", 7, "日本太…"},
		{"日本太郎", 6, "日本…"},
		{"日本太郎", 2, "…"},
		{"日本太郎", 1, ""},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
		{"👩‍👩‍👧👩‍👩‍👧", 3, "👩‍👩‍👧…"},
	} {
		if got := Clip(c.s, c.width); got != c.want || Width(got) > c.width {
			t.Errorf("%q in %d is %q; want %q", c.s, c.width, got, c.want)
		}
	}
}

func TestColumnsBehindAnyScriptAreAligned(t *testing.T) {
	table := NewTable("NAME", "MARK")
	names := []string{"Rome", "日本太郎", "Jose\u0301", "👩‍👩‍👧", "\u202eevil runner", "שלום", "ﾃﾆｽ"}
	for _, name := range names {
		table.Row(name, "9.79")
	}
	for width := range 20 {
		lines := table.Lines(width)
		for _, line := range lines {
			before, _, found := strings.Cut(line, "  9.79")
			if width == 0 && !(found || strings.HasSuffix(line, "MARK")) || width > 0 && Width(line) > width {
				t.Errorf("width %d: %q", width, line)
			}
			if width == 0 && found && Width(before) != Width(" evil runner") {
				t.Errorf("the mark in %q is %d cells behind the margin", line, Width(before))
			}
		}
	}
}

func TestATableClipsTheColumnsThatAreNamedFirst(t *testing.T) {
	table := NewTable("CONTEST", "TITLE", "STATUS")
	table.Row("OG50BC/CUR-M-GPA-01", "Gaul - Rome", "RUNNING LIVE, GAU won")
	for width, want := range map[int]string{
		50: "OG50BC/CUR-M-GPA-01  Gau…  RUNNING LIVE, GAU won",
		48: "OG50BC/CUR-M-GPA-01  Gau…  RUNNING LIVE, GAU w…",
	} {
		got := table.Lines(width, "TITLE")[1]
		if got != want && !strings.HasPrefix(got, want[:20]) {
			t.Errorf("in %d cells: %q; want %q", width, got, want)
		}
		if Width(got) > width {
			t.Errorf("%q is wider than %d cells", got, width)
		}
	}
}

func TestTimesOfOneListHaveOneZone(t *testing.T) {
	venue := time.FixedZone("", 9*60*60)
	if got := Time(time.Date(2026, 2, 9, 9, 10, 0, 0, venue)); got != "2026-02-09T00:10:00Z" {
		t.Errorf("got %s", got)
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

func TestAShellWordIsOneWordAndNoFlag(t *testing.T) {
	for s, want := range map[string]string{
		"games.ndjson": "games.ndjson", "my games": "'my games'", "it's": `'it'\''s'`, "-x": "'-x'", "$(boar)": "'$(boar)'",
		"~boar": "'~boar'", "": "''", "a\nb\x1b": "'a b '",
	} {
		if got := ShellWord(s); got != want {
			t.Errorf("%q: got %s; want %s", s, got, want)
		}
	}
}
