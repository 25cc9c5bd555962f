package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/client/verify"
)

// reportTimes reports the median and the 99th percentile of b's iterations of f.
func reportTimes(b *testing.B, f func()) {
	b.Helper()
	var all []time.Duration
	for b.Loop() {
		began := time.Now()
		f()
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkDirectRead times reads that ask four idle frontends on this machine: by the library
// over open connections, and as a command from its start to its end, beside plain ones.
func BenchmarkDirectRead(b *testing.B) {
	needsProcesses(b)
	g := newVouchedGroup(b)
	c := g.client(g.urls()...)
	g.define(c)
	const id = "OG50BC/CUR-1"
	r := verify.New(c, g.policy)
	b.Run("library verified", func(b *testing.B) {
		reportTimes(b, func() {
			if _, err := r.Get(b.Context(), "/v1/scores/"+id, nil); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("library plain", func(b *testing.B) {
		reportTimes(b, func() {
			if _, err := c.Score(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		})
	})
	to := []string{"scores", id, "--to", strings.Join(g.urls(), ",")}
	for name, args := range map[string][]string{
		"command verified": append(slices.Clone(to), "--verify=now", "--policy", g.policyFile), "command plain": to,
	} {
		b.Run(name, func(b *testing.B) {
			reportTimes(b, func() {
				if a := command(b, "laurel", args...); a.code != 0 {
					b.Fatal(a.err)
				}
			})
		})
	}
}
