package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// step is one load, and what came of it.
type step struct {
	name         string
	posts, reads *tally
	took         time.Duration
	cores        cores
	epochs       uint64  // masters that came to serve meanwhile
	peak         float64 // goodput at the capacity that was found before
}

func (s *step) goodput() float64 { return float64(s.posts.good) / s.took.Seconds() }

// worst is the second with the fewest good answers.
func (s *step) worst() float64 {
	whole := s.posts.slots[:int(s.took/time.Second)]
	if len(whole) == 0 {
		return s.goodput()
	}
	return float64(slices.Min(whole))
}

func (s *step) String() string {
	return strings.Join(slices.Delete(s.row(), 4, 5), "  ") // the peak is not known yet
}

var overloadHead = []string{"load", "offered/s", "no connection free/s", "**goodput/s**", "of the peak", "worst second", "429/s", "503/s", "without Retry-After", "late/s", "never answered",
	"p50 ms", "p99 ms", "reads offered/s", "answered in time/s", "503/s", "late/s", "masters elected", coresHead, "goodput a server-core-second", "generator late by ms"}

func (s *step) row() []string {
	per := func(n int) string { return thousands(float64(n) / s.took.Seconds()) }
	p, r := s.posts, s.reads
	row := []string{s.name, per(p.offered), per(p.offered - p.sent), "**" + thousands(s.goodput()) + "**", fmt.Sprintf("%.2f", s.goodput()/s.peak), thousands(s.worst()),
		per(p.refused[429]), per(p.refused[503]), fmt.Sprint(p.bare + r.bare), per(p.late), fmt.Sprint(p.lost), micros(p.hist.ValueAtQuantile(50)), micros(p.hist.ValueAtQuantile(99))}
	if r.offered > 0 {
		row = append(row, per(r.offered), per(r.good), per(r.refused[503]), per(r.late))
	} else {
		row = append(row, "", "", "", "")
	}
	return append(row, fmt.Sprint(s.epochs), s.cores.String(), thousands(s.goodput()/max(s.cores.servers, 0.01)), millis(max(p.behind, r.behind)))
}

func micros(n int64) string { return millis(time.Duration(n) * time.Microsecond) }

func overloadTable(steps []*step) string {
	var rows [][]string
	for _, s := range steps {
		rows = append(rows, s.row())
	}
	return markdown(overloadHead, rows)
}

// overloadVerdict tells which steps keep what is promised of an overload.
func overloadVerdict(steps []*step) string {
	var b strings.Builder
	for _, s := range steps {
		var broken []string
		if s.goodput() < 0.8*s.peak && float64(s.posts.offered) >= 0.95*s.peak*s.took.Seconds() {
			broken = append(broken, fmt.Sprintf("goodput is %.0f %% of the peak", 100*s.goodput()/s.peak))
		}
		if s.epochs > 0 {
			broken = append(broken, fmt.Sprintf("%d masters were elected", s.epochs))
		}
		if n := s.posts.bare + s.reads.bare; n > 0 {
			broken = append(broken, fmt.Sprintf("%d were refused without Retry-After", n))
		}
		if behind := max(s.posts.behind, s.reads.behind); behind > 250*time.Millisecond {
			broken = append(broken, fmt.Sprintf("void, because the generator was late by %s ms", millis(behind)))
		}
		if len(broken) == 0 {
			broken = []string{"kept"}
		}
		fmt.Fprintf(&b, "%s: %s\n", s.name, strings.Join(broken, "; "))
	}
	return b.String()
}
