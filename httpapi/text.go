package httpapi

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"

	"laurel/internal/textfmt"
)

const typeText = "text/plain; charset=utf-8"

// wantsText tells whether the client would rather have text/plain than JSON. To get text it must be named: */* is JSON.
func wantsText(r *http.Request) bool {
	var text, other float64
	for _, list := range r.Header.Values("Accept") {
		for one := range strings.SplitSeq(list, ",") {
			kind, params, _ := strings.Cut(one, ";")
			switch strings.ToLower(strings.TrimSpace(kind)) {
			case "text/plain", "text/*":
				text = max(text, weight(params))
			case typeJSON, "application/*", "*/*":
				other = max(other, weight(params))
			}
		}
	}
	return text > 0 && text >= other
}

// weight is the q of an entry of Accept, 1 where there is none that can be read.
func weight(params string) float64 {
	for one := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(one, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && q >= 0 && q <= 1 {
				return q
			}
		}
	}
	return 1
}

// table lines cells up under their headings.
type table struct{ w *tabwriter.Writer }

func newTable(b *bytes.Buffer, headings ...string) table {
	t := table{tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)}
	t.row(headings...)
	return t
}

func (t table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = plain(c)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// end writes the table out. A buffer takes everything.
func (t table) end() { _ = t.w.Flush() }

// plain returns s on one line, without anything that a terminal would obey.
func plain(s string) string { return textfmt.OneLine(s) }

// joinWords joins those that are not empty.
func joinWords(separator string, words ...string) string {
	var all []string
	for _, w := range words {
		if w != "" {
			all = append(all, w)
		}
	}
	return strings.Join(all, separator)
}

func nextText(b *bytes.Buffer, next string) {
	if next != "" {
		fmt.Fprintf(b, "\nmore: ?after=%s\n", next)
	}
}
