package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// attendance is what came out of one cell.
type attendance struct {
	hist      *hdrhistogram.Histogram // microseconds
	mean      time.Duration
	perSecond float64 // reads of all clients
	elsewhere int     // reads that another member answered than the one that was to be asked
}

func newAttendance() attendance {
	return attendance{hist: hdrhistogram.New(1, time.Minute.Microseconds(), 3)}
}

func (a attendance) of(q float64) time.Duration {
	return time.Duration(a.hist.ValueAtQuantile(q)) * time.Microsecond
}

func (a attendance) String() string {
	s := fmt.Sprintf("p50 %6s ms  p90 %6s ms  p99 %6s ms  mean %6s ms  %s reads/s", millis(a.of(50)), millis(a.of(90)), millis(a.of(99)), millis(a.mean), thousands(a.perSecond))
	if a.elsewhere > 0 {
		s += fmt.Sprintf("  (%d answered elsewhere)", a.elsewhere)
	}
	return s
}

type spectatorsRow struct {
	clients int
	show
}

// spectatorsTable is the rounds of every cell.
type spectatorsTable struct {
	rows      []spectatorsRow
	rounds    map[spectatorsRow][]attendance
	roundTrip time.Duration
}

func (t *spectatorsTable) markdown() string {
	var rows [][]string
	for _, r := range t.rows {
		rounds := t.rounds[r]
		row := []string{strconv.Itoa(r.clients), r.system, r.where}
		for _, of := range []func(attendance) float64{
			func(a attendance) float64 { return float64(a.of(50)) }, func(a attendance) float64 { return float64(a.of(90)) },
			func(a attendance) float64 { return float64(a.of(99)) }, func(a attendance) float64 { return float64(a.mean) },
		} {
			row = append(row, millis(time.Duration(median(rounds, of))))
		}
		elsewhere := 0
		for _, a := range rounds {
			elsewhere += a.elsewhere
		}
		rows = append(rows, append(row, thousands(median(rounds, func(a attendance) float64 { return a.perSecond })), strconv.Itoa(elsewhere)))
	}
	return markdown([]string{"clients", "system", "the members are", "p50 ms", "p90 ms", "p99 ms", "mean ms", "reads/s", "answered by another"}, rows)
}
