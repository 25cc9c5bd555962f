package e2e

import (
	"math/rand/v2"
	"testing"
	"time"
)

// killForm is the streams that are posted while frontends and bards are killed, the time
// this takes, and the intervals of the kills.
type killForm struct {
	names            []string
	length           time.Duration
	frontends, bards time.Duration
}

// bardKeeper keeps one bard running for each stream: it restarts those that are killed.
type bardKeeper struct {
	g      *group
	all    []*stream
	bards  []*process
	slow   bool // the bards post slowly
	length time.Duration
	killed int
}

// speed returns the speed at which a bard is to post its stream.
func (s *bardKeeper) speed(of *stream) string {
	if s.slow {
		return of.speed(8 * s.length)
	}
	return of.speed(s.length)
}

// hurry ends the slow time of the bards.
func (s *bardKeeper) hurry() {
	s.slow = false
	for _, b := range s.bards {
		b.Kill()
	}
	s.unfinished()
}

// unfinished restarts the killed bards and lists the streams that are not complete. A
// bard that ends by itself must have posted everything.
func (s *bardKeeper) unfinished() (list []int) {
	t := s.g.t
	t.Helper()
	for i, b := range s.bards {
		switch {
		case !b.Ended():
		case b.killed():
			s.bards[i] = s.g.startBard(s.all[i], rand.N(len(s.g.frontends)), s.speed(s.all[i]))
		case b.State().ExitCode() != 0:
			t.Fatalf("%s gave up with exit code %d:\n%s", b.Name, b.State().ExitCode(), b.output(t))
		default:
			continue
		}
		list = append(list, i)
	}
	return list
}

func (s *bardKeeper) killOne() {
	list := s.unfinished()
	if len(list) == 0 {
		return
	}
	s.bards[list[rand.N(len(list))]].Kill()
	s.killed++
	s.unfinished()
}

func TestNothingIsLostOrDoubledWhileFrontendsAndBardsAreKilled(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	form := byForm(
		killForm{[]string{"curling", "tokyo2020para", "worldcup2026"}, 7 * time.Second, 1200 * time.Millisecond,
			900 * time.Millisecond},
		killForm{allGames[1:], 16 * time.Second, 2 * time.Second, 1500 * time.Millisecond},
		killForm{allGames, 5 * time.Minute, 2 * time.Second, 1500 * time.Millisecond})
	all := load(t, form.names...)
	g := newGroup(t, 3)
	// Until there were enough kills the bards post slowly: on a busy machine a frontend that was
	// killed may be ready only when they would have ended.
	s := &bardKeeper{g: g, all: all, slow: true, length: form.length}
	s.bards = g.startBards(all, s.speed)

	masters, others := 0, 0
	enough := func() bool { return masters >= 2 && others >= 1 && s.killed >= 3 }
	frontendFall, bardFall := time.NewTicker(form.frontends), time.NewTicker(form.bards)
	defer frontendFall.Stop()
	defer bardFall.Stop()
	var calm <-chan time.Time
	overdue := time.After(5*form.length + patience)
	for len(s.unfinished()) > 0 {
		if s.slow && enough() {
			s.hurry()
			calm = time.After(form.length)
		}
		select {
		case <-calm: // else the last bard could be killed again and again before it posts anything
			awaitBards(t, s.bards)
		case <-frontendFall.C:
			// The master every other time; otherwise a random frontend, which may be the
			// master.
			victim := g.frontends[rand.N(len(g.frontends))]
			master := g.master()
			if masters <= others {
				victim = master
			}
			if victim == master {
				masters++
			} else {
				others++
			}
			victim.Kill()
			victim.start().waitReady()
		case <-bardFall.C:
			s.killOne()
		case <-overdue:
			for _, b := range s.bards {
				t.Logf("%s ended: %v", b.Name, b.Ended())
			}
			t.Fatal("the bards do not get to the end")
		}
	}
	t.Logf("killed the master %d times, another frontend %d times, a bard %d times", masters, others, s.killed)
	if !enough() {
		t.Error("too few kills to show anything; the bards ended too soon")
	}
	for _, f := range g.frontends {
		f.waitReady()
	}
	g.expectRevision(sum(all))
	g.expectTruthInEachDatabase(all)
}

// Each frontend is ready only with its vote, so whoever waits for the third may lose the first.
func TestGroupThatIsReadySurvivesTheLossOfItsMasterAtOnce(t *testing.T) {
	for range 3 {
		g := newGroup(t, 3)
		g.frontends[0].Kill()
		for _, f := range g.frontends[1:] {
			f.waitReady()
		}
		g.master()
	}
}
