package cache

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files of the traces")

// TestGoldenTraces replays the scripts of testdata/protocol against a real Master and real
// Frontends in virtual time, and compares what happens with the output that the scripts
// record. A script has comments (#), commands, and below each command its output,
// indented. The -update flag rewrites the output.
//
// The commands:
//
//	frontends a b c     start frontends, all of them voters
//	revision 10         let the store start at a revision
//	elect a             make a the master of the next epoch
//	write               commit an event that changes scores/x
//	pass 40ms           let time pass
//	skim 200ms          the same, but leave out the messages of rounds (Beat, Ack, Grant)
//	latency c 30ms      set the time that a message to or from a frontend takes
//	hang c, wake c      stop and continue a frontend's process
//	kill c              cut a frontend's power; nobody is told that its streams are over
//	lose c, connect c   break the stream to c at the master's end; open a new one
//	join d, promote d   add a member without a vote; make it a voter
//	remove c            take a member's lease, then remove it from the group
//	handover, resume    begin to hand mastership over; take that back
//	mode pull|push      stop granting leases; grant them again
func TestGoldenTraces(t *testing.T) {
	files, err := filepath.Glob("../testdata/protocol/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			recorded, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replayTrace(t, string(recorded))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(recorded); got != want && !*update {
				gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
				for i := range gotLines {
					if i == len(wantLines) || gotLines[i] != wantLines[i] {
						t.Fatalf("line %d differs:\n got %q\nwant %q\nthe whole trace:\n%s", i+1, gotLines[i],
							wantLines[min(i, len(wantLines)-1)], got)
					}
				}
				t.Fatalf("the recorded trace is longer than this one:\n%s", got)
			}
		})
	}
}

// replayTrace runs the commands of a script and returns the script with their output.
func replayTrace(t *testing.T, script string) string {
	var out strings.Builder
	tr := &trace{t: t, start: 2 * time.Hour, now: 2 * time.Hour, nodes: map[string]*traceNode{}}
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "\t") {
			continue // recorded output
		}
		out.WriteString(line)
		if command := strings.Fields(line); len(command) > 0 && command[0] != "#" {
			tr.run(command)
			for _, l := range tr.output {
				out.WriteString("\t" + l + "\n")
			}
			tr.output = nil
		}
	}
	return out.String()
}

const traceKey = "scores/x"

// trace is a group of frontends, with a master, a network of fixed latencies, and a
// virtual clock that everybody shares. It advances in steps of a millisecond.
type trace struct {
	t          *testing.T
	start, now time.Duration
	term       uint64
	master     *Master
	masterID   string
	nodes      map[string]*traceNode
	streams    uint64
	revision   uint64   // of the last committed event
	writes     []uint64 // the revisions that changed traceKey

	transit  []transit
	events   []traceEvent // of this millisecond
	output   []string
	serving  bool
	released uint64
	handed   bool
}

// traceNode is a frontend and its end of the stream from the master.
type traceNode struct {
	id       string
	voter    bool
	up, hung bool
	latency  time.Duration
	frontend *Frontend
	link     *Link
	stream   uint64
	lastDown time.Duration // the arrival of the last message on each way
	lastUp   time.Duration
	backlog  []transit // that arrived while the process hung

	leased bool
	reader string
}

// transit is a message on its way.
type transit struct {
	at     time.Duration
	node   string
	stream uint64
	down   bool
	msg    Message
}

// traceEvent is one line of output. Lines that differ only in the members are printed as
// one.
type traceEvent struct {
	members []string
	format  string // with one %s for the members
}

func (tr *trace) run(command []string) {
	argument := func(i int) string {
		if i >= len(command) {
			tr.t.Fatalf("%q lacks an argument", command)
		}
		return command[i]
	}
	node := func() *traceNode {
		n := tr.nodes[argument(1)]
		if n == nil {
			tr.t.Fatalf("%q: there is no such frontend", command)
		}
		return n
	}
	duration := func(i int) time.Duration {
		d, err := time.ParseDuration(argument(i))
		if err != nil {
			tr.t.Fatal(err)
		}
		return d
	}
	switch command[0] {
	case "frontends":
		tr.now -= time.Hour // they have been running for long
		for _, id := range command[1:] {
			tr.boot(id, true)
		}
		tr.now += time.Hour
	case "revision":
		r, err := strconv.ParseUint(argument(1), 10, 64)
		if err != nil {
			tr.t.Fatal(err)
		}
		tr.revision, tr.writes = r, []uint64{r}
	case "elect":
		tr.elect(node())
	case "write":
		tr.write()
	case "pass":
		tr.pass(duration(1))
	case "skim":
		tr.skim(duration(1))
	case "latency":
		node().latency = duration(2)
	case "hang":
		node().hung = true
		tr.log(node().id, "%s hangs")
	case "wake":
		tr.wake(node())
	case "kill":
		tr.kill(node())
	case "lose":
		n := node()
		tr.log(n.id, tr.masterID+" loses the stream to %s")
		tr.master.StreamLost(n.id, n.stream, tr.now)
		n.stream = 0
	case "connect":
		tr.connect(node())
	case "join":
		tr.boot(argument(1), false)
		tr.setMembers()
		tr.connect(node())
	case "promote":
		node().voter = true
		tr.setMembers()
	case "remove":
		tr.remove(node())
	case "handover":
		tr.handed = false
		tr.master.BeginHandOver(tr.now)
	case "resume":
		tr.handed = false
		tr.master.CancelHandOver(tr.now)
	case "mode":
		tr.master.SetGranting(argument(1) == "push", tr.now)
	default:
		tr.t.Fatalf("there is no command %q", command[0])
	}
	tr.settle()
}

func (tr *trace) pass(d time.Duration) {
	for end := tr.now + d; tr.now < end; {
		tr.now += time.Millisecond
		tr.settle()
	}
}

func (tr *trace) skim(d time.Duration) {
	before := len(tr.output)
	tr.pass(d)
	kept := slices.Clone(tr.output[:before])
	left := 0
	for _, line := range tr.output[before:] {
		if roundLine.MatchString(line) {
			left++
			continue
		}
		kept = append(kept, line)
	}
	tr.output = append(kept, fmt.Sprintf("   ...   and %d lines of rounds", left))
}

var roundLine = regexp.MustCompile(`: (Beat|Ack round=[1-9]|Grant)`)

// boot starts the process of a frontend.
func (tr *trace) boot(id string, voter bool) {
	tr.nodes[id] = &traceNode{id: id, voter: voter, up: true, latency: time.Millisecond, reader: readerNoLease}
	tr.nodes[id].frontend = NewFrontend(1<<20, func() time.Duration { return tr.now }, 0)
}

func (tr *trace) members() (list []Member) {
	for _, id := range tr.ids() {
		list = append(list, Member{ID: id, Voter: tr.nodes[id].voter})
	}
	return list
}

func (tr *trace) ids() (ids []string) {
	for id := range tr.nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (tr *trace) setMembers() { tr.master.SetMembers(tr.members(), tr.now) }

func (tr *trace) elect(n *traceNode) {
	tr.term++
	tr.masterID, tr.serving, tr.released, tr.handed = n.id, false, 0, false
	tr.log(n.id, fmt.Sprintf("%%s is elected, epoch %d", tr.term))
	tr.master = NewMaster(n.id, tr.term, tr.members(), testTimings, true, 0)
	for _, id := range tr.ids() {
		tr.connect(tr.nodes[id])
	}
	tr.master.Ready(tr.revision, tr.now)
}

// connect opens a stream from the master to a frontend.
func (tr *trace) connect(n *traceNode) {
	if !n.up {
		return
	}
	tr.streams++
	n.stream, n.lastDown, n.lastUp = tr.streams, 0, 0
	n.link = n.frontend.Open(n.id == tr.masterID)
	tr.master.StreamOpened(n.id, n.stream, tr.now)
}

// write commits an event, which the master applies at once.
func (tr *trace) write() {
	tr.revision++
	tr.writes = append(tr.writes, tr.revision)
	tr.log(tr.masterID, fmt.Sprintf("%%s commits revision %d", tr.revision))
	body := strconv.AppendUint(nil, tr.revision, 10)
	if tr.master.Held(traceKey) {
		tr.master.Push([]Record{{traceKey, tr.revision, body}}, nil, tr.revision, tr.now)
	} else {
		tr.master.Push(nil, []string{traceKey}, tr.revision, tr.now)
	}
}

// wake continues a process. Its readers run before it has read what came meanwhile.
func (tr *trace) wake(n *traceNode) {
	n.hung = false
	tr.log(n.id, "%s wakes")
	tr.observe(n)
	backlog := n.backlog
	n.backlog = nil
	for _, m := range backlog {
		tr.deliver(m)
	}
}

func (tr *trace) kill(n *traceNode) {
	n.up = false
	tr.log(n.id, "%s is killed")
	n.stream = 0
	if n.id == tr.masterID {
		tr.master = nil
	}
}

// remove takes a member's lease and waits until that is over before it changes the
// members.
func (tr *trace) remove(n *traceNode) {
	tr.master.BeginRemoval(n.id, tr.now)
	tr.settle()
	for !tr.master.Removable(n.id, tr.now) {
		tr.now += time.Millisecond
		tr.settle()
	}
	delete(tr.nodes, n.id)
	tr.log(n.id, "%s is removed")
	tr.setMembers()
}

// settle does all that happens at this moment, and reports it.
func (tr *trace) settle() {
	if tr.master != nil {
		tr.master.Tick(tr.now)
	}
	tr.send()
	for {
		i := slices.IndexFunc(tr.transit, func(m transit) bool { return m.at <= tr.now })
		if i < 0 {
			break
		}
		m := tr.transit[i]
		tr.transit = slices.Delete(tr.transit, i, i+1)
		tr.deliver(m)
		tr.send()
	}
	tr.report()
	for _, id := range tr.ids() {
		tr.observe(tr.nodes[id])
	}
	tr.flush()
}

// send puts the messages of the master's outbox on their way.
func (tr *trace) send() {
	if tr.master == nil {
		return
	}
	for _, out := range tr.master.Outbox() {
		n := tr.nodes[out.Member]
		if n == nil || n.stream != out.Stream {
			continue
		}
		tr.log(n.id, tr.masterID+" -> %s: "+tr.describe(out.Message))
		n.lastDown = max(n.lastDown, tr.now+tr.latency(n))
		tr.transit = append(tr.transit, transit{n.lastDown, n.id, n.stream, true, out.Message})
	}
}

func (tr *trace) latency(n *traceNode) time.Duration {
	if n.id == tr.masterID {
		return 0
	}
	return n.latency
}

func (tr *trace) deliver(m transit) {
	n := tr.nodes[m.node]
	switch {
	case n == nil || !n.up || n.stream != m.stream:
	case !m.down && tr.master == nil:
	case !m.down:
		if err := tr.master.Receive(m.node, m.stream, m.msg, tr.now); err != nil {
			tr.t.Fatal(err)
		}
	case n.hung:
		n.backlog = append(n.backlog, m)
	default:
		answer, err := n.link.Receive(m.msg, tr.term)
		if err != nil {
			tr.t.Fatalf("%s refuses %T: %v", n.id, m.msg, err)
		}
		if answer != nil {
			tr.log(n.id, "%s -> "+tr.masterID+": "+tr.describe(answer))
			n.lastUp = max(n.lastUp, tr.now+tr.latency(n))
			tr.transit = append(tr.transit, transit{n.lastUp, n.id, n.stream, false, answer})
		}
	}
}

// report logs what the master has decided.
func (tr *trace) report() {
	m := tr.master
	if m == nil {
		return
	}
	if !tr.serving && m.Serving() {
		tr.serving = true
		tr.log(tr.masterID, "%s serves: no lease of an older epoch stands")
	}
	if r := m.Released(); r > tr.released {
		tr.released = r
		tr.log(tr.masterID, fmt.Sprintf("%%s releases revision %d", r))
	}
	for _, w := range m.NewPenalties() {
		tr.log(w.Member, fmt.Sprintf("%s withholds the next lease of %%s for %d rounds: writes waited %v for it",
			tr.masterID, w.Rounds, w.Debt))
	}
	if !tr.handed && m.HandedOver() {
		tr.handed = true
		tr.log(tr.masterID, "%s has handed over: a majority of the voters knows that no lease stands")
	}
}

const readerNoLease = "no answer, it has no lease"

// observe logs a frontend's lease and what a reader of it is answered, if either has
// changed.
func (tr *trace) observe(n *traceNode) {
	if !n.up || n.hung {
		return
	}
	if leased := n.frontend.Leased(); leased != n.leased {
		n.leased = leased
		tr.log(n.id, map[bool]string{true: "%s has a lease", false: "%s has no lease any more"}[leased])
	}
	answer, loaded := tr.read(n)
	if answer == n.reader {
		return
	}
	n.reader = answer
	if loaded {
		answer += ", loaded from its state machine"
	}
	tr.log(n.id, "reader at %s: "+answer)
}

// read asks a frontend for the record. It returns what happens, and whether the frontend
// made the answer from its state machine.
func (tr *trace) read(n *traceNode) (answer string, loaded bool) {
	r := pendingRead{frontend: n.frontend, key: traceKey}
	r.startLoad = func(s *session, l *load) {
		loaded = true
		value := tr.writes[len(tr.writes)-1]
		s.finishLoad(l, strconv.AppendUint(nil, value, 10), value, tr.revision, nil)
	}
	done, err := r.step()
	if err == nil && !done && r.entry == nil {
		done, err = r.step() // the load is done
	}
	switch {
	case err != nil:
		return readerNoLease, false
	case !done:
		return fmt.Sprintf("waits for the release of %d", r.entry.Revision), loaded
	}
	return fmt.Sprintf("%s = %s", traceKey, r.entry.Body), loaded
}

func (tr *trace) log(member, format string) {
	for i, e := range tr.events {
		if e.format == format && !slices.Contains(e.members, member) {
			tr.events[i].members = append(e.members, member)
			return
		}
	}
	tr.events = append(tr.events, traceEvent{[]string{member}, format})
}

func (tr *trace) flush() {
	for _, e := range tr.events {
		line := fmt.Sprintf(e.format, strings.Join(e.members, " "))
		tr.output = append(tr.output, fmt.Sprintf("%4d ms  %s", (tr.now-tr.start).Milliseconds(), line))
	}
	tr.events = nil
}

// describe is a message in a line.
func (tr *trace) describe(m Message) string {
	moment := func(at time.Duration) string { return (at - tr.start).String() }
	switch m := m.(type) {
	case *Hello:
		return fmt.Sprintf("Hello epoch=%d lease=%v master=%s", m.Epoch, m.Lease, m.Master)
	case *Welcome:
		if m.NoLease {
			return fmt.Sprintf("Welcome age=%v none", m.Age)
		}
		return fmt.Sprintf("Welcome age=%v", m.Age)
	case *Start:
		return fmt.Sprintf("Start at=%d released=%d", m.At, m.Released)
	case *Beat:
		return fmt.Sprintf("Beat round=%d released=%d", m.Round, m.Released)
	case *Ack:
		text := fmt.Sprintf("Ack round=%d pushed=%d", m.Round, m.Pushed)
		if m.Held != nil {
			text += " held=" + strings.Join(m.Held, ",")
		}
		return text
	case *Push:
		text := fmt.Sprintf("Push %d..%d released=%d", m.From+1, m.To, m.Released)
		for _, r := range m.Records {
			text += fmt.Sprintf(" record=%s", r.Key)
		}
		for _, s := range m.Stale {
			text += " stale=" + s
		}
		return text
	case *Release:
		return fmt.Sprintf("Release %d", m.Released)
	case *Grant:
		return fmt.Sprintf("Grant %v from %s", m.Remaining, moment(m.At))
	case *Recall:
		return "Recall"
	case *Returned:
		return "Returned"
	case *Retire:
		return fmt.Sprintf("Retire round=%d", m.Round)
	case *Retired:
		return fmt.Sprintf("Retired round=%d", m.Round)
	}
	tr.t.Fatalf("no description of %T", m)
	return ""
}
