package autopilot_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"laurel/cluster/autopilot"
)

// The worlds of this file are groups in virtual time: a model of Raft's configuration, its
// masters and its commits, with a Pilot at each member, and random deaths, returns, pauses,
// partitions, cut links, slow members, newcomers and changes of the master.

const (
	tick     = time.Second
	patience = 5 * time.Second
	// unrest and rest are the ticks of a world with faults, and of its end without.
	unrest, rest = 700, 300
)

// configEntry is an entry of the log that changes the configuration.
type configEntry struct {
	term    int
	at      time.Time // when it was appended
	servers []autopilot.Server
	removed string // the member that it removes; "" for none
}

// process is a member: its disk, and what it knows while it runs.
type process struct {
	id      string
	up      bool
	paused  bool
	gone    bool // it was removed, and knows it
	slow    bool // it takes no entries
	slowed  time.Time
	started time.Time
	back    time.Time // when it returns; zero if never
	log     []configEntry
	commit  int // entries known to be committed
	term    int
	pilot   *autopilot.Pilot
	heard   map[string]time.Time
	health  autopilot.Health
}

type world struct {
	t       *testing.T
	rand    *rand.Rand
	now     time.Time
	policy  autopilot.Policy
	all     []*process
	cut     map[[2]string]bool
	side    map[string]int // of a partition
	leader  *process
	led     time.Time // when it was elected
	term    int
	data    uint64 // entries of the master's log without those of the configuration
	truth   truth
	answers map[[2]string]bool // who has heard whom in the last poll
	removed []configEntry      // committed removals
	history []string
}

// truth is what the checks know, whatever the members remember.
type truth struct {
	met   map[[2]string]time.Time // when two members were last in contact
	well  time.Time               // since when all voters are well; zero if they are not
	whole int                     // voters when they were last well for the time of stabilisation
	at    time.Time               // when that was
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, rand: rand.New(rand.NewPCG(seed, 19)), now: time.Unix(1e9, 0), cut: map[[2]string]bool{},
		side: map[string]int{}, truth: truth{met: map[[2]string]time.Time{}},
	}
	w.policy = autopilot.Policy{
		CleanUpAfter: time.Duration(30+w.rand.IntN(90)) * time.Second, Stabilize: 10 * time.Second,
		MinVoters: []int{0, 3, 3, 3, 4, 5}[w.rand.IntN(6)],
	}
	first := configEntry{at: w.now}
	for i := range 3 + w.rand.IntN(5) {
		first.servers = append(first.servers, autopilot.Server{ID: fmt.Sprint("v", i), Voter: true})
	}
	for i := range w.rand.IntN(3) {
		first.servers = append(first.servers, autopilot.Server{ID: fmt.Sprint("n", i)})
	}
	for _, s := range first.servers {
		w.start(&process{id: s.ID, log: []configEntry{first}, commit: 1})
	}
	w.truth.whole, w.truth.at = len(voters(first.servers)), w.now
	return w
}

// start starts a process, which remembers nothing but its disk.
func (w *world) start(p *process) {
	p.up, p.paused, p.started, p.back = true, false, w.now, time.Time{}
	p.pilot, p.heard, p.health = autopilot.New(patience), map[string]time.Time{}, autopilot.Health{}
	if !slices.Contains(w.all, p) {
		w.all = append(w.all, p)
	}
}

func voters(servers []autopilot.Server) []string {
	var ids []string
	for _, s := range servers {
		if s.Voter {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

func has(servers []autopilot.Server, id string) bool {
	return slices.ContainsFunc(servers, func(s autopilot.Server) bool { return s.ID == id })
}

func (p *process) runs() bool                  { return p.up && !p.paused && !p.gone }
func (p *process) servers() []autopilot.Server { return p.log[len(p.log)-1].servers }

func (w *world) find(id string) *process {
	i := slices.IndexFunc(w.all, func(p *process) bool { return p.id == id })
	return w.all[i]
}

// reach reports whether two processes reach each other.
func (w *world) reach(a, b *process) bool {
	return a.runs() && b.runs() && (a == b || w.side[a.id] == w.side[b.id] && !w.cut[pair(a, b)])
}

func pair(a, b *process) [2]string { return [2]string{min(a.id, b.id), max(a.id, b.id)} }

// quorum returns the voters of servers that p reaches, and whether they are a majority.
func (w *world) quorum(p *process, servers []autopilot.Server) (reached []string, majority bool) {
	all := voters(servers)
	for _, id := range all {
		if w.reach(p, w.find(id)) {
			reached = append(reached, id)
		}
	}
	return reached, len(reached)*2 > len(all)
}

// elect lets a master that has lost its majority step down, and elects another one.
func (w *world) elect() {
	if l := w.leader; l != nil {
		if _, ok := w.quorum(l, l.servers()); ok && has(l.servers(), l.id) {
			return
		}
		w.leader = nil
	}
	for _, i := range w.rand.Perm(len(w.all)) {
		if c := w.all[i]; c.runs() && slices.Contains(voters(c.servers()), c.id) && w.votes(c) {
			w.lead(c)
			return
		}
	}
}

// lead makes a process the master.
func (w *world) lead(p *process) {
	w.term++
	w.leader, w.led, p.term = p, w.now, w.term
}

// votes reports whether a candidate gets a majority of the voters of its own configuration.
func (w *world) votes(c *process) bool {
	n := 0
	for _, id := range voters(c.servers()) {
		v := w.find(id)
		mine, its := c.log[len(c.log)-1], v.log[len(v.log)-1]
		if w.reach(c, v) && (mine.term > its.term || mine.term == its.term && len(c.log) >= len(v.log)) {
			n++
		}
	}
	return n*2 > len(voters(c.servers()))
}

// replicate sends the master's log to those it reaches, and commits what a majority has.
func (w *world) replicate() {
	l := w.leader
	if l == nil {
		return
	}
	w.data++
	for _, s := range l.servers() {
		if p := w.find(s.ID); w.reach(l, p) && !p.slow {
			p.log, p.term = slices.Clone(l.log), l.term
		}
	}
	n := 0
	all := voters(l.servers())
	for _, id := range all {
		if p := w.find(id); len(p.log) == len(l.log) && p.log[len(p.log)-1].term == l.log[len(l.log)-1].term {
			n++
		}
	}
	if n*2 <= len(all) {
		return
	}
	for _, e := range l.log[l.commit:] {
		again := func(r configEntry) bool { return r.removed == e.removed } // a former master committed it
		if e.removed != "" && !slices.ContainsFunc(w.removed, again) {
			w.checkRemoval(e)
			w.removed = append(w.removed, e)
		}
	}
	for _, p := range w.all {
		if w.reach(l, p) {
			p.commit = max(p.commit, min(len(l.log), len(p.log)))
			p.gone = !has(l.servers(), p.id) // told by the others
		}
	}
	l.commit = len(l.log)
}

// change appends a configuration at the master, if the last one is committed.
func (w *world) change(servers []autopilot.Server, removed string) {
	l := w.leader
	if l != nil && l.commit == len(l.log) {
		l.log = append(slices.Clone(l.log), configEntry{w.term, w.now, servers, removed})
	}
}

// observe lets each process ask the others, and its Pilot judge.
func (w *world) observe() {
	w.answers = map[[2]string]bool{}
	for _, p := range w.all {
		for _, s := range p.servers() {
			if q := w.find(s.ID); q != p && w.reach(p, q) && w.rand.IntN(50) > 0 {
				p.heard[q.id], w.answers[[2]string{p.id, q.id}] = w.now, true
				w.truth.met[[2]string{p.id, q.id}] = w.now
			}
		}
	}
	for _, p := range w.all {
		if !p.runs() {
			continue
		}
		o := autopilot.Observation{
			At: w.now, Servers: p.servers(), Log: w.data,
			Heard: p.heard, Reports: map[string]autopilot.Report{},
		}
		if w.leader == p {
			o.Epoch = uint64(w.term)
		}
		for _, s := range p.servers() {
			q := w.find(s.ID)
			if q != p && !w.answers[[2]string{p.id, q.id}] {
				continue
			}
			r := autopilot.Report{
				Follows: w.leader != nil && w.reach(q, w.leader), Log: w.data, Whole: q.health.Whole,
				Heard: q.heard,
			}
			if q.slow {
				r.Log = 0
			}
			o.Reports[q.id] = r
		}
		p.health = p.pilot.Observe(o, w.policy)
		if w.leader == p && p.health.Remove != "" {
			w.remove(p.health.Remove)
		}
	}
}

// remove removes a member, as the master does it.
func (w *world) remove(id string) {
	l := w.leader
	if l.commit != len(l.log) {
		return
	}
	w.checkDead(id)
	before := l.servers()
	after := slices.DeleteFunc(slices.Clone(before), func(s autopilot.Server) bool { return s.ID == id })
	reached, had := w.quorum(l, before)
	left, has := w.quorum(l, after)
	if had && !has {
		w.fail("removing %s loses the quorum: of %v were reached %v, of %v are %v", id, before, reached, after, left)
	}
	well := slices.DeleteFunc(left, func(id string) bool {
		p := w.find(id)
		return p.slow && w.now.Sub(p.slowed) > patience+2*tick
	})
	if all := voters(after); len(all) < len(voters(before)) && len(well)*2 <= len(all) {
		w.fail("%s is removed, and of %v only %v are well", id, all, well)
	}
	w.change(after, id)
	w.note("%s removes %s of %v", l.id, id, before)
}

func (w *world) note(format string, args ...any) {
	w.history = append(w.history, w.now.Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	for _, line := range w.history {
		w.t.Log(line)
	}
	w.t.Fatalf("%s %s; policy %+v", w.now.Format("15:04:05"), fmt.Sprintf(format, args...), w.policy)
}

// checkDead fails if the master, or somebody who answers it and remembers it, has heard of
// a member lately.
func (w *world) checkDead(id string) {
	l, dead := w.leader, w.find(id)
	known := false
	for _, s := range l.servers() {
		p := w.find(s.ID)
		if p != l && !w.answers[[2]string{l.id, p.id}] {
			continue
		}
		met := w.truth.met[[2]string{p.id, dead.id}]
		known = known || met.After(p.started)
		if met.After(p.started) && w.now.Sub(met) < w.policy.CleanUpAfter {
			w.fail("%s is removed although %s met it %s ago", id, p.id, w.now.Sub(met))
		}
	}
	if !known && w.now.Sub(l.started) < w.policy.CleanUpAfter {
		w.fail("%s removes %s, of whom nobody knows anything", l.id, id)
	}
	if w.now.Sub(w.led) < w.policy.Stabilize {
		w.fail("%s removes %s although it was just elected", l.id, id)
	}
}

// checkRemoval checks a removal that is committed.
func (w *world) checkRemoval(e configEntry) {
	if n := len(w.removed); n > 0 && e.at.Sub(w.removed[n-1].at) < w.policy.Stabilize {
		w.fail("%s and %s were removed within %s", w.removed[n-1].removed, e.removed, e.at.Sub(w.removed[n-1].at))
	}
	before := w.leader.log[len(w.leader.log)-2].servers
	if !slices.Contains(voters(before), e.removed) {
		return
	}
	stay := len(voters(e.servers))
	if w.policy.MinVoters == 0 || stay < w.policy.MinVoters {
		w.fail("%d voters stay without %s", stay, e.removed)
	}
	remembers := func(s autopilot.Server) bool {
		p := w.find(s.ID)
		return w.reach(w.leader, p) && !p.started.After(w.truth.at)
	}
	if stay < w.truth.whole/2+1 && slices.ContainsFunc(e.servers, remembers) {
		w.fail("%d voters stay of %d that were last well together", stay, w.truth.whole)
	}
}

// noteTruth notes when all voters are well.
func (w *world) noteTruth() {
	l := w.leader
	well := l != nil
	if well {
		for _, id := range voters(l.servers()) {
			well = well && w.reach(l, w.find(id)) && !w.find(id).slow
		}
	}
	switch {
	case !well:
		w.truth.well = time.Time{}
	case w.truth.well.IsZero():
		w.truth.well = w.now
	}
	// A Pilot may have seen it a moment earlier, and sees that a member is slow only after patience.
	if well && w.now.Sub(w.truth.well) >= w.policy.Stabilize-patience-2*tick {
		w.truth.whole, w.truth.at = len(voters(l.servers())), w.now
	}
}
