//go:build spy

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	laurel "laurel/client"
	"laurel/witness"
)

// BenchmarkALyingMaster times what comes of a master with a false result in its state: until
// all others have named and left it and have another master, and until an event that is
// posted then is certified.
func BenchmarkALyingMaster(b *testing.B) {
	needsProcesses(b)
	g := newSpiedGroup(b)
	var left, certified []time.Duration
	for i := 0; b.Loop(); i++ {
		contest := fmt.Sprintf("OG50BC/LIE-%d", i)
		g.lead(g.liar)
		g.begin(contest)
		path := laurel.ScorePath(contest)
		g.readCertified(path, g.settled(path), false)

		g.liar.order(b, map[string]any{"lie": "stay"})
		told := time.Now()
		g.liar.order(b, map[string]any{"lie": "result", "contest_id": contest, "competitor": "ROM", "points": 10})
		g.goal(other, 1)
		g.expectPutOut(witness.Diverged)
		left = append(left, time.Since(told))
		g.goal(other, 1)
		path = laurel.ScorePath(other)
		g.readCertified(path, g.settled(path), false)
		certified = append(certified, time.Since(told))

		g.liar.order(b, map[string]any{"lie": ""})
		g.liar.Kill() // its state is made anew from the log
		g.liar.start()
	}
	for what, times := range map[string][]time.Duration{"left": left, "certified": certified} {
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)/2].Milliseconds()), what+"-p50-ms")
		b.ReportMetric(float64(times[len(times)-1].Milliseconds()), what+"-worst-ms")
	}
}
