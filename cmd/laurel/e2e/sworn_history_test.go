package e2e

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"laurel/client/verify"
	"laurel/score"
)

// TestNoFaultHasAnHonestFrontendPutOut kills, pauses and cuts off frontends of a sworn group, of
// which none lies, while bards post and readers verify.
func TestNoFaultHasAnHonestFrontendPutOut(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	if !inOwnNetwork() && ranInOwnNetwork(t) {
		return
	}
	cuts := newSlowNetwork(t)
	eachSeed(t, func(t *testing.T, seed uint64) { swornHistory(t, cuts, seed) })
}

func swornHistory(t *testing.T, cuts *network, seed uint64) {
	if cuts != nil {
		cuts.t = t
	}
	g := vouch(swear(&group{t: t, dir: t.TempDir(), logs: logs(t), env: []string{soon}, cuts: cuts}))
	h := newHistory()
	g.beginDirect(h)
	for i := range directContests {
		g.expectCertified("scores/"+directContest(i), g.frontends...)
	}
	n := newNemesis(g.group, h, seed)
	n.size, n.token = len(g.frontends), g.cli(0, g.key, "access", "grant", "desk", "--role", "operator")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	for i := range directWriters {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		clients.Go(func() { g.writeDirect(ctx, h, i, r, true) })
	}
	for i := range directReaders {
		reader := verify.New(g.client(g.urls()...), g.policy)
		reader.Timeout = impatience
		r := rand.New(rand.NewPCG(seed, uint64(100+i)))
		clients.Go(func() { readDirect(ctx, h, reader, r) })
	}
	c := g.startCertified(ctx, &clients, h, seed, g.urls())
	from := h.now()
	n.run(byForm(4*time.Second, 12*time.Second, longHistory))
	to := h.now()
	n.heal()
	h.awaitEnough(t, 20, 0)
	stop()
	clients.Wait()
	for i := range directContests {
		g.expectCertified("scores/"+directContest(i), g.frontends...)
	}
	g.endDirect(h, g.frontends[0])
	if err := c.check(h.known); err != nil {
		t.Error(err)
	}
	g.expectNobodyPutOut()
	post, _ := gap(h.posted, from, to)
	t.Logf("%d events acked, %d direct and %d certified reads; longest %.1f s without an acked event; %v; %v",
		len(h.posted), len(h.read), len(c.all), post, n.tally(g.transfers(t)), h.counts)
}

// expectNobodyPutOut wants no frontend to have put another one out at any time, nor to have gone
// back itself.
func (g *vouchedGroup) expectNobodyPutOut() {
	g.t.Helper()
	for _, f := range g.frontends {
		var s score.Frontends
		eventually(g.t, f.id+" answers", func() (err error) {
			s, err = f.status()
			return err
		})
		for _, m := range s.Frontends {
			if m.PutOut != nil {
				g.t.Errorf("%s puts %s out: it %s", f.id, m.ID, m.PutOut.Text)
			}
		}
		for _, name := range []string{"putout.json", "evidence", "goback.json"} {
			if b, err := os.ReadFile(filepath.Join(f.data, name)); !errors.Is(err, fs.ErrNotExist) && string(b) != "[]" {
				g.t.Errorf("%s has a file %s: %s, %v", f.id, name, b, err)
			}
		}
		b, err := os.ReadFile(filepath.Join(g.logs, f.id+".log"))
		if err != nil {
			g.t.Error(err)
		}
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, "a frontend is put out") {
				g.t.Errorf("%s has logged %s", f.id, line)
			}
		}
	}
}
