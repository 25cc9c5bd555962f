package certify

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"laurel/score"
	"laurel/witness"
)

const soon = 3 * witness.SealInterval

func TestAChangedAnswerIsCertifiedWithinThreeIntervals(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		for i := range 8 {
			body := fmt.Sprintf(`{"home":%d}`, i)
			w.change("scores/A/1", body)
			w.change(fmt.Sprintf("scores/A/%d", 2+i), body)
			w.expect(soon, "scores/A/1", body)
			w.expect(soon, fmt.Sprintf("scores/A/%d", 2+i), body)
			w.expect(0, "scores/NO", "")
		}
		w.change("scores/A/1", "")
		w.expect(soon, "scores/A/1", "")
	})
}

func TestCertificatesGoOnWithOneFrontendDownAndMessagesLost(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		r := rand.New(rand.NewPCG(1, 18))
		w.setLost(func(string, string) bool { return r.Float64() < 0.2 })
		w.fronts["f4"].kill()
		up := []string{"f1", "f2", "f3"}
		for i := range 10 {
			body := fmt.Sprint("body ", i)
			w.change("roster", body)
			w.expect(4*soon, "roster", body, up...)
		}
		w.fronts["f4"].start()
		w.expect(4*soon, "roster", "body 9")
	})
}

func TestWhatWasLostIsSentAgain(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		w.change("roster", "1")
		w.expect(soon, "roster", "1")
		var cut atomic.Bool
		cut.Store(true)
		w.setLost(func(string, string) bool { return cut.Load() })
		w.change("roster", "2")
		time.Sleep(witness.SealInterval + 4*latency)
		w.setMaster("") // no other round brings them together
		time.Sleep(5 * time.Second)
		cut.Store(false)
		w.expect(soon, "roster", "2")
	})
}

func TestAnswersThatAreMadeInANewFormatAreSealedOnceThoughNothingHasChanged(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		w.change("roster", "body")
		w.expect(soon, "roster", "body")
		time.Sleep(5 * time.Second)
		entries := func() int {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(w.log)
		}
		before := entries()
		for _, f := range w.fronts {
			f.machine.mu.Lock()
			f.machine.outdated = true
			f.machine.mu.Unlock()
		}
		time.Sleep(5 * time.Second)
		w.expect(0, "roster", "body")
		if n := entries() - before; n != 1 {
			t.Errorf("there are %d new entries in the log", n)
		}
	})
}

func TestCertificatesAreRenewedAndTheLogIsIdleWhileNothingChanges(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		w.change("roster", "body")
		w.expect(soon, "roster", "body")
		time.Sleep(5 * time.Second)
		w.mu.Lock()
		entries := len(w.log)
		clear(w.sent)
		w.mu.Unlock()
		const idle = 10
		for range idle {
			time.Sleep(time.Second)
			w.expect(0, "roster", "body") // not stale
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if n := len(w.log); n != entries {
			t.Errorf("there are %d new entries in the log", n-entries)
		}
		for id, n := range w.sent {
			if n > 3*(idle+1) {
				t.Errorf("%s has sent %d messages to three others in %d s", id, n, idle)
			}
		}
	})
}

func TestARestartedFrontendGoesOnWithWhatItHasSigned(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		for i := range 12 {
			f := w.fronts[fmt.Sprintf("f%d", i%4+1)]
			f.kill()
			body := fmt.Sprint("body ", i)
			w.change("medals/A", body)
			time.Sleep(time.Duration(i) * 100 * time.Millisecond)
			f.start()
			w.expect(4*soon, "medals/A", body)
		}
	})
}

// A frontend that must go back right after a start knows where to.
func TestWhatWasCosignedIsKnownFromTheStart(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		w.change("roster", "1")
		w.expect(soon, "roster", "1")
		f := w.fronts["f2"]
		f.kill()
		want := f.Cosigned()
		f.start()
		if got := f.Cosigned(); got.Size == 0 || got != want {
			t.Errorf("got %v; want %v", got, want)
		}
	})
}

func TestAFrontendWithoutItsStateSignsNothing(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		w.change("medals/A", "1")
		w.expect(soon, "medals/A", "1")
		f := w.fronts["f4"]
		f.kill()
		f.disk.lost = errors.New("it is lost")
		w.mu.Lock()
		w.sent["f4"] = 0
		w.mu.Unlock()
		f.start()
		w.change("medals/A", "2")
		w.expect(2*soon, "medals/A", "2", "f1", "f2", "f3")
		w.mu.Lock()
		if n := w.sent["f4"]; n > 0 {
			t.Errorf("it has sent %d messages", n)
		}
		w.mu.Unlock()
		if err := f.reads("medals/A", "2"); score.CodeOf(err) != score.NotReady {
			t.Errorf("a reader there got %v", err)
		}
	})
}

// checkSaved looks at all messages in all tests.
func TestNothingIsSentWhileItCannotBeSaved(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		w.change("medals/A", "1")
		w.expect(soon, "medals/A", "1")
		f := w.fronts["f2"]
		f.disk.fail(errors.New("the disk is full"))
		w.change("medals/A", "2")
		w.expect(2*soon, "medals/A", "2", "f1", "f3", "f4")
		time.Sleep(2 * witness.MaxAge)
		if err := f.reads("medals/A", "1"); !errors.Is(err, witness.ErrStale) {
			t.Errorf("of what was certified before, a reader got %v", err)
		}
		f.disk.fail(nil)
		w.expect(4*soon, "medals/A", "2")
	})
}

func TestAnotherMasterSeals(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		for i, master := range []string{"f2", "f3", "f1", "f4"} {
			body := fmt.Sprint("body ", i)
			w.change("medals/A", body)
			time.Sleep(300 * time.Millisecond) // before the seal
			w.setMaster(master)
			w.expect(soon+witness.SealInterval, "medals/A", body)
		}
		w.setMaster("")
		w.change("medals/A", "late")
		time.Sleep(2 * witness.SealInterval)
		w.setMaster("f2")
		w.expect(soon, "medals/A", "late")
		time.Sleep(witness.SealInterval) // a round that was sealed late is sealed again at once
		w.setMaster("")
		w.change("medals/A", "unsealed")
		time.Sleep(10 * time.Second)
		body, proof, err := w.fronts["f1"].Prove(t.Context(), "scores/NO")
		r := witness.Reader{Policy: w.policy()}
		if _, _, verified := r.Verify("scores/NO", body, proof, time.Now()); !errors.Is(verified, witness.ErrStale) {
			t.Errorf("without a master who seals the proof is %v, %v", err, verified)
		}
	})
}

func TestALostSealIsHarmless(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		tries := 0
		w.setFails(func(number uint64) error {
			if tries++; tries%3 > 0 {
				return errors.New("not the leader")
			}
			return nil
		})
		for i := range 5 {
			body := fmt.Sprint("body ", i)
			w.change("medals/A", body)
			w.expect(2*soon, "medals/A", body)
		}
		w.append(entry{seal: 1}) // of a master that is late
		w.append(entry{seal: 1 << 40})
		w.change("medals/A", "last")
		w.expect(2*soon, "medals/A", "last")
	})
}

func TestManyChangesAreSealedAtOnce(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		for i := range maxUnsealed {
			w.change(fmt.Sprintf("scores/A/%d", i), "body")
		}
		time.Sleep(witness.SealInterval / 5)
		if w.seals() == 0 {
			t.Error("there is no seal yet")
		}
	})
}

func TestAChangeAfterARestIsSealedAtOnceAndTheNextOneAfterAnInterval(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		w.change("medals/A", "1")
		w.expect(soon, "medals/A", "1")
		time.Sleep(2 * witness.SealInterval)
		before := w.seals()
		w.change("medals/A", "2")
		w.expect(witness.SealInterval/2, "medals/A", "2")
		w.change("medals/A", "3")
		time.Sleep(witness.SealInterval / 4)
		if n := w.seals() - before; n != 1 {
			t.Errorf("%d seals in less than an interval", n)
		}
		w.expect(soon, "medals/A", "3")
	})
}

func TestCertificatesFollowTheRoster(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		w.change("roster", "1")
		w.expect(soon, "roster", "1")
		w.setRoster("f1", "f2", "f3")
		w.change("roster", "2")
		w.expect(2*soon, "roster", "2", "f1", "f2", "f3")
		w.setRoster("f1", "f2", "f3", "f4")
		w.change("roster", "3")
		w.expect(2*soon, "roster", "3")
		for _, id := range []string{"f3", "f4"} { // get other keys
			f := w.fronts[id]
			f.kill()
			f.key, f.disk = keyOf("another "+id), &disk{}
			w.keys[id] = f.key
			w.setRoster("f1", "f2", "f3", "f4")
			f.start()
			w.change("roster", "with another key of "+id)
			w.expect(2*soon, "roster", "with another key of "+id)
		}
	})
}

func TestAnAnswerThatHasChangedIsHeldBackUntilTheNextCertificate(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		f := w.fronts["f2"]
		w.change("scores/A/1", "old")
		w.change("scores/A/2", "other")
		w.expect(soon, "scores/A/1", "old")
		w.change("scores/A/3", "new round")
		w.expect(soon, "scores/A/3", "new round")
		w.expect(0, "scores/A/1", "old") // the present one
		w.change("scores/A/1", "new")
		time.Sleep(2 * latency)
		w.expect(0, "scores/A/1", "old", "f1", "f2", "f3", "f4") // from the proofs of the round
		w.change("scores/A/2", "changed")
		time.Sleep(2 * latency)
		start := time.Now()
		if err := f.reads("scores/A/2", "changed"); err != nil || time.Since(start) < 2*latency {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		w.setMaster("")
		w.change("scores/A/3", "unsealed")
		time.Sleep(2 * latency)
		start = time.Now()
		if err := f.reads("scores/A/3", ""); score.CodeOf(err) != score.NotReady || time.Since(start) != proveTimeout {
			t.Errorf("without another certificate, after %v: %v", time.Since(start), err)
		}
	})
}

func TestAReaderIsToldWhyThereIsNoProof(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		f := w.fronts["f1"]
		if err := f.reads("roster", ""); score.CodeOf(err) != score.NotReady || !strings.Contains(err.Error(), "no round") {
			t.Errorf("before the first certificate: %v", err)
		}
		note, changed, err := f.Checkpoint()
		if score.CodeOf(err) != score.NotReady {
			t.Errorf("the checkpoint is %s, %v", note, err)
		}
		w.change("roster", "body")
		<-changed
		if note, _, err := f.Checkpoint(); err != nil || !strings.HasPrefix(string(note), "laurel/store\n1\n") {
			t.Errorf("the checkpoint is %s", note)
		}
		plain := newWorld(t, 4)
		s := *plain.access()
		s.Settings.Sworn = false
		plain.mu.Lock()
		plain.roster = &s
		plain.mu.Unlock()
		if err := plain.fronts["f1"].reads("roster", ""); score.CodeOf(err) != score.NotFound {
			t.Errorf("of a group that is not sworn: %v", err)
		}
	})
}

// A history that only one frontend has is that of a frontend whose state is wrong.
func TestAFrontendWithAnotherHistoryShowsNothingAndIsNamed(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		w.change("scores/A/1", "1")
		w.expect(soon, "scores/A/1", "1")
		f := w.fronts["f4"]
		w.change("scores/A/1", "2")
		time.Sleep(2 * latency)
		f.machine.mu.Lock()
		f.machine.bodies["scores/A/1"] = "flipped"
		f.machine.mu.Unlock()
		w.expect(2*soon, "scores/A/1", "2", "f1", "f2", "f3")
		time.Sleep(soon)
		if err := f.reads("scores/A/1", "flipped"); score.CodeOf(err) != score.NotReady {
			t.Errorf("a reader got %v", err)
		}
		for id, c := range w.fronts {
			found := c.Verdicts()
			if len(found) != 1 || found[0].Frontend != "f4" || found[0].Fault != witness.Diverged {
				t.Errorf("%s has found %v", id, found)
			}
		}
	})
}

func TestMalformedNotesAreCountedAndRefused(t *testing.T) {
	virtual(t, func(t *testing.T) {
		w := newWorld(t, 4)
		w.change("roster", "1")
		w.expect(soon, "roster", "1")
		f := w.fronts["f1"]
		note, _, _ := f.Checkpoint()
		for _, text := range []string{
			`["junk"]`, `["laurel report 1\nlaurel/store\n9\n"]`, `["` + strings.Repeat("x", 9000) + `"]`,
			`["` + strings.ReplaceAll(strings.ReplaceAll(string(note), "\n1\n", "\n2\n"), "\n", `\n`) + `"]`,
			`[` + strings.Repeat(`"",`, 100) + `""]`,
		} {
			before := refusals(t, f)
			// Nobody else sends by that name, which Deliver does not look up: the next message of a
			// member replaces one that waits.
			if err := f.Deliver("f9", []byte(text)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			time.Sleep(latency)
			if n := refusals(t, f); n != before+1 {
				t.Errorf("%d refused after %.40s", n-before, text)
			}
		}
		for _, text := range []string{`{"a":1}`, `[1]`, `[`, ``} {
			if err := f.Deliver("f2", []byte(text)); err == nil {
				t.Errorf("%s is taken", text)
			}
		}
		w.change("roster", "2")
		w.expect(soon, "roster", "2")
	})
}

func refusals(t *testing.T, f *front) (n int) {
	t.Helper()
	families, err := f.Metrics.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "laurel_notes_refused_total" {
			for _, m := range family.Metric {
				n += int(m.GetCounter().GetValue())
			}
		}
	}
	return n
}
