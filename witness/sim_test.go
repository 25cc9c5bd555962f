package witness

import (
	"container/heap"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// The simulation drives the real Node in virtual time: four frontends, of which one is
// corrupt and says anything to anybody, through delays, lost messages, crashes before and
// after saving, and masters that give different logs. A world is determined by its seed.
//
// A round stands for all rounds before it, as in the real tree, because its root is made of
// the root before. The world knows every history, so it can tell which certificates the
// corrupt one could make of what honest frontends have cosigned, and compares all of them.

const simFrontends = 4

// broken is a rule of the protocol that the frontends of a world break.
type broken string

const (
	breakNothing    broken = ""
	breakSaving     broken = "sends before it saves"
	breakAmnesia    broken = "forgets everything in a crash"
	breakOnce       broken = "R1: reports a size twice"
	breakTwoReports broken = "R3: two reports are a proof"
	breakUnproven   broken = "R3: cosigns without a proof"
	breakLate       broken = "R3: cosigns after a later report"
	breakReader     broken = "a reader takes two cosignatures"
	breakOlderTimes broken = "R5: renews the time of an older round"
	breakWaiting    broken = "R6: renews while entries wait"
)

// What the checks of a world find.
const (
	disagree = "disagree"
	tooFresh = "was certified"
	waited   = "has waited"
	noMore   = "no certificate"
)

type simEvent struct {
	at  time.Time
	seq int
	f   func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].seq < q[j].seq
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

type simCounts struct {
	certificates, convicted, diverged, split, silent, crashes, goneBack int
	recovered, slowest                                                  int           // rounds to a certificate when one can be; see ready
	waited                                                              int           // rounds until one can be, at most
	longest                                                             time.Duration // from the liar's silence to the next certificate
}

type world struct {
	rand    *rand.Rand
	broken  broken
	now     time.Time
	queue   simQueue
	seq     int
	policy  *Policy
	fronts  []*front // the corrupt one too, without a node
	liar    *liar
	master  *front
	calm    bool // the corrupt one is silent, and nothing fails
	loss    float64
	delay   time.Duration
	parents map[Head]Head
	// verified are the results of all signatures: each is verified once for all frontends.
	verified map[[sha256.Size]byte]bool
	logs     map[Head][]byte // for each head, what the rounds up to it had
	// cosigned has, for each head and honest frontend, when it first cosigned it, and the
	// newest time that it signed.
	cosigned map[Head]map[*front][2]time.Time
	certs    []simCert
	crashes  float64       // the probability of a crash at a step
	down     time.Duration // about how long a crash lasts, and the time between two
	only     string        // the fault that is looked for, if not any
	fault    string
	counts   simCounts
}

type simCert struct {
	Head
	at time.Time // when the corrupt one could make it
}

var simKeys = func() (keys []*Key) {
	for i := range simFrontends {
		seed := sha256.Sum256([]byte{byte(i)})
		key, err := NewKey(fmt.Sprintf("f%d", i+1), ed25519.NewKeyFromSeed(seed[:]))
		if err != nil {
			panic(err)
		}
		keys = append(keys, key)
	}
	return keys
}()

func newWorld(seed uint64, rule broken) *world {
	w := &world{
		rand: rand.New(rand.NewPCG(seed, 18)), broken: rule, now: time.Unix(1_800_000_000, 0),
		verified: map[[sha256.Size]byte]bool{}, parents: map[Head]Head{}, logs: map[Head][]byte{},
		cosigned: map[Head]map[*front][2]time.Time{},
	}
	w.loss = []float64{0, 0.05, 0.3}[w.rand.IntN(3)]
	w.delay = []time.Duration{time.Millisecond, 20 * time.Millisecond, 150 * time.Millisecond}[w.rand.IntN(3)]
	w.policy = &Policy{Store: "store", Version: 1, Until: w.now.Add(time.Hour), Quorum: 3, verify: w.verify}
	for _, key := range simKeys {
		w.policy.Frontends = append(w.policy.Frontends, key.Frontend())
		w.fronts = append(w.fronts, &front{world: w, key: key})
	}
	w.liar = &liar{front: w.fronts[w.rand.IntN(simFrontends)], world: w, mood: w.rand.IntN(5)}
	w.crashes, w.down = 0.002, time.Second
	if rule == breakSaving || rule == breakAmnesia {
		w.crashes, w.down = 0.02, 300*time.Millisecond
	}
	for _, f := range w.honest() {
		f.start()
	}
	w.after(0, w.elect)
	w.after(0, w.seal)
	w.after(0, w.gossip)
	w.after(0, w.fail)
	w.after(0, w.liar.act)
	return w
}

func (w *world) verify(by identity, message, signature []byte) bool {
	signed := signedBy(by, message, signature)
	valid, known := w.verified[signed]
	if !known {
		valid = by.Verify(message, signature)
		w.verified[signed] = valid
	}
	return valid
}

func signedBy(by identity, message, signature []byte) [sha256.Size]byte {
	return sha256.Sum256(slices.Concat([]byte{by.kind}, by.public, message, signature))
}

func (w *world) after(d time.Duration, f func()) {
	w.seq++
	heap.Push(&w.queue, simEvent{w.now.Add(d), w.seq, f})
}

func (w *world) run(span time.Duration) {
	end := w.now.Add(span)
	for len(w.queue) > 0 && w.queue[0].at.Before(end) && w.fault == "" {
		e := heap.Pop(&w.queue).(simEvent)
		w.now = e.at
		e.f()
	}
	w.now = end
}

func (w *world) chance(p float64) bool { return w.rand.Float64() < p }

func (w *world) between(from, to time.Duration) time.Duration {
	return from + time.Duration(w.rand.Int64N(int64(to-from)))
}

func (w *world) honest() (list []*front) {
	for _, f := range w.fronts {
		if f != w.liar.front {
			list = append(list, f)
		}
	}
	return list
}

func (w *world) failed(format string, args ...any) {
	if fault := fmt.Sprintf(format, args...); w.fault == "" && strings.Contains(fault, w.only) {
		w.fault = fault
	}
}

// next returns the head of a history with one more round.
func (w *world) next(h Head, content byte) Head {
	next := Head{h.Size + 1, sha256.Sum256(append(h.Root[:], content))}
	w.parents[next] = h
	w.logs[next] = append(slices.Clone(w.logs[h]), content)
	return next
}

// agree reports whether one head's history begins with the other's.
func (w *world) agree(a, b Head) bool {
	if a.Size > b.Size {
		a, b = b, a
	}
	for b.Size > a.Size {
		b = w.parents[b]
	}
	return a == b
}

// elect makes any frontend the master, the corrupt one too.
func (w *world) elect() {
	if !w.calm {
		w.master = w.fronts[w.rand.IntN(len(w.fronts))]
	} else {
		// Raft and the rules for going back choose one that has what the others know.
		for _, f := range w.honest() {
			if w.master == w.liar.front || f.node != nil && (w.master.node == nil || f.better(w.master)) {
				w.master = f
			}
		}
	}
	w.after(w.between(time.Second, 4*time.Second), w.elect)
}

// seal is the master's round: entries that are applied now, and the seal half a second later.
func (w *world) seal() {
	w.after(SealInterval, w.seal)
	if !w.calm && w.chance(0.1) {
		return // nothing has changed
	}
	content, lie := byte(w.rand.IntN(2)), w.rand.IntN(4)
	if w.master != w.liar.front {
		if !w.master.up() {
			return
		}
		master := w.master
		master.feed(func() { master.entries() })
		w.after(SealInterval, func() { master.feed(func() { master.sealAll(content) }) })
		for _, f := range w.honest() {
			if f != master {
				f.feed(func() { f.entries() })
				w.after(SealInterval+w.someDelay(), func() { f.feed(func() { f.follow(master) }) })
			}
		}
		return
	}
	for _, f := range w.honest() {
		mine := content
		if lie == 1 || lie == 2 && w.chance(0.3) {
			mine = byte(w.rand.IntN(3))
		}
		if lie == 3 && w.chance(0.5) {
			continue // it gives this one nothing, or does not seal
		}
		if f.up() && w.chance(0.1) {
			f.rewrite()
		}
		f.feed(func() { f.entries() })
		if lie < 3 || w.chance(0.5) {
			w.after(SealInterval+w.someDelay(), func() { f.feed(func() { f.seal(mine) }) })
		}
	}
}

func (w *world) someDelay() time.Duration { return w.between(0, 2*w.delay) }

// gossip is the status that members ask each other for.
func (w *world) gossip() {
	for _, f := range w.honest() {
		if f.up() {
			w.send(f, f.node.Notes())
		}
	}
	w.after(250*time.Millisecond, w.gossip)
}

func (w *world) send(from *front, notes [][]byte) {
	w.liar.hear(notes)
	for _, to := range w.honest() {
		if to != from && !w.chance(w.loss) {
			w.after(w.someDelay(), func() { to.receive(notes) })
		}
	}
}

// fail crashes a frontend.
func (w *world) fail() {
	if w.calm {
		return
	}
	f := w.honest()[w.rand.IntN(simFrontends-1)]
	if f.up() && w.chance(0.5) {
		f.crash(w.between(0, 2*w.down))
	}
	w.after(w.between(0, 3*w.down), w.fail)
}

// noteCosigned checks each certificate that the corrupt one can make now: honest frontends
// that are one fewer than readers ask for have cosigned it.
func (w *world) noteCosigned(f *front, h Head) {
	by := w.cosigned[h]
	if by == nil {
		by = map[*front][2]time.Time{}
		w.cosigned[h] = by
	}
	first, again := by[f]
	if !again {
		first[0] = w.now
	}
	seconds := binary.BigEndian.Uint64(f.node.self.cosigned[h])
	by[f] = [2]time.Time{first[0], time.Unix(int64(seconds), 0)}
	w.checkTime(h)
	needed := w.policy.Quorum - 1
	if w.broken == breakReader || w.broken == breakTwoReports {
		needed = 1
	}
	known := slices.ContainsFunc(w.certs, func(c simCert) bool { return c.Head == h })
	if again || known || len(by) < needed {
		return
	}
	for _, c := range w.certs {
		if !w.agree(c.Head, h) {
			w.failed("certificates of rounds %d and %d %s: %v and %v", c.Size, h.Size, disagree,
				w.logs[c.Head], w.logs[h])
		}
	}
	w.certs = append(w.certs, simCert{h, w.now})
	w.counts.certificates++
}

// checkTime checks the time that a reader of h could be shown: with the corrupt one's help,
// the second of the honest times. No round must have been certified before, and no entry
// that two honest frontends have applied may have waited for long.
func (w *world) checkTime(h Head) {
	var times []time.Time
	for _, both := range w.cosigned[h] {
		times = append(times, both[1])
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	if len(times) < 2 {
		return
	}
	for _, c := range w.certs {
		if c.Size > h.Size && times[1].After(c.at) {
			w.failed("round %d is shown as of a time at which round %d %s", h.Size, c.Size, tooFresh)
		}
	}
	late := 0
	for _, f := range w.honest() {
		if at, ok := f.applied[h.Size+1]; ok && f.up() && w.agree(f.head(), h) && times[1].Sub(at) > maxWaiting {
			late++
		}
	}
	if late >= 2 {
		w.failed("round %d is shown while an entry %s for over %v at %d frontends", h.Size, waited, maxWaiting, late)
	}
}
