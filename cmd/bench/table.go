package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// table is the rounds of every cell of an experiment, with one program.
type table[K comparable] map[K][]figures

// column is one column: its head, and how it shows the rounds of a cell.
type column[K comparable] struct {
	head string
	cell func(t table[K], k K) string
}

// add adds a measurement of a cell with a program and shows it with the heads of the
// columns. What is foreign counts for all programs.
func (x *experiment[E, K]) add(k K, program int, f figures) string {
	for p, t := range x.tables {
		if p == program || x.foreign(k) {
			t[k] = append(t[k], f)
		}
	}
	one := table[K]{k: {f}}
	var parts []string
	for _, column := range x.columns {
		if s := strings.ReplaceAll(column.cell(one, k), "**", ""); s != "" {
			s, _, _ = strings.Cut(s, " (")
			parts = append(parts, column.head+" "+s)
		}
	}
	return strings.Join(parts, "  ")
}

// row returns the labels of the row of a cell with a program.
func (x *experiment[E, K]) row(k K, program int) []string {
	l := x.labels(k)
	switch {
	case len(x.programs) == 1:
		return l
	case x.foreign(k):
		return append(l, "")
	}
	return append(l, x.programs[program])
}

func (x *experiment[E, K]) markdown() string {
	heads, several := slices.Clone(x.heads), len(x.programs) > 1
	if several {
		heads = append(heads, "program")
	}
	for _, column := range x.columns {
		heads = append(heads, column.head)
	}
	if several {
		heads = append(heads, "median of the ratios to "+x.programs[0])
	}
	var rows [][]string
	for _, k := range x.cells {
		for p, t := range x.tables {
			if len(t[k]) == 0 || p > 0 && x.foreign(k) {
				continue
			}
			row := x.row(k, p)
			for _, column := range x.columns {
				row = append(row, column.cell(t, k))
			}
			if several {
				row = append(row, x.ratio(k, p))
			}
			rows = append(rows, row)
		}
	}
	return markdown(heads, rows)
}

// ratio returns the median of the ratios of the compared figure, to that of the first
// program in the same round.
func (x *experiment[E, K]) ratio(k K, program int) string {
	if program == 0 {
		return ""
	}
	name := cmp.Or(x.compared, perSecond)
	var ratios []figures
	for i, f := range x.tables[program][k] {
		if below := x.tables[0][k][i][name]; below != 0 {
			ratios = append(ratios, figures{name: f[name] / below})
		}
	}
	if v, ok := median(ratios, name); ok {
		return twoDigits(v)
	}
	return ""
}

// median returns the median of a figure over the rounds that have it.
func median(rounds []figures, name string) (float64, bool) {
	var v []float64
	for _, f := range rounds {
		if x, ok := f[name]; ok {
			v = append(v, x)
		}
	}
	if len(v) == 0 {
		return 0, false
	}
	slices.Sort(v)
	half := len(v) / 2
	if len(v)%2 == 1 {
		return v[half], true
	}
	return (v[half-1] + v[half]) / 2, true
}

func (t table[K]) extremes(k K, name string) (least, most float64) {
	var v []float64
	for _, f := range t[k] {
		v = append(v, f[name])
	}
	return slices.Min(v), slices.Max(v)
}

func (t table[K]) sum(k K, name string) (sum float64) {
	for _, f := range t[k] {
		sum += f[name]
	}
	return sum
}

// medianOf is a column with the median of a figure.
func medianOf[K comparable](head, name string, format func(float64) string) column[K] {
	return column[K]{head, func(t table[K], k K) string {
		if v, ok := median(t[k], name); ok {
			return format(v)
		}
		return ""
	}}
}

// spreadOf is a column with the median of a figure, the least and the most.
func spreadOf[K comparable](head, name string, format func(float64) string) column[K] {
	return column[K]{head + " (least-most)", func(t table[K], k K) string {
		v, ok := median(t[k], name)
		if !ok {
			return ""
		}
		least, most := t.extremes(k, name)
		return fmt.Sprintf("**%s** (%s-%s)", format(v), format(least), format(most))
	}}
}

// mostOf is a column with the greatest value of a figure.
func mostOf[K comparable](head, name string, format func(float64) string) column[K] {
	return column[K]{head, func(t table[K], k K) string {
		_, most := t.extremes(k, name)
		return format(most)
	}}
}

// sumOf is a column with the sum of a figure.
func sumOf[K comparable](head, name string) column[K] {
	return column[K]{head, func(t table[K], k K) string { return thousands(t.sum(k, name)) }}
}

// ratioTo is a column with the ratio of the medians of a figure, to those of another
// cell.
func ratioTo[K comparable](head, name string, other func(K) (K, bool)) column[K] {
	return column[K]{head, func(t table[K], k K) string {
		o, ok := other(k)
		if !ok {
			return ""
		}
		above, has := median(t[k], name)
		below, hasOther := median(t[o], name)
		if !has || !hasOther || below == 0 {
			return ""
		}
		return twoDigits(above / below)
	}}
}

// coresOf is a column with the processor use of the servers, the generator and all
// others.
func coresOf[K comparable]() column[K] {
	return column[K]{"cores: servers + generator + others", func(t table[K], k K) string {
		var parts []string
		for _, name := range []string{serverCPU, ownCPU, otherCPU} {
			v, ok := median(t[k], name)
			if !ok {
				return ""
			}
			parts = append(parts, twoDigits(v))
		}
		return strings.Join(parts, " + ")
	}}
}

// answersOf is a column with the ways in which Laurel answered the reads, the commonest
// first.
func answersOf[K comparable]() column[K] {
	return column[K]{"answered by", func(t table[K], k K) string {
		sums := map[string]float64{}
		for _, f := range t[k] {
			for name, v := range f {
				if how, ok := strings.CutPrefix(name, answeredBy); ok && v != 0 {
					sums[how] += v
				}
			}
		}
		var parts []string
		for _, how := range slices.SortedFunc(maps.Keys(sums), func(a, b string) int { return cmp.Compare(sums[b], sums[a]) }) {
			parts = append(parts, how+" "+thousands(sums[how]))
		}
		if n := t.sum(k, elections); n > 0 {
			parts = append(parts, fmt.Sprintf("%g masters elected", n))
		}
		return strings.Join(parts, ", ")
	}}
}

// loadColumns are the columns of an experiment that measures a rate and latencies.
func loadColumns[K comparable](what string) []column[K] {
	return []column[K]{
		spreadOf[K](what, perSecond, thousands),
		medianOf[K]("p50 ms", p50, millis),
		medianOf[K]("p99 ms", p99, millis),
		coresOf[K](),
	}
}

// eventColumns are those of an experiment that writes.
func eventColumns[K comparable]() []column[K] {
	return append(loadColumns[K]("events/s"), medianOf[K]("servers, µs an event", cost, oneDigit))
}

func markdown(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	line(slices.Repeat([]string{"---"}, len(head)))
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

// millis formats nanoseconds as milliseconds.
func millis(ns float64) string {
	ms := ns / float64(time.Millisecond)
	if ms < 10 {
		return strconv.FormatFloat(ms, 'f', 2, 64)
	}
	return strconv.FormatFloat(ms, 'f', 1, 64)
}

// thousands formats a whole number as 12,345.
func thousands(f float64) string {
	s := strconv.FormatFloat(f, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func oneDigit(f float64) string  { return strconv.FormatFloat(f, 'f', 1, 64) }
func twoDigits(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }
