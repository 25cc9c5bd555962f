package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"laurel/client/verify"
	"laurel/internal/cli"
	"laurel/score"
	"laurel/witness"
)

// TestNoFlippedBitsInAFrontendHaveAReaderAcceptAWrongAnswer flips bits in the memory of one of
// four frontends while a bard posts and readers verify, and starts that frontend again.
func TestNoFlippedBitsInAFrontendHaveAReaderAcceptAWrongAnswer(t *testing.T) {
	needsProcesses(t)
	if runtime.GOOS != "linux" {
		t.Skip("the memory of another process is written by Linux's /proc")
	}
	t.Parallel()
	runs, seed := runsAndSeed(t, byForm(3, 3, 200))
	var g *flippedGroup
	total, reads := map[string]int{}, map[string]int{}
	for s := seed; s < seed+uint64(runs); s++ {
		if g == nil {
			g = newFlippedGroup(t, reads)
		}
		r := rand.New(rand.NewPCG(s, 18))
		kinds, lasts := g.run(r)
		for _, kind := range kinds {
			total[kind]++
		}
		if t.Failed() {
			t.Fatalf("the seed was %d", s)
		}
		if lasts { // two corrupt frontends are more than a group bears
			g.stop()
			g = nil
		}
	}
	t.Logf("seeds %d to %d: %v", seed, seed+uint64(runs)-1, total)
	t.Log(reads)
	if reads["direct"] < 10*runs || reads["certified"] < 10*runs {
		t.Error("too few reads to show anything")
	}
}

// run flips bits in one frontend, looks what comes of it, and has the group whole again. lasts
// is true if something is held against that frontend for longer.
func (g *flippedGroup) run(r *rand.Rand) (kinds []string, lasts bool) {
	g.t.Helper()
	g.choose(r)
	ctx, end := context.WithCancel(g.t.Context())
	defer end()
	clients := g.begin(ctx, r.Uint64())
	flipped, err := g.flip(r)
	if err != nil {
		end()
		clients.Wait()
		skipOrFail(g.t, "the memory of a frontend cannot be changed: %v", err)
	}
	kinds = g.outcome()
	g.t.Logf("%s: %s: %v", g.victim.id, flipped, kinds)
	kinds = append(kinds, g.restart()...)
	g.expectReads("afterwards")
	end()
	clients.Wait()
	g.judge()
	return kinds, !g.whole()
}

// flip flips up to 64 bits at once, or every tenth of a second, while the readers read. Bits
// that nothing comes of at once may be of use later.
func (g *flippedGroup) flip(r *rand.Rand) (what string, err error) {
	m, err := openMemory(g.victim.PID())
	if err != nil {
		return "", err
	}
	defer m.file.Close()
	bits, near, often := 1<<r.IntN(7), r.IntN(2) == 0, r.IntN(2) == 0
	for n := 0; n < 20 && !g.victim.Ended(); n++ {
		if n == 0 || often {
			m.flip(bits, near, r)
		}
		select {
		case <-g.victim.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Sprintf("%d bits, near contests: %t, often: %t, of %d MiB", bits, near, often, m.inUse()>>20), nil
}

// choose chooses whose memory is flipped: the master every other time.
func (g *flippedGroup) choose(r *rand.Rand) {
	g.victim = g.frontends[r.IntN(len(g.frontends))]
	if r.IntN(2) == 0 {
		g.victim = g.master()
	}
	g.honest = slices.DeleteFunc(slices.Clone(g.frontends), func(f *frontend) bool { return f == g.victim })
}

// begin starts the bard and the readers.
func (g *flippedGroup) begin(ctx context.Context, seed uint64) *sync.WaitGroup {
	g.t.Helper()
	var clients sync.WaitGroup
	g.expectReads("before")
	bard, readers := g.client(strings.Split(urls(g.honest), ",")...), g.client(g.urls()...)
	clients.Go(func() {
		r := rand.New(rand.NewPCG(seed, 0))
		for ctx.Err() == nil {
			if err := g.sing(bard, r.IntN(flippedContests), r); err != nil {
				g.t.Errorf("the bard is stuck: %v", err)
				return
			}
			pauseFor(ctx, writePause)
		}
	})
	for i := range 4 {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i+1)))
			for ctx.Err() == nil {
				_ = g.read(ctx, readers, r.IntN(flippedContests), i%2 == 0) // it is counted
				pauseFor(ctx, readPause)
			}
		})
	}
	return &clients
}

// expectReads waits until readers of both kinds accept what the bard posts from now on.
func (g *flippedGroup) expectReads(when string) {
	g.t.Helper()
	g.mu.Lock()
	shown := g.shown
	g.mu.Unlock()
	c := g.client(g.urls()...)
	for i, points := range shown {
		for _, certified := range []bool{false, true} {
			eventually(g.t, when+": what was posted is verified", func() error {
				body, err := g.get(g.t.Context(), c, flippedPath(i), certified)
				if err != nil {
					return err
				}
				if got, err := pointsOf(string(body)); err != nil || got < points {
					return fmt.Errorf("%d points of %d, %v", got, points, err)
				}
				return nil
			})
		}
	}
}

// outcome returns what has come of the flipped frontend, as far as it shows.
func (g *flippedGroup) outcome() (kinds []string) {
	f := g.victim
	switch {
	case !f.Ended():
		kinds = f.differs(g.honest[0])
	case f.State().ExitCode() == cli.ExitGoBack:
		kinds = []string{"went back"}
	default:
		kinds = []string{"crashed"}
	}
	if names := g.putOut(); len(names) > 0 {
		g.t.Log(names)
		kinds = append(kinds, "put out")
	}
	if len(kinds) == 0 {
		kinds = []string{"nothing seen"}
	}
	return kinds
}

// differs compares what a frontend says to readers who do not verify with what another one does.
func (f *frontend) differs(from *frontend) []string {
	impatient := &http.Client{Timeout: impatience}
	defer impatient.CloseIdleConnections()
	for _, q := range questionsOfReaders[:3] { // what does not change
		a, err := impatient.Get(f.url + q)
		if err != nil {
			return []string{"silent"}
		}
		body, err := io.ReadAll(a.Body)
		a.Body.Close()
		want, bad := ask("GET", from.url+q, "")
		switch {
		case err != nil || a.StatusCode == http.StatusServiceUnavailable:
			return []string{"silent"}
		case bad == nil && want.status == http.StatusOK && string(body) != want.body:
			return []string{"another plain answer"}
		}
	}
	return nil
}

// putOut returns who is put out, by whom and why. Honest frontends must not be.
func (g *flippedGroup) putOut() (names []string) {
	g.t.Helper()
	for _, f := range g.honest {
		var s score.Frontends
		eventually(g.t, f.id+", which is honest, answers", func() (err error) {
			s, err = f.status()
			return err
		})
		for _, m := range s.Frontends {
			switch {
			case m.PutOut == nil:
			case m.ID != g.victim.id:
				g.t.Errorf("%s puts %s out, which is honest: %+v", f.id, m.ID, m.PutOut)
			default:
				names = append(names, fmt.Sprintf("%s by %s: %s", m.ID, f.id, m.PutOut.Reason))
			}
		}
	}
	return names
}

// restart starts the flipped frontend again as a service manager does. Only to go back may take
// another start: what was flipped must not leave a disk that an operator has to look after.
func (g *flippedGroup) restart() (kinds []string) {
	g.t.Helper()
	f := g.victim
	f.Kill()
	returned := filepath.Join(f.data, "goback.json")
	if b, err := os.ReadFile(returned); err == nil && !bytes.Contains(b, []byte(`"pending":true`)) {
		_ = os.Remove(returned) // as if an hour had passed since the run before
	}
	for range 3 {
		f.start()
		if err := poll(patience, func() error {
			a, err := ask("GET", f.url+"/readyz", "")
			if f.Ended() || err == nil && a.status == http.StatusOK {
				return nil
			}
			return fmt.Errorf("%d %s, %v", a.status, a.body, err)
		}); err != nil {
			g.t.Errorf("%s is not ready again: %v", f.id, err)
			return kinds
		}
		if !f.Ended() {
			return kinds
		}
		switch code := f.State().ExitCode(); code {
		case cli.ExitGoBack:
			kinds = append(kinds, "went back when it was started again")
		default:
			g.t.Errorf("%s ends with exit code %d when it is started again: %s", f.id, code, lastLines(f.output(g.t)))
		}
	}
	g.t.Errorf("%s does not start again", f.id)
	return kinds
}

// whole waits until all four frontends agree again. It returns false if the one that was flipped
// is put out for longer.
func (g *flippedGroup) whole() bool {
	g.t.Helper()
	lasts := func(held string) bool {
		return strings.HasSuffix(held, string(witness.Convicted)) || strings.HasSuffix(held, string(witness.Split))
	}
	c := verify.New(g.client(g.urls()...), g.policy)
	c.Grace = time.Second
	whole := true
	eventually(g.t, g.victim.id+" agrees again, or is put out for longer", func() error {
		// What is held against it may be found out late, when others hear what it has signed.
		if slices.ContainsFunc(g.putOut(), lasts) || g.t.Failed() {
			whole = false
			return nil
		}
		a, err := c.Get(g.t.Context(), "/v1/scores/OG50BC/CUR-1", nil)
		if err == nil && len(a.Agreed) != len(g.frontends) {
			err = fmt.Errorf("%v agree, %v", a.Agreed, a.Objectors)
		}
		return err
	})
	return whole
}
