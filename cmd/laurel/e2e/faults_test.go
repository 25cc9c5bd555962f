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

// nemesis does to a group of three what may happen to it: never two things of the same kind at once, but things of different kinds. What
// it does, to whom and for how long follows from its seed; the rest is up to the group. Frontends are started and killed by the
// test's own goroutine alone.
type nemesis struct {
	g       *group
	cuts    *network // nil: there are none
	rand    *rand.Rand
	h       *history
	done    map[string]int
	undo    map[kindOfFault]repair // of what is under way
	joiner  *frontend              // the fourth, from its start to its end
	joined  int
	removed bool          // the joiner is to leave
	slowFor time.Duration // how long links were slow, in all
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

// members is how many frontends there are from the beginning; one more comes and goes.
const members = 3

// Between two faults, and how long those last that have a length.
const (
	calm        = 100 * time.Millisecond
	restless    = 900 * time.Millisecond
	shortest    = 100 * time.Millisecond
	longest     = 5 * time.Second
	masterQuery = 500 * time.Millisecond
)

func newNemesis(g *group, cuts *network, h *history, seed uint64) *nemesis {
	return &nemesis{g: g, cuts: cuts, h: h, rand: rand.New(rand.NewPCG(seed, 0)), done: map[string]int{}, undo: map[kindOfFault]repair{}}
}

func (n *nemesis) between(least, most time.Duration) time.Duration {
	return least + time.Duration(n.rand.Int64N(int64(most-least)))
}

// run goes on for d and then repairs what it has done. What was asked of the group may still be under way.
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

// injectFault does the next thing, if nothing of its kind is under way.
func (n *nemesis) injectFault() {
	kind := []kindOfFault{ofProcess, ofProcess, ofProcess, ofNetwork, ofNetwork, ofNetwork, ofLink, ofLink,
		ofMode, ofMembers, ofMaster, ofMaster}[n.rand.IntN(12)]
	lasts := n.between(shortest, longest)
	if _, busy := n.undo[kind]; busy || kind == ofNetwork && n.cuts == nil || kind == ofLink && !n.slows() {
		return
	}
	master, victim := n.master(), n.rand.IntN(members)
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
		to := n.g.frontends[n.rand.IntN(members)]
		n.ask("transfer", "POST", "/v1/cluster/transfer", fmt.Sprintf(`{"to":%q}`, to.id), once)
	}
	if what == "" {
		return
	}
	n.done[what]++
	n.g.t.Logf("%8.3f s: %s; f%d is the master; the lot fell on f%d and %.1f s", time.Since(n.h.began).Seconds(), what, master+1, victim+1, lasts.Seconds())
	if undo != nil {
		n.undo[kind] = repair{time.Now().Add(lasts), undo}
	}
}

// process kills a frontend, or stops it.
func (n *nemesis) process(f *frontend, who string) (what string, undo func()) {
	if n.died(f) {
		return "", nil
	}
	if n.rand.IntN(2) == 0 {
		f.Kill()
		return "kill " + who, func() { f.start() }
	}
	f.signal(n.g.t, syscall.SIGSTOP)
	return "stop " + who, func() { f.signal(n.g.t, syscall.SIGCONT) }
}

// died tells of a frontend that ended and was not killed, which none may.
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

// cut loses packets: those from a frontend to all others, those to it, both, or of one pair in one direction or both.
func (n *nemesis) cut(victim int, who string) (what string, undo func()) {
	other := (victim + 1 + n.rand.IntN(members-1)) % members
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
		for i := range members + 1 {
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

// How slow a slow link is: from a bad mobile connection to a bad office. A large snapshot takes
// longer than any link is slow, so that it is under way at both paces.
const (
	leastRate = 100 << 10 // bytes per second
	mostRate  = 4 << 20
	leastLag  = time.Millisecond
	mostLag   = 40 * time.Millisecond
)

// slow limits the link between a frontend and another.
func (n *nemesis) slow(victim int, who string) (what string, undo func()) {
	other := (victim + 1 + n.rand.IntN(members-1)) % members
	rate := float64(leastRate + n.rand.IntN(mostRate-leastRate))
	n.cuts.slow(victim, other, rate, n.between(leastLag, mostLag))
	began := time.Now()
	return "slow link of " + who, func() {
		n.cuts.fast(victim, other)
		n.slowFor += time.Since(began)
	}
}

// member starts a fourth frontend, and has it taken out again.
func (n *nemesis) member() (what string, undo func()) {
	if n.joiner != nil && !n.joiner.Ended() {
		n.leave()
		return "", nil
	}
	n.start4th()
	return "join and leave", n.leave
}

// fourth is the place of the one that comes and goes. It has the same URL every time.
func (n *nemesis) fourth() *frontend { return n.g.frontends[members] }

func (n *nemesis) start4th() {
	n.joined++
	n.removed = false
	f := n.fourth()
	f.id = fmt.Sprintf("f%d", members+n.joined)
	f.data = filepath.Join(n.g.dir, f.id)
	n.joiner = f.start()
}

// leave has the fourth taken out, once it knows that it is in: before, it would go on asking to be let in.
func (n *nemesis) leave() {
	if !n.removed {
		seen := n.see(n.joiner)
		n.removed = slices.ContainsFunc(seen.Frontends, func(f score.Frontend) bool { return f.ID == n.joiner.id && f.Voter })
	}
	if !n.removed {
		return
	}
	n.ask("leave", "DELETE", "/v1/cluster/members/"+n.joiner.id, "", once)
}

// How often the nemesis asks for something until it is done.
const (
	once    = 1
	patient = 8
)

func (n *nemesis) mode(m score.CacheMode, tries int) {
	n.ask("mode "+string(m), "PUT", "/v1/cluster/cache", fmt.Sprintf(`{"mode":%q}`, m), tries)
}

// ask asks the group for something and does not wait. Whether it is done is counted.
func (n *nemesis) ask(what, method, path, body string, tries int) {
	first := n.rand.IntN(members)
	n.asking.Go(func() {
		for i := range tries {
			if n.askOne(n.g.frontends[(first+i)%members].url, what, method, path, body) {
				return
			}
		}
	})
}

func (n *nemesis) askOne(url, what, method, path, body string) (done bool) {
	c := newClient("nemesis", url, nil, n.h, nil)
	defer c.web.CloseIdleConnections()
	a, err := c.do(method, url+path, body)
	switch {
	case err != nil:
		n.h.count(what + ": " + failureKind(err))
	case a.status != http.StatusOK:
		var p score.Problem
		_ = json.Unmarshal([]byte(a.body), &p) // what is no problem counts by its status
		n.h.count(what + ": " + cmp.Or(string(p.Code), http.StatusText(a.status)))
	default:
		n.h.count(what + ": done")
		return true
	}
	return false
}

// see is the group as f sees it, if it says so at once.
func (n *nemesis) see(f *frontend) (s score.Frontends) {
	c := newClient("nemesis", f.url, nil, n.h, nil)
	c.web.Timeout = masterQuery
	defer c.web.CloseIdleConnections()
	if a, err := c.do("GET", f.url+"/v1/frontends", ""); err == nil {
		_ = json.Unmarshal([]byte(a.body), &s) // then it sees nobody
	}
	return s
}

// master is the number of the frontend that is the master, as far as those know that answer at once; -1 where none of the first three is.
func (n *nemesis) master() int {
	seen := make(chan score.Frontends, members)
	for _, f := range n.g.frontends[:members] {
		go func() { seen <- n.see(f) }()
	}
	var last score.Frontends
	for range members {
		if s := <-seen; s.Master != "" && s.Epoch >= last.Epoch {
			last = s
		}
	}
	return slices.IndexFunc(n.g.frontends[:members], func(f *frontend) bool { return f.id == last.Master })
}

// heal brings the group to rest after rage: all that belong to it run and answer, in push mode.
func (n *nemesis) heal() {
	g := n.g
	g.t.Helper()
	for _, f := range g.frontends[:members] {
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
			return fmt.Errorf("it runs still; the group says %d %s, %v", a.status, a.body, err)
		})
		if code := n.joiner.State().ExitCode(); code != 5 {
			g.t.Errorf("%s ended with exit code %d; want 5\n%s", n.joiner.id, code, lastLines(n.joiner.output(g.t)))
		}
	} else if n.joiner != nil {
		n.joiner.waitReady()
	}
	eventually(g.t, "the group is in push mode", func() error {
		a, err := ask("PUT", g.frontends[0].url+"/v1/cluster/cache", `{"mode":"push"}`, "Content-Type", "application/json")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
}
