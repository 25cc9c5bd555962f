package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (m measurement) String() string {
	s := fmt.Sprintf("%8s /s  p50 %7s ms  p99 %7s ms  cores %s", thousands(m.perSecond), millis(m.p50), millis(m.p99), m.cores)
	if m.beside > 0 {
		s += fmt.Sprintf("  beside %s events/s", thousands(m.beside))
	}
	if len(m.ways) > 0 {
		s += "  " + m.ways.String()
	}
	if m.masters > 0 {
		s += fmt.Sprintf("  (%d new masters)", m.masters)
	}
	if m.retries > 0 {
		s += fmt.Sprintf("  (%d times asked to try again)", m.retries)
	}
	return s
}

type postsRow struct {
	to      string
	posters int
}

type postsCell struct {
	system string
	postsRow
}

// postsTable is the rounds of every cell.
type postsTable struct {
	systems []string
	rows    []postsRow
	rounds  map[postsCell][]measurement
}

// markdown shows the medians of the rounds and, where both were loaded, the ratio of the medians.
func (t *postsTable) markdown() string {
	both := slices.Contains(t.systems, laurelName) && slices.Contains(t.systems, etcdName)
	head := []string{"to", "posters"}
	for _, s := range t.systems {
		head = append(head, s+" events/s (least-most)", "p50 ms", "p99 ms", coresHead)
	}
	if both {
		head = append(head, "laurel : etcd events/s", "laurel : etcd p50")
	}
	var rows [][]string
	for _, r := range t.rows {
		row := []string{r.to, strconv.Itoa(r.posters)}
		for _, s := range t.systems {
			row = append(row, cells(t.rounds[postsCell{s, r}])...)
		}
		if both {
			laurel, etcd := t.rounds[postsCell{laurelName, r}], t.rounds[postsCell{etcdName, r}]
			row = append(row, ratio(laurel, etcd, perSecond), ratio(laurel, etcd, p50))
		}
		rows = append(rows, row)
	}
	return markdown(head, rows)
}

// cells is what a table shows of the rounds of one cell.
func cells(rounds []measurement) []string {
	if len(rounds) == 0 {
		return []string{"", "", "", ""}
	}
	least := slices.MinFunc(rounds, func(a, b measurement) int { return cmp.Compare(a.perSecond, b.perSecond) })
	most := slices.MaxFunc(rounds, func(a, b measurement) int { return cmp.Compare(a.perSecond, b.perSecond) })
	return []string{
		fmt.Sprintf("**%s** (%s-%s)", thousands(median(rounds, perSecond)), thousands(least.perSecond), thousands(most.perSecond)),
		millis(time.Duration(median(rounds, p50))),
		millis(time.Duration(median(rounds, p99))),
		cores{median(rounds, serverCores), median(rounds, ownCores), median(rounds, otherCores)}.String(),
	}
}

func perSecond(m measurement) float64   { return m.perSecond }
func p50(m measurement) float64         { return float64(m.p50) }
func p99(m measurement) float64         { return float64(m.p99) }
func serverCores(m measurement) float64 { return m.cores.servers }
func ownCores(m measurement) float64    { return m.cores.own }
func otherCores(m measurement) float64  { return m.cores.others }

func median[T any](rounds []T, of func(T) float64) float64 {
	if len(rounds) == 0 {
		return 0
	}
	var v []float64
	for _, m := range rounds {
		v = append(v, of(m))
	}
	slices.Sort(v)
	half := len(v) / 2
	if len(v)%2 == 1 {
		return v[half]
	}
	return (v[half-1] + v[half]) / 2
}

func ratio[T any](a, b []T, of func(T) float64) string {
	below := median(b, of)
	if below == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", median(a, of)/below)
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

func millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 10 {
		return strconv.FormatFloat(ms, 'f', 2, 64)
	}
	return strconv.FormatFloat(ms, 'f', 1, 64)
}

// thousands writes a whole number as 12,345.
func thousands(f float64) string {
	s := strconv.FormatFloat(f, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
