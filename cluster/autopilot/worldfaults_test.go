package autopilot_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"laurel/cluster/autopilot"
)

// upset lets something happen.
func (w *world) upset() {
	p := w.all[w.rand.IntN(len(w.all))]
	switch w.rand.IntN(16) {
	case 0, 1: // a death, for good or not
		if p.runs() {
			p.up = false
			if w.rand.IntN(3) > 0 {
				p.back = w.now.Add(time.Duration(w.rand.IntN(200)) * tick)
			}
			w.note("%s dies", p.id)
		}
	case 2: // a restart
		if p.runs() {
			w.start(p)
			w.note("%s restarts", p.id)
		}
	case 3: // a pause: it runs on with what it knew
		if p.runs() {
			p.paused, p.back = true, w.now.Add(time.Duration(w.rand.IntN(300))*tick)
			w.note("%s is paused", p.id)
		}
	case 4: // a partition
		for _, q := range w.all {
			w.side[q.id] = w.rand.IntN(2)
		}
		w.note("partition %v", w.side)
	case 5, 6: // its end
		clear(w.side)
	case 7, 8: // a link is cut
		if q := w.all[w.rand.IntN(len(w.all))]; q != p {
			w.cut[pair(p, q)] = true
		}
	case 9, 10: // all links are mended
		clear(w.cut)
	case 11:
		if !p.slow {
			p.slow, p.slowed = true, w.now
		}
	case 12:
		for _, q := range w.all {
			q.slow = false
		}
	case 13: // another master
		if l := w.leader; l != nil && w.reach(l, p) && slices.Contains(voters(l.servers()), p.id) && w.votes(p) {
			w.lead(p)
			w.note("%s is the master", p.id)
		}
	case 14: // a newcomer
		if l := w.leader; l != nil && len(l.servers()) < 9 && l.commit == len(l.log) {
			id := fmt.Sprint("x", len(w.all))
			w.start(&process{id: id, log: slices.Clone(l.log), commit: l.commit})
			w.change(append(slices.Clone(l.servers()), autopilot.Server{ID: id}), "")
		}
	case 15: // a vote for a non-voter that answers
		if l := w.leader; l != nil && l.commit == len(l.log) && w.reach(l, p) && !p.slow {
			servers := slices.Clone(l.servers())
			if i := slices.IndexFunc(servers, func(s autopilot.Server) bool { return s.ID == p.id }); i >= 0 {
				servers[i].Voter = true
				w.change(servers, "")
			}
		}
	}
}

// returns brings back who is to return.
func (w *world) returns() {
	for _, p := range w.all {
		if p.gone || p.back.IsZero() || w.now.Before(p.back) {
			continue
		}
		if p.paused {
			p.paused, p.back = false, time.Time{}
			continue
		}
		w.start(p)
		w.note("%s returns", p.id)
	}
}

func (w *world) step() {
	w.now = w.now.Add(tick)
	w.returns()
	w.elect()
	w.replicate()
	w.noteTruth()
	w.observe()
}

// play plays a world. In its end nothing happens any more, and who is dead stays so.
func (w *world) play() {
	for range unrest {
		if w.rand.IntN(12) == 0 {
			w.upset()
		}
		w.step()
	}
	clear(w.side)
	clear(w.cut)
	for _, p := range w.all {
		p.slow = false
	}
	for range rest {
		w.step()
	}
	if w.leader == nil {
		return // the majority is lost, and not by a removal
	}
	for _, s := range w.leader.servers() {
		if p := w.find(s.ID); !s.Voter && !p.up && p.back.IsZero() {
			w.fail("the dead non-voter %s is still there", s.ID)
		}
	}
}

func TestInNoWorldDoesAutopilotEndangerTheGroup(t *testing.T) {
	worlds := 100
	if os.Getenv("LAUREL_LONG") != "" {
		worlds = 1_000
	}
	removals, ofVoters, masters, lost := 0, 0, 0, 0
	for seed := range worlds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			w := newWorld(t, uint64(seed))
			w.play()
			removals += len(w.removed)
			masters += w.term
			for _, e := range w.removed {
				if e.removed[0] == 'v' {
					ofVoters++
				}
			}
			if w.leader == nil {
				lost++
			}
		})
	}
	t.Logf("%d worlds: %d removals, %d of them of first voters, %d masters; %d worlds ended without a master",
		worlds, removals, ofVoters, masters, lost)
	if removals < worlds/2 || ofVoters < worlds/10 {
		t.Error("too little happens in these worlds")
	}
}
