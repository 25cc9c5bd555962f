package certify

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"laurel/score"
)

// newProver returns a certifier with a certified round of n answers.
func newProver(tb testing.TB, n int) *Certifier {
	tb.Helper()
	m := newMachine()
	for i := range n {
		m.apply([]entry{{key: fmt.Sprintf("scores/A/%06d", i), body: fmt.Sprint("body ", i)}})
		m.applied = 0
	}
	m.apply([]entry{{seal: 1}})
	c := &Certifier{Config: Config{Machine: m}}
	c.shown.Store(&publication{
		sealed: m.Sealed(1)[0], note: make([]byte, 700), proofs: &proofs{list: map[string]*proved{}},
	})
	return c
}

func TestAProofThatIsKnownIsCopiedOnly(t *testing.T) {
	c := newProver(t, 1000)
	for _, key := range []string{"scores/A/000007", "scores/A/000999"} {
		if n := testing.AllocsPerRun(100, func() {
			if body, _, err := c.Prove(t.Context(), key); body == nil || err != nil {
				t.Fatalf("%s: %s, %v", key, body, err)
			}
		}); n > 2 {
			t.Errorf("%s: %v allocations", key, n)
		}
	}
}

func TestNoMoreProofsThanTheBoundWaitForACertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newProver(t, 1)
		m := c.Machine.(*machine)
		m.forget()
		m.applied = 0
		m.apply([]entry{{key: "scores/A/000000", body: "changed"}})
		ask := func(after time.Duration) {
			from := time.Now()
			_, _, err := c.Prove(t.Context(), "scores/A/000000")
			if waited := time.Since(from); score.CodeOf(err) != score.NotReady || waited != after {
				t.Errorf("%v after %s; want not_ready after %s", err, waited, after)
			}
		}
		var waiting sync.WaitGroup
		for range maxProveWaits {
			waiting.Go(func() { ask(proveTimeout) })
		}
		synctest.Wait()
		ask(0)
		waiting.Wait()
		ask(proveTimeout)
	})
}

func BenchmarkProve(b *testing.B) {
	const answers = 100_000
	c := newProver(b, answers)
	for _, keys := range []int{100, answers} { // known, and mostly not
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if _, _, err := c.Prove(b.Context(), fmt.Sprintf("scores/A/%06d", i*7919%keys)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
