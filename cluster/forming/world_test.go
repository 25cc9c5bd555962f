package forming

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var worlds = flag.Int("worlds", 0, "number of random worlds; 0 for the form of the tests")

// world is some frontends that start at once and must form one group, in virtual time. Until
// the faults end, messages are late or lost, names resolve to some of the addresses, some
// ways are cut in one direction, and frontends are killed and started again.
type world struct {
	expect int
	nodes  []*node

	mu     sync.Mutex // guards the rest, and the nodes
	random *rand.Rand
	cut    map[[2]int]bool // ways, from and to
	faulty bool
	groups []string // the members that have founded
	broken []string // promises
}

// below returns a random number below n.
func (w *world) below(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(n)
}

// upTo returns a random time up to d.
func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.below(int(d))) }

// locked runs f with the world locked.
func (w *world) locked(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// node is one frontend with its directory, which outlives its process.
type node struct {
	*world
	index   int
	member  string
	founds  bool
	disk    record
	decided bool      // Run has returned true
	group   string    // the founder of the group of which it has data; "" without
	process *Frontend // nil while it is down, and once it has left forming
	up      bool
	kill    context.CancelFunc
}

// run runs the processes of a node until the world ends.
func (n *node) run(ctx context.Context) {
	sleep(ctx, n.upTo(5*time.Second))
	for ctx.Err() == nil {
		alive, kill := context.WithCancel(ctx)
		n.locked(func() { n.kill, n.up = kill, true })
		n.live(alive)
		n.locked(func() { n.up, n.process = false, nil })
		kill()
		sleep(ctx, n.upTo(3*time.Second))
	}
}

// live is one process.
func (n *node) live(ctx context.Context) {
	if n.groupNow() == "" {
		f := &Frontend{record: n.disk, logged: map[string]string{}, Config: Config{
			Member: n.member, Expect: n.expect, Founds: n.founds, URLs: n.urls, ask: n.ask,
			Logger: slog.New(slog.DiscardHandler),
			store: func(r record) error {
				if sleep(ctx, n.upTo(20*time.Millisecond)); ctx.Err() != nil && n.below(2) == 0 {
					return ctx.Err()
				}
				n.locked(func() { n.disk = r })
				return ctx.Err()
			},
		}}
		n.locked(func() { n.process = f })
		founds, err := f.Run(ctx)
		n.locked(func() {
			n.process = nil
			if err == nil && !founds && n.decided {
				n.broken = append(n.broken, n.member+" was to found and has given it up")
			}
			n.decided = n.decided || founds
		})
		sleep(ctx, n.upTo(time.Second)) // it makes its certificates, or asks for them
		switch {
		case err != nil || ctx.Err() != nil:
			return
		case founds:
			n.locked(func() { n.group, n.groups = n.member, append(n.groups, n.member) })
		default:
			n.join(ctx)
		}
	}
	<-ctx.Done()
}

// join waits until the founder of a group that has data takes the node in.
func (n *node) join(ctx context.Context) {
	for ctx.Err() == nil && n.groupNow() == "" {
		n.locked(func() {
			for _, other := range n.nodes {
				if other.up && other.group == other.member && n.reaches(other.index) {
					n.group = other.group
				}
			}
		})
		sleep(ctx, 300*time.Millisecond)
	}
}

func (n *node) groupNow() (group string) {
	n.locked(func() { group = n.group })
	return group
}

// reaches reports whether messages go to and fro between two nodes. The world is locked.
func (n *node) reaches(other int) bool {
	return !n.faulty || !n.cut[[2]int{n.index, other}] && !n.cut[[2]int{other, n.index}]
}

// urls are the addresses that DNS has now: some of them, if it is faulty.
func (n *node) urls(ctx context.Context) (urls []string, err error) {
	faulty := n.isFaulty()
	if faulty && n.below(4) == 0 {
		sleep(ctx, n.upTo(3*time.Second))
	}
	for i := range n.nodes {
		if !faulty || n.below(5) > 0 {
			urls = append(urls, strconv.Itoa(i))
		}
	}
	return append(urls, "an address that is gone"), nil
}

var errLost = errors.New("lost")

func (n *node) ask(ctx context.Context, url string) (a Answer, err error) {
	to, err := strconv.Atoi(url)
	if err != nil {
		return a, errLost
	}
	if !n.arrives(ctx, to) {
		return a, errLost
	}
	up := false
	n.locked(func() {
		other := n.nodes[to]
		if up = other.up; other.process != nil {
			h := other.process.Hello()
			a.Hello = &h
		} else {
			a.Group, a.Master = other.group != "", other.group != ""
		}
	})
	if !up || !n.arrives(ctx, to) {
		return Answer{}, errLost
	}
	return a, nil
}

// arrives reports, after a while, whether a message between two nodes arrives.
func (n *node) arrives(ctx context.Context, other int) (arrives bool) {
	if n.isFaulty() && n.below(8) == 0 {
		sleep(ctx, 5*time.Second)
		return false
	}
	sleep(ctx, n.upTo(400*time.Millisecond))
	n.locked(func() { arrives = ctx.Err() == nil && n.reaches(other) })
	return arrives
}

func (w *world) isFaulty() (faulty bool) {
	w.locked(func() { faulty = w.faulty })
	return faulty
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// faults cuts ways and kills frontends for a while.
func (w *world) faults(ctx context.Context) {
	until := time.Now().Add(10*time.Second + w.upTo(30*time.Second))
	w.locked(func() { w.faulty = true })
	for time.Now().Before(until) && ctx.Err() == nil {
		what := w.below(4)
		w.locked(func() {
			switch what {
			case 0:
				clear(w.cut)
			case 1: // some ways, each in one direction or both
				for i := range w.nodes {
					for j := range w.nodes {
						w.cut[[2]int{i, j}] = w.random.IntN(2) == 0
					}
				}
			case 2:
				if n := w.nodes[w.random.IntN(len(w.nodes))]; n.up {
					n.kill()
				}
			}
		})
		sleep(ctx, w.upTo(2*time.Second))
	}
	w.locked(func() { w.faulty = false })
}

// play plays a world and fails if there was more than one group, or if a frontend is in none
// long after the faults.
func play(t *testing.T, seed uint64) {
	w := &world{random: rand.New(rand.NewPCG(seed, 0)), cut: map[[2]int]bool{}}
	w.expect = 2 + w.below(3)
	count := w.expect + w.below(w.expect) // fewer than twice as many
	able := w.below(count)
	for i := range count {
		w.nodes = append(w.nodes, &node{
			world: w, index: i, member: fmt.Sprintf("f%d@%d", i, seed), founds: i == able || w.below(3) > 0,
		})
	}
	w.random.Shuffle(count, func(i, j int) {
		w.nodes[i].member, w.nodes[j].member = w.nodes[j].member, w.nodes[i].member
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, n := range w.nodes {
		running.Go(func() { n.run(ctx) })
	}
	w.faults(ctx)
	sleep(ctx, 2*time.Minute)
	cancel()
	running.Wait()
	for _, n := range w.nodes {
		if n.group == "" {
			t.Errorf("seed %d: long after the faults %s, which knows %+v, is in no group", seed, n.member, n.disk)
		}
	}
	if len(w.broken) > 0 {
		t.Errorf("seed %d: %v", seed, w.broken)
	}
	if len(w.groups) != 1 {
		t.Errorf("seed %d: %d of %d frontends that expect %d have founded: %v", seed, len(w.groups), count, w.expect, w.groups)
	}
}

func TestFrontendsThatStartAtOnceFormExactlyOneGroup(t *testing.T) {
	n := *worlds
	switch {
	case n > 0:
	case os.Getenv("LAUREL_LONG") != "":
		n = 20_000
	default:
		n = 600
	}
	for seed := range n {
		synctest.Test(t, func(t *testing.T) { play(t, uint64(seed)) })
		if t.Failed() {
			return
		}
	}
}
