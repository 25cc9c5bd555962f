// Package textfmt formats text for people: text and single lines that are safe for a
// terminal, tables of a limited width, and numbers.
package textfmt

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// obeyed reports whether a terminal does something at r other than to show it: control
// characters, which begin escape sequences, line and paragraph separators, and changes of
// the writing direction or of the shapes of letters.
func obeyed(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) ||
		r == '\u2028' || r == '\u2029' || '\u206a' <= r && r <= '\u206f'
}

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

// ShellWord returns s, as OneLine does, as one word of a POSIX shell, which is no flag: for
// commands that people are to copy.
func ShellWord(s string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
			strings.ContainsRune("-_.,:/=+@%", r)
	}
	if s != "" && strings.TrimLeftFunc(s, plain) == "" && !strings.HasPrefix(s, "-") {
		return s
	}
	return "'" + strings.ReplaceAll(OneLine(s), "'", `'\''`) + "'"
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

// Width returns the cells of a terminal that s takes: two for a letter of East Asian
// scripts or an emoji, none for a combining mark.
func Width(s string) int {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return uniseg.StringWidth(s)
		}
	}
	return len(s)
}

// Pad returns s with spaces behind it, at least width cells wide.
func Pad(s string, width int) string { return s + strings.Repeat(" ", max(width-Width(s), 0)) }

// Clip returns OneLine of s, shortened to at most width cells. An ellipsis replaces what is
// cut off.
func Clip(s string, width int) string {
	s = OneLine(s)
	if Width(s) <= width {
		return s
	}
	ellipsis := "…"
	if width <= 1 {
		ellipsis = ""
	}
	room := width - Width(ellipsis)
	kept, rest, state := 0, s, -1
	for rest != "" {
		cluster, others, cells, next := uniseg.FirstGraphemeClusterInString(rest, state)
		if room -= cells; room < 0 {
			break
		}
		kept, rest, state = kept+len(cluster), others, next
	}
	return s[:kept] + ellipsis
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

// Time formats a time in UTC as RFC 3339 does: the times of one list have one zone.
func Time(t time.Time) string { return t.UTC().Format(time.RFC3339) }

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

// Drop removes the columns with the given headings, and DropEmpty those of them that have
// only empty cells.
func (t *Table) Drop(headings ...string) {
	t.columns = slices.DeleteFunc(t.columns, func(column []string) bool {
		return slices.Contains(headings, column[0])
	})
}

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

// Lines returns the rows as lines of at most width cells. If the table is wider, the
// columns with the headings in first are clipped, then the widest ones. Width 0 is
// unlimited.
func (t *Table) Lines(width int, first ...string) []string {
	widths, total := t.widths()
	if width <= 0 {
		width = total
	}
	for ; total > width; total-- {
		at := t.widest(widths, first)
		if at < 0 {
			break
		}
		widths[at]--
	}
	lines := make([]string, len(t.columns[0]))
	for row := range lines {
		lines[row] = Clip(strings.TrimRight(t.line(row, widths), " "), width)
	}
	return lines
}

// widest returns the widest column that can be clipped: of those with the headings in
// first, if there is one; -1 if there is none at all.
func (t *Table) widest(widths []int, first []string) int {
	at, preferred := -1, false
	for i, w := range widths {
		p := slices.Contains(first, t.columns[i][0])
		if w > minColumnWidth && (at < 0 || p && !preferred || p == preferred && w > widths[at]) {
			at, preferred = i, p
		}
	}
	return at
}

func (t *Table) widths() (widths []int, total int) {
	widths, total = make([]int, len(t.columns)), -gap
	for i, column := range t.columns {
		for _, c := range column {
			widths[i] = max(widths[i], Width(c))
		}
		total += widths[i] + gap
	}
	return widths, total
}

func (t *Table) line(row int, widths []int) string {
	var b strings.Builder
	for i, column := range t.columns {
		cell := Clip(column[row], widths[i])
		if i < len(t.columns)-1 {
			cell = Pad(cell, widths[i]+gap)
		}
		b.WriteString(cell)
	}
	return b.String()
}
