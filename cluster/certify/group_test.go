package certify

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/trust/access"
	"laurel/trust/merkle"
	"laurel/witness"
)

// latency is how long an entry takes to a frontend, and a message.
const latency = 5 * time.Millisecond

// entry is an entry of the log: a seal, or a change of an answer.
type entry struct {
	seal      uint64
	key, body string
}

// world is a group of certifiers in virtual time, with one log.
type world struct {
	t      *testing.T
	mu     sync.Mutex
	lost   func(from, to string) bool // whether a message is lost; called with mu held, and so is fails
	fails  func(number uint64) error  // of a proposal
	log    []entry
	master string
	roster *access.State
	fronts map[string]*front
	keys   map[string]ed25519.PrivateKey
	sent   map[string]int // messages, by the sender
}

// front is a frontend.
type front struct {
	*world
	id      string
	key     ed25519.PrivateKey
	disk    *disk
	machine *machine
	*Certifier
	stop func()
}

// disk is what a frontend has saved.
type disk struct {
	mu    sync.Mutex
	saved []byte
	fails error
	lost  error
	saves int
}

func (d *disk) Load() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.saved, d.lost
}

func (d *disk) Save(state []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails == nil {
		d.saved = bytes.Clone(state)
		d.saves++
	}
	return d.fails
}

func (d *disk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = err
}

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// newWorld starts n frontends, of which the first is the master. It ends with the test.
func newWorld(t *testing.T, n int) *world {
	w := &world{
		t: t, fronts: map[string]*front{}, keys: map[string]ed25519.PrivateKey{}, sent: map[string]int{}, master: "f1",
		lost: func(string, string) bool { return false }, fails: func(uint64) error { return nil },
	}
	var ids []string
	for i := range n {
		id := fmt.Sprintf("f%d", i+1)
		ids, w.keys[id] = append(ids, id), keyOf(id)
	}
	w.setRoster(ids...)
	for _, id := range ids {
		w.fronts[id] = &front{world: w, id: id, key: w.keys[id], disk: &disk{}}
	}
	for _, id := range ids {
		w.fronts[id].start()
	}
	t.Cleanup(func() {
		for _, f := range w.fronts {
			f.kill()
		}
	})
	return w
}

func (w *world) setRoster(ids ...string) {
	s := access.NewState()
	s.Settings.Sworn, s.Settings.Lineage = true, "store"
	s.Roster = map[string]*access.RosterEntry{}
	for _, id := range ids {
		s.Roster[id] = &access.RosterEntry{Name: id, Key: w.keys[id].Public().(ed25519.PublicKey)}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.roster = s
}

// setLost sets which messages are lost from now on. Some are on their way.
func (w *world) setLost(lost func(from, to string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = lost
}

// setFails sets which proposals fail from now on.
func (w *world) setFails(fails func(number uint64) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fails = fails
}

func (w *world) setMaster(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.master = id
}

// policy is that of a reader.
func (w *world) policy() *witness.Policy { return PolicyOf(w.access()) }

func (w *world) access() *access.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.roster
}

// change changes an answer; "" removes it.
func (w *world) change(key, body string) { w.append(entry{key: key, body: body}) }

func (w *world) append(e entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, e)
	for _, f := range w.fronts {
		if f.stop != nil {
			machine, upTo := f.machine, len(w.log)
			time.AfterFunc(latency, func() { machine.apply(w.entries(upTo)) })
		}
	}
}

func (w *world) entries(upTo int) []entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log[:upTo]
}

func (w *world) seals() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.log {
		if e.seal > 0 {
			n++
		}
	}
	return n
}

// start starts a frontend, which has applied the log.
func (f *front) start() {
	f.world.mu.Lock()
	f.machine = newMachine()
	log := f.world.log
	f.world.mu.Unlock()
	f.machine.apply(log)
	f.machine.forget()
	c, err := New(Config{
		ID: f.id, Key: f.key, State: f.disk, Machine: f.machine, Access: f.world.access,
		Peers: f.peers, Send: f.deliver, Propose: f.propose,
		Leads: func() bool {
			f.world.mu.Lock()
			defer f.world.mu.Unlock()
			return f.world.master == f.id
		},
		Compare: func(uint64, map[string][]byte) {},
		Metrics: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	f.world.mu.Lock()
	f.machine.apply(f.world.log) // what others have appended meanwhile; later entries come by append
	f.Certifier = c
	f.stop = func() { cancel(); <-done }
	f.world.mu.Unlock()
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
}

func (f *front) kill() {
	f.world.mu.Lock()
	stop := f.stop
	f.stop = nil
	f.world.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (f *front) peers() map[string]string {
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	all := map[string]string{}
	for id := range f.world.fronts {
		all[id] = id
	}
	return all
}

// propose is the log of a master.
func (f *front) propose(_ context.Context, number uint64) error {
	time.Sleep(latency)
	f.world.mu.Lock()
	err := f.world.fails(number)
	f.world.mu.Unlock()
	if err != nil {
		return err
	}
	f.world.append(entry{seal: number})
	time.Sleep(2 * latency)
	return nil
}

// deliver is the network. It looks whether what is sent was saved.
func (f *front) deliver(ctx context.Context, addr string, message []byte) error {
	f.checkSaved(message)
	f.world.mu.Lock()
	f.world.sent[f.id]++
	to := f.world.fronts[addr]
	var c *Certifier
	if to != nil && to.stop != nil {
		c = to.Certifier
	}
	f.world.mu.Unlock()
	time.Sleep(latency)
	f.world.mu.Lock()
	lost := c == nil || f.world.lost(f.id, addr)
	f.world.mu.Unlock()
	if lost {
		return errors.New("lost")
	}
	return c.Deliver(f.id, message)
}

// checkSaved fails the test if a message has a statement of its sender that is not on its
// disk.
func (f *front) checkSaved(message []byte) {
	var notes []string
	if err := json.Unmarshal(message, &notes); err != nil {
		f.t.Errorf("%s sends %q: %v", f.id, message, err)
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	for _, n := range notes {
		text, signatures, _ := strings.Cut(n, "\n\n")
		if !strings.Contains(signatures, "— "+f.id+" ") {
			continue
		}
		head, report := strings.CutPrefix(text, "laurel report 1\n")
		word := "cosigned"
		if report {
			word = "reported"
		}
		var origin, root string
		var size, saved uint64
		fmt.Sscan(head, &origin, &size, &root)
		for line := range strings.Lines(string(f.disk.saved)) {
			if rest, ok := strings.CutPrefix(line, word+" "); ok {
				fmt.Sscan(rest, &saved)
			}
		}
		if size > saved {
			f.t.Errorf("%s sends that it has %s %d, and has saved %d", f.id, word, size, saved)
		}
	}
}

// machine is the state machine of a frontend.
type machine struct {
	wake    chan struct{}
	mu      sync.Mutex
	applied int
	bodies  map[string]string
	changed map[string]bool
	answers *witness.Answers
	edge    merkle.Edge
	sealed  []*Sealed
	memory  int // the first of sealed that is in memory
	// outdated means that the answers of the newest round have an older format.
	outdated bool
}

func newMachine() *machine {
	return &machine{
		wake: make(chan struct{}, 1), bodies: map[string]string{}, changed: map[string]bool{},
		answers: &witness.Answers{},
	}
}

func (m *machine) apply(log []entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for ; m.applied < len(log); m.applied++ {
		if e := log[m.applied]; e.key != "" {
			m.bodies[e.key], m.changed[e.key] = e.body, true
		} else if e.seal == m.edge.Size+1 {
			m.seal()
		}
	}
	ping(m.wake)
}

func (m *machine) seal() {
	m.outdated = false
	hashes, kept := map[string]witness.Hash{}, map[string]string{}
	for key := range m.changed {
		if hashes[key] = (witness.Hash{}); m.bodies[key] != "" {
			hashes[key], kept[key] = sha256.Sum256([]byte(m.bodies[key])), m.bodies[key]
		}
	}
	m.changed = map[string]bool{}
	m.answers = m.answers.With(hashes)
	s := &Sealed{
		Round: witness.Round{
			Number: m.edge.Size + 1, Index: uint64(m.applied), Answers: m.answers.Size(), AnswersRoot: m.answers.Root(),
		},
		Answers: m.answers,
		Body: func(key string) ([]byte, bool) {
			body, ok := kept[key]
			return []byte(body), ok
		},
	}
	m.edge, s.Head, s.Path, _ = s.Round.AppendTo(m.edge)
	m.sealed = append(m.sealed, s)
}

// forget keeps what a state machine has in memory after a start: the last round, without
// bodies.
func (m *machine) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.memory = len(m.sealed) - 1; m.memory < 0 {
		m.memory = 0
		return
	}
	m.sealed[m.memory].Body = func(string) ([]byte, bool) { return nil, false }
}

func (m *machine) Unsealed() (int, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.changed), m.edge.Size + 1
}

func (m *machine) Outdated() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.outdated
}

func (m *machine) Wake() <-chan struct{} { return m.wake }

func (m *machine) Sealed(from uint64) []*Sealed {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := max(int(from)-1, m.memory, 0)
	return slices.Clone(m.sealed[min(first, len(m.sealed)):])
}

func (m *machine) Heads(from uint64) (heads []witness.Head) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sealed {
		if s.Head.Size >= from {
			heads = append(heads, s.Head)
		}
	}
	return heads
}

func (m *machine) Answer(key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if body := m.bodies[key]; body != "" {
		return []byte(body), nil
	}
	return nil, nil
}

func (m *machine) Certified(number uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.memory = max(m.memory, int(number)-1)
}

// reads returns an error unless a reader who asks the frontend gets a verified answer.
func (f *front) reads(key, want string) error {
	body, proof, err := f.Prove(f.t.Context(), key)
	if err != nil {
		return err
	}
	r := witness.Reader{Policy: f.world.policy()}
	if _, _, err := r.Verify(key, body, proof, time.Now()); err != nil {
		return fmt.Errorf("not verified: %w", err)
	}
	if string(body) != want || (body == nil) != (want == "") {
		return fmt.Errorf("it is %q, not %q", body, want)
	}
	return nil
}

// expect fails the test if readers are not given an answer within a time, by each of some
// frontends; all of them if none is named.
func (w *world) expect(within time.Duration, key, want string, ids ...string) {
	w.t.Helper()
	if len(ids) == 0 {
		ids = slices.Sorted(maps.Keys(w.fronts))
	}
	start := time.Now()
	for _, id := range ids {
		err := w.fronts[id].reads(key, want)
		for ; err != nil && time.Since(start) < within; err = w.fronts[id].reads(key, want) {
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil || time.Since(start) > within {
			w.t.Errorf("%s of %s, after %v: %v", key, id, time.Since(start), err)
		}
	}
}

// virtual runs a test in virtual time.
func virtual(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}
