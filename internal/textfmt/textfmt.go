// Package textfmt formats text for people: text and single lines that are safe for a
// terminal, tables of a limited width, and numbers.
package textfmt

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// obeyed reports whether a terminal does something at r other than to show it: control
// characters, which begin escape sequences, and changes of the writing direction.
func obeyed(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// OneLine replaces everything in s that a terminal obeys by spaces, line breaks too. Names
// come from anybody.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if obeyed(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

// Escape returns text, of one line or many, in which everything else that a terminal obeys
// is written as in JSON, such as \u001b. So text that is JSON keeps its meaning.
func Escape(text []byte) []byte {
	escaped := func(r rune) bool { return obeyed(r) && r != '\n' && r != '\t' || r == utf8.RuneError }
	if bytes.IndexFunc(text, escaped) < 0 {
		return text
	}
	safe := make([]byte, 0, len(text)+64)
	for _, r := range string(text) {
		if escaped(r) {
			safe = fmt.Appendf(safe, `\u%04x`, r)
		} else {
			safe = utf8.AppendRune(safe, r)
		}
	}
	return safe
}

// Clip returns OneLine of s, shortened to at most width characters. An ellipsis replaces
// what is cut off.
func Clip(s string, width int) string {
	runes := []rune(OneLine(s))
	switch {
	case len(runes) <= width:
		return string(runes)
	case width <= 1:
		return string(runes[:max(width, 0)])
	}
	return string(runes[:width-1]) + "…"
}

// Join joins the words that are not empty.
func Join(separator string, words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), separator)
}

// Rank formats a rank as 12, or =12 if it is shared, or "" if there is none.
func Rank(rank int, shared bool) string {
	switch {
	case rank == 0:
		return ""
	case shared:
		return "=" + strconv.Itoa(rank)
	}
	return strconv.Itoa(rank)
}

// Thousands formats n with commas between groups of three digits.
func Thousands[N ~int | ~int64 | ~uint64](n N) string {
	s := strconv.FormatUint(uint64(max(n, 0)), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Table aligns cells under their headings.
type Table struct {
	columns [][]string
}

// NewTable returns a table with the given headings.
func NewTable(headings ...string) *Table {
	t := new(Table)
	for _, h := range headings {
		t.columns = append(t.columns, []string{h})
	}
	return t
}

// Row appends a row. It has as many cells as there are headings, formatted by fmt.Sprint.
func (t *Table) Row(cells ...any) {
	for i, c := range cells {
		t.columns[i] = append(t.columns[i], OneLine(fmt.Sprint(c)))
	}
}

const (
	gap            = 2 // spaces between two columns
	minColumnWidth = 4 // narrower columns are not clipped
)

// DropEmpty removes those of the columns with the given headings that have only empty
// cells.
func (t *Table) DropEmpty(headings ...string) {
	t.columns = slices.DeleteFunc(t.columns, func(column []string) bool {
		return slices.Contains(headings, column[0]) && strings.Join(column[1:], "") == ""
	})
}

// Write writes the rows to b as lines of any width.
func (t *Table) Write(b *bytes.Buffer) {
	widths, _ := t.widths()
	for row := range t.columns[0] {
		b.WriteString(t.line(row, widths) + "\n")
	}
}

// Lines returns the rows as lines of at most width characters. If the table is wider, the
// widest columns are clipped. Width 0 is unlimited.
func (t *Table) Lines(width int) []string {
	widths, total := t.widths()
	if width <= 0 {
		width = total
	}
	for ; total > width && slices.Max(widths) > minColumnWidth; total-- {
		widths[slices.Index(widths, slices.Max(widths))]--
	}
	lines := make([]string, len(t.columns[0]))
	for row := range lines {
		lines[row] = Clip(strings.TrimRight(t.line(row, widths), " "), width)
	}
	return lines
}

func (t *Table) widths() (widths []int, total int) {
	widths, total = make([]int, len(t.columns)), -gap
	for i, column := range t.columns {
		for _, c := range column {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
		total += widths[i] + gap
	}
	return widths, total
}

func (t *Table) line(row int, widths []int) string {
	var b strings.Builder
	for i, column := range t.columns {
		cell := Clip(column[row], widths[i])
		b.WriteString(cell)
		if i < len(t.columns)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap))
		}
	}
	return b.String()
}
