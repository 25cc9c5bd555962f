package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// nemesis injects faults into a group of three, or a sworn one of four: never two of the
// same kind at once, but faults of different kinds together. Its seed determines the kind,
// victim and duration of each fault. Frontends are started and killed by the test's own
// goroutine alone.
type nemesis struct {
	g       *group
	cuts    *network // nil: there are none
	size    int      // the number of permanent frontends; one more joins and leaves
	token   string   // of an operator, in a sworn group: there nobody joins, and no mode is set
	rand    *rand.Rand
	h       *history
	done    map[string]int
	undo    map[kindOfFault]repair // the repairs of active faults
	joiner  *frontend              // the fourth, from its start to its end
	joined  int
	removed bool          // the joiner has to leave
	slowFor time.Duration // total time of slow links
	copies  bool          // only faults with copies of directories, one after the other; see copied
	asking  sync.WaitGroup
}

type kindOfFault int

const (
	ofProcess kindOfFault = iota
	ofNetwork
	ofLink
	ofMode
	ofMembers
	ofMaster
	kindsOfFault
)

type repair struct {
	at time.Time
	do func()
}

// members is the number of permanent frontends of a group that is not sworn.
const members = 3

// The time between two faults, and the duration of a fault.
const (
	calm        = 100 * time.Millisecond
	restless    = 900 * time.Millisecond
	shortest    = 100 * time.Millisecond
	longest     = 5 * time.Second
	masterQuery = 500 * time.Millisecond
)

func newNemesis(g *group, h *history, seed uint64) *nemesis {
	return &nemesis{g: g, cuts: g.cuts, size: members, h: h, rand: rand.New(rand.NewPCG(seed, 0)),
		done: map[string]int{}, undo: map[kindOfFault]repair{}}
}

func (n *nemesis) between(least, most time.Duration) time.Duration {
	return least + time.Duration(n.rand.Int64N(int64(most-least)))
}

// run injects faults for d and then repairs them. Requests to the group may still be
// under way.
func (n *nemesis) run(d time.Duration) {
	n.g.t.Helper()
	end := time.Now().Add(d)
	next := time.Now().Add(n.between(calm, restless))
	for now := time.Now(); now.Before(end); now = time.Now() {
		wake := next
		for kind := range kindsOfFault {
			r, there := n.undo[kind]
			switch {
			case there && !now.Before(r.at):
				delete(n.undo, kind)
				r.do()
			case there && r.at.Before(wake):
				wake = r.at
			}
		}
		if !now.Before(next) {
			n.injectFault()
			next = time.Now().Add(n.between(calm, restless))
			continue
		}
		<-time.After(min(time.Until(wake), time.Until(end)))
	}
	for kind := range kindsOfFault {
		if r, there := n.undo[kind]; there {
			r.do()
		}
	}
	clear(n.undo)
	n.asking.Wait()
}

// injectFault injects the next fault, unless one of its kind is active.
func (n *nemesis) injectFault() {
	kind := []kindOfFault{ofProcess, ofProcess, ofProcess, ofNetwork, ofNetwork, ofNetwork, ofLink, ofLink,
		ofMode, ofMembers, ofMaster, ofMaster}[n.rand.IntN(12)]
	lasts := n.between(shortest, longest)
	if n.copies {
		kind = []kindOfFault{ofProcess, ofProcess, ofProcess, ofMode, ofMaster}[n.rand.IntN(5)]
		lasts += time.Second // the others hear what the victim holds
	}
	if _, busy := n.undo[kind]; busy || kind == ofNetwork && n.cuts == nil || kind == ofLink && !n.slows() ||
		n.token != "" && (kind == ofMode || kind == ofMembers) {
		return
	}
	master, victim := n.master(), n.rand.IntN(n.size)
	if n.rand.IntN(2) == 0 && master >= 0 {
		victim = master
	}
	who := "another"
	if victim == master {
		who = "the master"
	}
	var what string
	var undo func()
	switch kind {
	case ofProcess:
		what, undo = n.process(n.g.frontends[victim], who)
	case ofNetwork:
		what, undo = n.cut(victim, who)
	case ofLink:
		what, undo = n.slow(victim, who)
	case ofMode:
		what, undo = "pull", func() { n.mode(score.Push, patient) }
		n.mode(score.Pull, once)
	case ofMembers:
		what, undo = n.member()
	case ofMaster:
		what = "transfer"
		to := n.g.frontends[n.rand.IntN(n.size)]
		n.ask("transfer", "POST", "/v1/cluster/transfer", fmt.Sprintf(`{"to":%q}`, to.id), once)
	}
	if what == "" {
		return
	}
	n.done[what]++
	n.g.t.Logf("%8.3f s: %s; f%d is the master; the victim is f%d for %.1f s", time.Since(n.h.began).Seconds(), what,
		master+1, victim+1, lasts.Seconds())
	if undo != nil {
		n.undo[kind] = repair{time.Now().Add(lasts), undo}
	}
}

// process kills or pauses a frontend.
func (n *nemesis) process(f *frontend, who string) (what string, undo func()) {
	switch {
	case n.died(f):
		return "", nil
	case n.copies:
		return n.copied(f, who)
	}
	if n.rand.IntN(2) == 0 {
		f.Kill()
		return "kill " + who, func() { f.start() }
	}
	f.signal(n.g.t, syscall.SIGSTOP)
	return "stop " + who, func() { f.signal(n.g.t, syscall.SIGCONT) }
}

// died fails the test for a frontend that ended without being killed.
func (n *nemesis) died(f *frontend) bool {
	if !f.Ended() {
		return false
	}
	n.g.t.Errorf("%s ended by itself with exit code %d:\n%s", f.id, f.State().ExitCode(), lastLines(f.output(n.g.t)))
	f.start()
	return true
}

func lastLines(s string) string {
	lines := strings.SplitAfter(s, "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "")
}

// cut drops packets: those from a frontend to all others, those to it, both, or those of
// one pair in one direction or both.
func (n *nemesis) cut(victim int, who string) (what string, undo func()) {
	other := (victim + 1 + n.rand.IntN(n.size-1)) % n.size
	type way struct{ from, to int }
	var ways []way
	switch n.rand.IntN(5) {
	case 0:
		what, ways = "cut between "+who+" and one", []way{{victim, other}, {other, victim}}
	case 1:
		what, ways = "cut from "+who+" to one", []way{{victim, other}}
	default:
		from, to := n.rand.IntN(3) > 0, n.rand.IntN(3) > 0
		if !from && !to {
			from, to = true, true
		}
		for i := range n.cuts.sites {
			if from {
				ways = append(ways, way{victim, i})
			}
			if to {
				ways = append(ways, way{i, victim})
			}
		}
		switch {
		case from && to:
			what = "cut off " + who
		case from:
			what = "nothing from " + who
		default:
			what = "nothing to " + who
		}
	}
	for _, w := range ways {
		n.cuts.cut(w.from, w.to)
	}
	return what, func() {
		for _, w := range ways {
			n.cuts.join(w.from, w.to)
		}
	}
}

// slows reports whether links can be slow.
func (n *nemesis) slows() bool { return n.cuts != nil && n.cuts.lines != nil }

// The rates of slow links, from a bad mobile connection to a bad office. The transfer of
// a large snapshot takes longer than any link is slow, so that it happens at both paces.
const (
	leastRate = 100 << 10 // bytes per second
	mostRate  = 4 << 20
	leastLag  = time.Millisecond
	mostLag   = 40 * time.Millisecond
)

// slow limits the link between a frontend and another.
func (n *nemesis) slow(victim int, who string) (what string, undo func()) {
	other := (victim + 1 + n.rand.IntN(n.size-1)) % n.size
	rate := float64(leastRate + n.rand.IntN(mostRate-leastRate))
	n.cuts.slow(victim, other, rate, n.between(leastLag, mostLag))
	began := time.Now()
	return "slow link of " + who, func() {
		n.cuts.fast(victim, other)
		n.slowFor += time.Since(began)
	}
}

// member starts a fourth frontend, or removes it.
func (n *nemesis) member() (what string, undo func()) {
	if n.joiner != nil && !n.joiner.Ended() {
		n.leave()
		return "", nil
	}
	n.start4th()
	return "join and leave", n.leave
}

// fourth returns the frontend that joins and leaves. It has the same URL every time.
func (n *nemesis) fourth() *frontend { return n.g.frontends[n.size] }

func (n *nemesis) start4th() {
	n.joined++
	n.removed = false
	f := n.fourth()
	f.id = fmt.Sprintf("f%d", n.size+n.joined)
	f.data = filepath.Join(n.g.dir, f.id)
	n.joiner = f.start()
}

// leave removes the fourth frontend once it knows that it is a member: before, it would
// keep asking to join.
func (n *nemesis) leave() {
	if !n.removed {
		seen := n.see(n.joiner)
		n.removed = slices.ContainsFunc(seen.Frontends,
			func(f score.Frontend) bool { return f.ID == n.joiner.id && f.Voter })
	}
	if !n.removed {
		return
	}
	n.ask("leave", "DELETE", "/v1/cluster/members/"+n.joiner.id, "", once)
}

// How often the nemesis repeats a request until it succeeds.
const (
	once    = 1
	patient = 8
)

func (n *nemesis) mode(m score.CacheMode, tries int) {
	n.ask("mode "+string(m), "PUT", "/v1/cluster/settings/cache_mode", fmt.Sprintf(`{"value":%q}`, m), tries)
}

// ask sends a request to the group without waiting for it. The outcome is counted.
func (n *nemesis) ask(what, method, path, body string, tries int) {
	first := n.rand.IntN(n.size)
	n.asking.Go(func() {
		for i := range tries {
			if n.askOne(n.g.frontends[(first+i)%n.size].url, what, method, path, body) {
				return
			}
		}
	})
}

func (n *nemesis) askOne(url, what, method, path, body string) (done bool) {
	c := newClient("nemesis", url, nil, n.h, nil)
	c.token = n.token
	defer c.web.CloseIdleConnections()
	a, err := c.do(method, url+path, body)
	switch {
	case err != nil:
		n.h.count(what + ": " + failureKind(err))
	case a.status != http.StatusOK:
		var p score.Problem
		_ = json.Unmarshal([]byte(a.body), &p) // an answer without a problem is counted by its status
		n.h.count(what + ": " + cmp.Or(string(p.Code), http.StatusText(a.status)))
	default:
		n.h.count(what + ": done")
		return true
	}
	return false
}

// see returns the group according to f, if f answers at once.
func (n *nemesis) see(f *frontend) (s score.Frontends) {
	c := newClient("nemesis", f.url, nil, n.h, nil)
	c.web.Timeout = masterQuery
	defer c.web.CloseIdleConnections()
	if a, err := c.do("GET", f.url+"/v1/frontends", ""); err == nil {
		_ = json.Unmarshal([]byte(a.body), &s) // then the group is empty
	}
	return s
}

// master returns the index of the master according to the permanent frontends that answer at
// once, or -1 if it is none of them.
func (n *nemesis) master() int {
	seen := make(chan score.Frontends, n.size)
	for _, f := range n.g.frontends[:n.size] {
		go func() { seen <- n.see(f) }()
	}
	var last score.Frontends
	for range n.size {
		if s := <-seen; s.Master != "" && s.Epoch >= last.Epoch {
			last = s
		}
	}
	return slices.IndexFunc(n.g.frontends[:n.size], func(f *frontend) bool { return f.id == last.Master })
}

// heal ends all faults: afterwards all members run and answer, in push mode.
func (n *nemesis) heal() {
	g := n.g
	g.t.Helper()
	for _, f := range g.frontends[:n.size] {
		if !n.died(f) {
			f.waitReady()
		}
	}
	if n.joiner != nil && n.removed {
		eventually(g.t, n.joiner.id+" leaves", func() error {
			if n.joiner.Ended() {
				return nil
			}
			a, err := ask("DELETE", g.frontends[0].url+"/v1/cluster/members/"+n.joiner.id, "")
			return fmt.Errorf("it still runs; the group answers %d %s, %v", a.status, a.body, err)
		})
		if code := n.joiner.State().ExitCode(); code != 5 {
			g.t.Errorf("%s ended with exit code %d; want 5\n%s", n.joiner.id, code, lastLines(n.joiner.output(g.t)))
		}
	} else if n.joiner != nil {
		n.joiner.waitReady()
	}
	if n.token != "" {
		return
	}
	eventually(g.t, "the group is in push mode", func() error {
		a, err := ask("PUT", g.frontends[0].url+"/v1/cluster/settings/cache_mode", `{"value":"push"}`,
			"Content-Type", "application/json")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
}
