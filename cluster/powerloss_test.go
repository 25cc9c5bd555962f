package cluster

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/raftlog"
	"laurel/fsm"
	"laurel/score"
)

// The environment of TestPowerLoss. A failed run keeps its recording and says how to make the cut
// that failed again.
const (
	powerTraceEnv = "LAUREL_POWER_TRACE" // a recording to use instead of making one
	powerCutEnv   = "LAUREL_POWER_CUT"   // the only cut to make
	powerCutsEnv  = "LAUREL_POWER_CUTS"  // how many to make

	powerCuts     = 50
	powerCutsFull = 1000
)

// TestPowerLoss records three members under strace as they take posts, snapshots and a new master,
// and as they are stopped and killed. From the recording it makes the disks as a loss of power at
// a moment can leave them: what was not synced is there, or not, or in part, in any order. It
// opens them as a frontend does. Each must open, with everything that its member has relied on;
// the state must be that of the log; and what a client was told must be on two of three disks.
func TestPowerLoss(t *testing.T) {
	if dir := os.Getenv(powerDirEnv); dir != "" {
		runPowerPhase(t, dir)
		return
	}
	if testing.Short() {
		t.Skip("it runs processes")
	}
	dir, live := os.Getenv(powerTraceEnv), false
	if dir == "" {
		dir, live = recordPower(t), true
	}
	r, err := readPower(dir)
	if err != nil {
		t.Fatalf("read the recording in %s: %v", dir, err)
	}
	reference, err := newPowerReference(t, r)
	if err != nil {
		t.Fatalf("replay the log of the recording in %s: %v", dir, err)
	}
	t.Logf("recorded %d operations on %d kinds of files, %d marks, %d entries, %d acknowledged events", r.disk.last, len(r.kinds), len(r.marks), len(reference.log), len(reference.acked))
	for _, id := range []string{"f1", "f2", "f3"} {
		if err := errors.Join(r.checkNames(id), r.checkSynced(id)); err != nil {
			t.Error(err)
		}
	}
	first, count := 0, powerCuts
	if os.Getenv("LAUREL_CI") == "full" {
		count = powerCutsFull
	}
	if s := os.Getenv(powerCutsEnv); s != "" {
		count, _ = strconv.Atoi(s)
	}
	if s := os.Getenv(powerCutEnv); s != "" {
		first, _ = strconv.Atoi(s)
		count = 1
	}
	next, failed := atomic.Int64{}, atomic.Int64{}
	next.Store(int64(first))
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for n := int(next.Add(1) - 1); n < first+count && failed.Load() < 10; n = int(next.Add(1) - 1) {
				if err := reference.check(r, n, powerTemp(t)); err != nil {
					failed.Add(1)
					t.Errorf("cut %d: %v\nto make it again: %s=%s %s=%d go test ./cluster -run '^TestPowerLoss$' -count=1 -v", n, err, powerTraceEnv, dir, powerCutEnv, n)
				}
			}
		})
	}
	workers.Wait()
	if live && !t.Failed() {
		os.RemoveAll(dir)
	}
}

// powerTemp returns a new directory, in memory if it can: the disks are many.
func powerTemp(t *testing.T) string {
	if dir, err := os.MkdirTemp("/dev/shm", "laurel-power-"); err == nil {
		return dir
	}
	dir, err := os.MkdirTemp("", "laurel-power-")
	if err != nil {
		t.Error(err)
	}
	return dir
}

func phaseFile(dir string, phase int) string {
	return filepath.Join(dir, fmt.Sprintf("phase-%d", phase))
}

// recordPower runs the phases under strace and returns the directory of the recording.
func recordPower(t *testing.T) (dir string) {
	t.Helper()
	skip := func(format string, args ...any) {
		t.Helper()
		if os.Getenv("LAUREL_CI") == "full" {
			t.Fatalf("LAUREL_CI=full: "+format, args...)
		}
		t.Skipf(format, args...)
	}
	if runtime.GOOS != "linux" || strings.Contains(runtime.GOARCH, "386") {
		skip("it records system calls as Linux has them with 64 bits")
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		skip("it records with strace: %v", err)
	}
	if out, err := exec.Command(strace, "-f", "--seccomp-bpf", "-e", "trace=fsync", "true").CombinedOutput(); err != nil {
		skip("strace does not work here: %v: %s", err, out)
	}
	dir, err = os.MkdirTemp("", "laurel-power-loss-")
	if err != nil {
		t.Fatal(err)
	}
	members, temp := filepath.Join(dir, "members"), filepath.Join(dir, "tmp")
	if err := errors.Join(os.Mkdir(members, 0o700), os.Mkdir(temp, 0o700)); err != nil {
		t.Fatal(err)
	}
	for phase := range len(powerKillList) + 1 {
		args := []string{"-f", "--seccomp-bpf", "-qq", "-xx", "-s", strconv.Itoa(16 << 20), "-e", "signal=none", "-e", "trace=" + tracedCalls,
			"-o", phaseFile(dir, phase), os.Args[0], "-test.run=^TestPowerLoss$", "-test.timeout=2m"}
		run := exec.CommandContext(t.Context(), strace, args...)
		run.Env = append(os.Environ(), powerDirEnv+"="+members, powerStateEnv+"="+filepath.Join(dir, "state"), powerPhaseEnv+"="+strconv.Itoa(phase), "TMPDIR="+temp, "LAUREL_CI=")
		out, err := run.CombinedOutput()
		if killed := phase < len(powerKillList); killed && strings.Contains(string(out), "FAIL") || !killed && err != nil {
			t.Fatalf("phase %d: %v\n%s", phase, err, out)
		}
		if err := settlePhase(dir, phase); err != nil {
			t.Fatalf("phase %d: %v; the recording is in %s", phase, err, dir)
		}
	}
	return dir
}

// settlePhase completes the recording of a phase that has just ended. It must explain every byte
// of the directories.
func settlePhase(dir string, phase int) error {
	r := newPowerRecording(dir)
	if err := r.readPhases(dir, phase+1); err != nil {
		return err
	}
	lines, err := r.trace.settle()
	for _, line := range lines {
		r.disk.last++
		err = errors.Join(err, r.trace.line(line))
	}
	if err == nil {
		err = r.disk.compare(powerMarks)
	}
	if err != nil || len(lines) == 0 {
		return err
	}
	f, err := os.OpenFile(phaseFile(dir, phase), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
	return errors.Join(err, f.Close())
}

// powerRecording is what the phases did, and what their members said beside.
type powerRecording struct {
	disk   *powerDisk
	trace  *powerTrace
	marks  []powerMark
	begins []int // of the phases
	kinds  []string
	syncs  map[string][][]int // when fsyncs began: by kind of file, then by file
}

func newPowerRecording(dir string) *powerRecording {
	r := &powerRecording{disk: newPowerDisk(filepath.Join(dir, "members"))}
	r.trace = &powerTrace{disk: r.disk, marks: powerMarks, told: func(at int, line []byte) error {
		var m powerMark
		if err := json.Unmarshal(bytes.TrimSpace(line), &m); err != nil {
			return err
		}
		m.at = at
		r.marks = append(r.marks, m)
		return nil
	}}
	return r
}

func (r *powerRecording) readPhases(dir string, count int) error {
	for phase := range count {
		f, err := os.Open(phaseFile(dir, phase))
		if err != nil {
			return err
		}
		r.begins = append(r.begins, r.disk.last)
		err = r.trace.read(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("phase %d: %w", phase, err)
		}
	}
	return nil
}

// readPower reads a recording.
func readPower(dir string) (*powerRecording, error) {
	r := newPowerRecording(dir)
	err := r.readPhases(dir, len(powerKillList)+1)
	r.syncs = map[string][][]int{}
	seen := map[*powerInode]bool{}
	var look func(p *powerInode)
	look = func(p *powerInode) {
		for _, c := range p.changes {
			if in := c.newInode; in != nil && !seen[in] {
				seen[in] = true
				look(in)
			}
		}
		var begins []int
		for _, s := range p.syncs {
			begins = append(begins, s.begin)
		}
		if kind := digits.ReplaceAllString(filepath.Base(p.path), "0"); len(begins) > 0 {
			r.syncs[kind] = append(r.syncs[kind], begins)
		}
	}
	look(r.disk.root)
	r.kinds = slices.Sorted(maps.Keys(r.syncs))
	return r, err
}

// digits are what distinguishes the names of files of one kind.
var digits = regexp.MustCompile("[0-9a-f]*[0-9]+[0-9a-f]*")

// powerReference is what the disks are compared with: the log that was committed in the end, and
// the state after each entry.
type powerReference struct {
	log    map[uint64]powerEntry
	states map[uint64][sha256.Size]byte
	events map[string]uint64 // where in the log an event was applied
	acked  []powerMark
}

func newPowerReference(t *testing.T, r *powerRecording) (*powerReference, error) {
	ref := &powerReference{log: map[uint64]powerEntry{}, states: map[uint64][sha256.Size]byte{}, events: map[string]uint64{}}
	logs := map[string]map[uint64]powerEntry{}
	for _, m := range r.marks {
		switch m.Kind {
		case markStoring:
			if logs[m.Member] == nil {
				logs[m.Member] = map[uint64]powerEntry{}
			}
			for _, e := range m.Entries {
				logs[m.Member][e.Index] = e
			}
		case markAcked:
			ref.acked = append(ref.acked, m)
		}
	}
	last := uint64(0)
	for _, l := range logs {
		for i := range l {
			last = max(last, i)
		}
	}
	for i := uint64(1); i <= last; i++ {
		best := -1
		for _, l := range logs {
			e, ok := l[i]
			if !ok {
				continue
			}
			votes := 0
			for _, other := range logs {
				if o, ok := other[i]; ok && o.same(e) {
					votes++
				}
			}
			if votes > best || votes == best && e.Term > ref.log[i].Term {
				best, ref.log[i] = votes, e
			}
		}
		if best < 0 {
			return nil, fmt.Errorf("nobody has stored entry %d", i)
		}
	}
	dir := t.TempDir()
	m, err := fsm.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if ref.states[0], err = stateSum(m); err != nil {
		return nil, err
	}
	machine := fsm.NewRaft(m, func(error) {})
	for i := uint64(1); i <= last; i++ {
		outcome, err := applyTo(machine, ref.log[i])
		if err != nil {
			return nil, err
		}
		for _, results := range outcome {
			for _, e := range results {
				if e.Status == score.Applied {
					ref.events[e.ID] = i
				}
			}
		}
		if ref.states[i], err = stateSum(m); err != nil {
			return nil, err
		}
	}
	for _, a := range ref.acked {
		if ref.events[a.ID] == 0 {
			return nil, fmt.Errorf("the event %s was acknowledged at revision %d and is not in the log", a.ID, a.From)
		}
	}
	return ref, nil
}

// applyTo applies an entry if Raft would.
func applyTo(machine *fsm.Raft, e powerEntry) (fsm.Outcome, error) {
	if e.Type != raft.LogCommand && e.Type != raft.LogConfiguration {
		return nil, nil
	}
	switch o := machine.Apply(&raft.Log{Index: e.Index, Term: e.Term, Type: e.Type, Data: e.Data}).(type) {
	case error:
		return nil, fmt.Errorf("apply entry %d: %w", e.Index, o)
	case fsm.Outcome:
		return o, nil
	}
	return nil, nil
}

func stateSum(m *fsm.Machine) (sum [sha256.Size]byte, err error) {
	s, err := m.Snapshot()
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	_, err = s.WriteTo(h)
	h.Sum(sum[:0])
	return sum, errors.Join(err, s.Close())
}

// check makes one cut and opens the disks.
func (ref *powerReference) check(r *powerRecording, n int, temp string) error {
	defer os.RemoveAll(temp)
	random := rand.New(rand.NewPCG(uint64(n), 0))
	cut := &powerCut{rand: random, fixed: -1}
	switch random.IntN(10) {
	case 0, 1:
		cut.fixed = lossAll
	case 2:
		cut.fixed = lossNone
	}
	switch opened := r.opened(); {
	case n < len(opened): // a member has just read its log
		cut.at, cut.fixed = opened[n]+1, lossAll
	case n%4 == 0: // while a file waits for the disk, each kind of files as often as the others
		kind := r.syncs[r.kinds[random.IntN(len(r.kinds))]]
		syncs := kind[random.IntN(len(kind))]
		cut.at = syncs[random.IntN(2)*random.IntN(len(syncs))] + 1 // half of them the first time
	case n%8 == 1: // the members start
		cut.at = r.begins[random.IntN(len(r.begins))] + random.IntN(500)
	case n%4 == 2: // anywhere
		cut.at = 1 + random.IntN(r.disk.last)
	default: // right behind something that a member relies on
		cut.at = r.marks[random.IntN(len(r.marks))].at + 1
	}
	if err := cut.write(r.disk.root, temp); err != nil {
		return err
	}
	covered := map[string]uint64{}
	var errs []error
	for _, id := range []string{"f1", "f2", "f3"} {
		has, err := ref.open(newPowerPromise(r.marks, cut.at, id), id, filepath.Join(temp, id))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", id, err))
		}
		covered[id] = has
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("at %d, %s: %w", cut.at, stageAt(r.marks, cut.at), err)
	}
	for _, a := range ref.acked {
		disks := 0
		for _, has := range covered {
			if ref.events[a.ID] <= has {
				disks++
			}
		}
		if a.at < cut.at && disks < 2 {
			return fmt.Errorf("at %d: the acknowledged event %s is on %d disks", cut.at, a.ID, disks)
		}
	}
	return nil
}

// opened returns when members have opened their logs.
func (r *powerRecording) opened() (at []int) {
	for _, m := range r.marks {
		if m.Kind == markOpened || m.Kind == markHolds && m.Key == voteTermKey {
			at = append(at, m.at)
		}
	}
	return at
}

// checkNames checks that all files and directories of a member are on the disk under their names
// before Raft stores anything, and that the vote's file got its name when it was whole.
func (r *powerRecording) checkNames(id string) error {
	for _, c := range r.disk.root.names[id].changes {
		if c.named != voteFile {
			continue
		}
		if certain, open := c.newInode.parts(c.begin); len(certain) == 0 || len(open) > 0 {
			return fmt.Errorf("%s of %s has its name and is not whole on the disk", voteFile, id)
		}
	}
	for _, m := range r.marks {
		if m.Member != id || m.Kind != markSetting && m.Kind != markStoring {
			continue
		}
		disk := &powerCut{at: m.at, fixed: lossAll}
		in := disk.names(r.disk.root)[id]
		if in == nil {
			return fmt.Errorf("the directory of %s is not on the disk when it stores something", id)
		}
		names := disk.names(in)
		for _, name := range []string{identityFile, voteFile, logDir, snapshotDir} {
			if names[name] == nil {
				return fmt.Errorf("%s has no %s on the disk when it stores something", id, name)
			}
		}
		break
	}
	return nil
}

// checkSynced checks that in each phase a member syncs what the one before may have left to the
// kernel, before it stores anything itself: from then on it may have acknowledged what it read.
func (r *powerRecording) checkSynced(id string) error {
	root := r.disk.root.names[id]
	log := root.names[logDir]
	var files []span // syncs of the log's files
	for _, c := range log.changes {
		if c.newInode != nil && strings.HasSuffix(c.named, ".wal") {
			files = append(files, c.newInode.syncs...)
		}
	}
	for phase, begin := range r.begins[1:] {
		first := slices.IndexFunc(r.marks, func(m powerMark) bool {
			return m.at > begin && m.Member == id && (m.Kind == markStoring || m.Kind == markSetting)
		})
		for what, syncs := range map[string][]span{
			"its vote": root.names[voteFile].syncs, "the list of its log's files": log.names["wal-meta.db"].syncs, "its log's last file": files,
			"its log's directory": log.syncs, "its snapshots' directory": root.names[snapshotDir].syncs, "its directory": root.syncs,
		} {
			if !slices.ContainsFunc(syncs, func(s span) bool { return s.begin > begin && s.end < r.marks[first].at }) {
				return fmt.Errorf("%s has not synced %s when it first stores something in phase %d", id, what, phase+1)
			}
		}
	}
	return nil
}

func stageAt(marks []powerMark, at int) (stage string) {
	for _, m := range marks {
		if m.Kind == markStage && m.at < at {
			stage = m.ID
		}
	}
	return stage
}

// powerPromise is what a member may have told others at some moment, and what it may not know.
type powerPromise struct {
	relied   map[uint64]powerEntry   // entries that it has, or that a snapshot must stand for
	possible map[uint64][]powerEntry // entries that its log may have
	values   map[string][][]byte     // of the stable store: the last one set, and those being set
}

// newPowerPromise reads what a member has done before a moment.
func newPowerPromise(marks []powerMark, cut int, member string) *powerPromise {
	p := &powerPromise{relied: map[uint64]powerEntry{}, possible: map[uint64][]powerEntry{}, values: map[string][][]byte{}}
	begun := map[int64]powerMark{}
	first := uint64(0) // of the log
	for _, m := range marks {
		if m.at >= cut || m.Member != member {
			continue
		}
		switch m.Kind {
		case markOpened:
			for i, e := range m.Entries {
				if i == 0 {
					first = e.Index
				}
				p.relied[e.Index] = e
			}
		case markStoring:
			begun[m.Call] = m
			for _, e := range m.Entries {
				p.possible[e.Index] = append(p.possible[e.Index], e)
			}
		case markStored:
			for i, e := range begun[m.Call].Entries {
				if i == 0 && first == 0 {
					first = e.Index
				}
				p.relied[e.Index] = e
				p.possible[e.Index] = []powerEntry{e}
			}
		case markRemoving:
			begun[m.Call] = m
			if m.From > first { // the newest, which another master's replace
				for i := m.From; i <= m.To; i++ {
					delete(p.relied, i)
				}
			}
		case markRemoved:
			m = begun[m.Call]
			if m.From <= first {
				first = m.To + 1
				break
			}
			for i := m.From; i <= m.To; i++ {
				delete(p.possible, i)
			}
		case markHolds:
			p.values[m.Key] = [][]byte{m.Value}
		case markSetting:
			begun[m.Call] = m
			p.values[m.Key] = append(p.values[m.Key], m.Value)
			if len(p.values[m.Key]) == 1 {
				p.values[m.Key] = [][]byte{nil, m.Value}
			}
		case markSet:
			m = begun[m.Call]
			p.values[m.Key] = [][]byte{m.Value}
		}
	}
	return p
}

// open opens the disk of a member and returns the last entry that its state and log account for.
func (ref *powerReference) open(p *powerPromise, id, dir string) (has uint64, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		has, err = ref.opened(p, id, dir, func(failed error) {
			err = fmt.Errorf("it ended with: %w", failed)
			runtime.Goexit()
		})
	}()
	<-done
	return has, err
}

func (ref *powerReference) opened(p *powerPromise, id, dir string, fatal func(error)) (has uint64, err error) {
	s, err := raftlog.Open(raftlog.Options{
		Dir:         dir,
		ID:          id,
		Bootstrap:   id == "f1",
		Join:        true,
		SegmentSize: powerSegment,
		Logger:      slog.New(slog.DiscardHandler),
		Fatal:       fatal,
	})
	if err != nil {
		return 0, fmt.Errorf("it does not open: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := p.checkValues(s.Stable()); err != nil {
		return 0, err
	}
	m, err := s.OpenMachine()
	if err != nil {
		return 0, fmt.Errorf("its state does not open: %w", err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	applied := m.Applied()
	if sum, err := stateSum(m); err != nil || sum != ref.states[applied] {
		return 0, errors.Join(err, fmt.Errorf("its state after entry %d is not that of the log", applied))
	}
	list, err := s.Snapshots().List()
	if err != nil {
		return 0, err
	}
	has = applied
	if len(list) > 0 {
		has = max(has, list[0].Index)
	}
	entries, err := logEntries(s.Log())
	if err != nil {
		return 0, fmt.Errorf("its log cannot be read: %w", err)
	}
	if len(entries) > 0 && entries[0].Index > has+1 {
		return 0, fmt.Errorf("its log begins with entry %d, its state ends with %d", entries[0].Index, has)
	}
	if err := p.checkLog(entries, has); err != nil {
		return 0, err
	}
	// What is committed of the log leads to the state that the others have.
	machine := fsm.NewRaft(m, fatal)
	for _, e := range entries {
		if e.Index <= has {
			continue
		}
		if !e.same(ref.log[e.Index]) {
			break
		}
		if _, err := applyTo(machine, e); err != nil {
			return 0, err
		}
		has = e.Index
	}
	if sum, err := stateSum(m); err != nil || sum != ref.states[m.Applied()] {
		return 0, errors.Join(err, fmt.Errorf("its state after entry %d, from its own log, is another one", m.Applied()))
	}
	return has, nil
}

// checkValues compares the term and the vote with those that the member has told.
func (p *powerPromise) checkValues(stable raft.StableStore) error {
	for key, want := range p.values {
		has, err := stable.Get([]byte(key))
		if err != nil {
			has = nil
		}
		if key != "LastVoteCand" && has != nil {
			n, err := stable.GetUint64([]byte(key))
			if err != nil {
				return err
			}
			has = fmt.Append(nil, n)
		}
		ok := false
		for _, w := range want {
			ok = ok || bytes.Equal(w, has)
		}
		if !ok {
			return fmt.Errorf("%s is %q, not one of %q", key, has, want)
		}
	}
	return nil
}

// checkLog compares the log with what the member has stored. Entries up to the state's last may be
// gone.
func (p *powerPromise) checkLog(entries []powerEntry, covered uint64) error {
	there := map[uint64]powerEntry{}
	for _, e := range entries {
		there[e.Index] = e
		known := false
		for _, c := range p.possible[e.Index] {
			known = known || c.same(e)
		}
		if !known {
			return fmt.Errorf("its log has an entry %d of term %d, which it has not stored or has removed", e.Index, e.Term)
		}
	}
	for i, e := range p.relied {
		if is, ok := there[i]; ok && !is.same(e) || !ok && i > covered {
			return fmt.Errorf("its log lacks entry %d of term %d", i, e.Term)
		}
	}
	return nil
}
