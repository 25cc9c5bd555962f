package main

import (
	"strings"
	"testing"
	"time"
)

func TestTheTableShowsMediansAndTheirRatio(t *testing.T) {
	row := postsRow{toMaster, 64}
	rounds := func(perSecond ...float64) (list []measurement) {
		for _, f := range perSecond {
			list = append(list, measurement{perSecond: f, p50: time.Duration(f) * time.Microsecond, p99: 12 * time.Millisecond})
		}
		return list
	}
	table := postsTable{systems: []string{laurelName, etcdName}, rows: []postsRow{row}, rounds: map[postsCell][]measurement{
		{laurelName, row}: rounds(30000, 10000, 20000),
		{etcdName, row}:   rounds(7000, 9000),
	}}
	got := table.markdown()
	for _, want := range []string{"| master | 64 | **20,000** (10,000-30,000) | 20.0 | 12.0 |", "| **8,000** (7,000-9,000) | 8.00 |", "| 2.50 | 2.50 |\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestASlowAckOutsideTheMeasuredTimeIsNotCounted(t *testing.T) {
	now := time.Now()
	m := newMeter(now, now.Add(time.Second))
	m.record(now.Add(-time.Second), now.Add(-time.Millisecond))
	m.record(now, now.Add(2*time.Second))
	m.record(now.Add(-time.Second), now.Add(time.Millisecond))
	m.record(now.Add(-2*time.Hour), now.Add(time.Millisecond))
	if n := m.hist.TotalCount(); n != 2 {
		t.Errorf("%d counted; want 2", n)
	}
}

func TestOptionsThatWouldRunForTooLongAreRefused(t *testing.T) {
	for _, args := range []string{"posts --rounds 1000", "posts --posters 1,100000", "stream --streams 0", "posts --to slave", "posts --systems redis",
		"posts --duration 1h", "fresh --count 0", "fresh --write-rate 0", "reads --targets varnish", "reads --writes all", "reads --connections 0",
		"reads --wrk /nowhere/wrk", "pushcost --posters 0", "failover --times 10000", "hang --pause 1h", "memory --window 0", "posts --dir /proc/nowhere"} {
		c := command()
		c.SetArgs(strings.Fields(args))
		if err := c.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%s: taken", args)
		}
	}
}
