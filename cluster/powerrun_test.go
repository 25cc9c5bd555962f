package cluster

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/raftlog"
	"laurel/score"
)

// What the test of power loss runs under strace: this test binary, once for each phase. A phase
// is a process with three members; it ends with a kill of itself, or cleanly.
const (
	powerDirEnv   = "LAUREL_POWER_DIR"   // of the members and the marks
	powerStateEnv = "LAUREL_POWER_STATE" // a file that hands the addresses and counts to the next phase
	powerPhaseEnv = "LAUREL_POWER_PHASE"

	powerMarks   = "marks"
	powerSegment = 16 << 10
	powerPosts   = 500 // at most, by each member, while it waits for a write to end the process in
	powerEntries = 12  // between snapshots
)

// powerMark says, within the recording, what a member has begun, or may rely on from then on.
type powerMark struct {
	Kind    string       `json:"kind"`
	Member  string       `json:"member,omitzero"`
	Call    int64        `json:"call,omitzero"` // the same at the begin and the end of a call
	Entries []powerEntry `json:"entries,omitzero"`
	From    uint64       `json:"from,omitzero"`
	To      uint64       `json:"to,omitzero"`
	Key     string       `json:"key,omitzero"`
	Value   []byte       `json:"value,omitzero"`
	ID      string       `json:"id,omitzero"` // of an acknowledged event
	at      int
}

const (
	markOpened   = "opened"   // the log holds these entries, all of which the member may acknowledge
	markHolds    = "holds"    // the stable store has this value when it is opened
	markStoring  = "storing"  // entries
	markStored   = "stored"   //
	markRemoving = "removing" // entries
	markRemoved  = "removed"  //
	markSetting  = "setting"  // a value of the stable store
	markSet      = "set"      //
	markAcked    = "acked"    // a client knows that an event was applied
	markStage    = "stage"    // the workload has come so far
)

type powerEntry struct {
	Index uint64       `json:"index"`
	Term  uint64       `json:"term"`
	Type  raft.LogType `json:"type"`
	Data  []byte       `json:"data,omitzero"`
}

func (e powerEntry) same(o powerEntry) bool {
	return e.Index == o.Index && e.Term == o.Term && e.Type == o.Type && string(e.Data) == string(o.Data)
}

func entryOf(l *raft.Log) powerEntry { return powerEntry{l.Index, l.Term, l.Type, l.Data} }

// marker writes marks to a file in the recorded directory.
type marker struct {
	mu    sync.Mutex
	file  *os.File
	calls atomic.Int64
	kill  atomic.Pointer[powerKill]
}

func (m *marker) mark(p powerMark) {
	b, err := json.Marshal(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		_, err = m.file.Write(append(b, '\n'))
	}
	if err != nil {
		panic(err)
	}
}

// powerKill is a write within which the process ends: when it is in a file and not synced yet.
type powerKill struct {
	after string // the mark that tells that the write is done
	files string // a pattern, in the directory of a member
	bytes int    // of each file that are looked at; the databases end each write with one of these
}

// powerKillList are the writes within which the phases end.
var powerKillList = []powerKill{
	{markStored, "wal/*.wal", powerSegment},
	{markSet, voteFile, 2 * pageBytes},
	{markRemoved, "wal/wal-meta.db", 2 * pageBytes},
	{markStored, "wal/*.wal", powerSegment},
}

// within ends the process in the next write of its kind. The write may go to a file that is made
// only now, or end first: its maker must call the function returned when it has ended.
func (m *marker) within(after, dir string) (ended func()) {
	kill := m.kill.Load()
	if kill == nil || kill.after != after || !m.kill.CompareAndSwap(kill, nil) {
		return func() {}
	}
	// Reading files that are open already makes no call that is recorded, so it is quick.
	paths, err := filepath.Glob(filepath.Join(dir, kill.files))
	var files []*os.File
	for _, path := range paths {
		f, failed := os.Open(path)
		files, err = append(files, f), errors.Join(err, failed)
	}
	if err != nil {
		panic(err)
	}
	b := make([]byte, kill.bytes)
	sum := func() uint32 {
		sum := uint32(0)
		for _, f := range files {
			n, _ := f.ReadAt(b, 0)
			sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), b[:n])
		}
		return sum
	}
	before := sum()
	die := func() { syscall.Kill(os.Getpid(), syscall.SIGKILL) }
	go func() {
		for {
			if sum() != before {
				die()
			}
		}
	}()
	return die
}

// marked is a store that marks what it is asked to do before and after.
type marked struct {
	raftlog.Backend
	*marker
	member string
	dir    string
}

func (m *marked) around(before powerMark, after string, f func() error) error {
	before.Member, before.Call = m.member, m.calls.Add(1)
	m.mark(before)
	ended := func() {}
	if after != markRemoved || m.dropsFile(before.To) {
		ended = m.within(after, m.dir)
	}
	err := f()
	ended()
	if err == nil {
		m.mark(powerMark{Kind: after, Member: m.member, Call: before.Call})
	}
	return err
}

func (m *marked) IsMonotonic() bool { return m.Backend.(raft.MonotonicLogStore).IsMonotonic() }

func (m *marked) StoreLog(l *raft.Log) error { return m.StoreLogs([]*raft.Log{l}) }

func (m *marked) StoreLogs(l []*raft.Log) error {
	p := powerMark{Kind: markStoring}
	for _, e := range l {
		p.Entries = append(p.Entries, entryOf(e))
	}
	return m.around(p, markStored, func() error { return m.Backend.StoreLogs(l) })
}

func (m *marked) DeleteRange(from, to uint64) error {
	p := powerMark{Kind: markRemoving, From: from, To: to}
	return m.around(p, markRemoved, func() error { return m.Backend.DeleteRange(from, to) })
}

// dropsFile reports whether the oldest file of the log goes if the entries up to an index do.
func (m *marked) dropsFile(to uint64) bool {
	files, err := filepath.Glob(filepath.Join(m.dir, logDir, "*.wal"))
	if err != nil || len(files) < 2 {
		return false
	}
	base := uint64(0)
	_, err = fmt.Sscanf(filepath.Base(files[1]), "%d-", &base) // Glob sorts
	return err == nil && base <= to+1
}

func (m *marked) Set(k, v []byte) error {
	p := powerMark{Kind: markSetting, Key: string(k), Value: v}
	return m.around(p, markSet, func() error { return m.Backend.Set(k, v) })
}

func (m *marked) SetUint64(k []byte, v uint64) error {
	p := powerMark{Kind: markSetting, Key: string(k), Value: fmt.Append(nil, v)}
	return m.around(p, markSet, func() error { return m.Backend.SetUint64(k, v) })
}

// opened marks what a log holds when it is opened.
func (m *marked) opened() *marked {
	p := powerMark{Kind: markOpened, Member: m.member}
	list, err := logEntries(m.Backend)
	if err != nil {
		panic(err)
	}
	p.Entries = list
	m.mark(p)
	for _, key := range []string{termKey, voteTermKey, "LastVoteCand"} {
		value, err := m.Get([]byte(key))
		if err == nil && key != "LastVoteCand" {
			var n uint64
			n, err = m.GetUint64([]byte(key))
			value = fmt.Append(nil, n)
		}
		if err == nil {
			m.mark(powerMark{Kind: markHolds, Member: m.member, Key: key, Value: value})
		}
	}
	return m
}

func logEntries(l raft.LogStore) (list []powerEntry, err error) {
	first, err := l.FirstIndex()
	if err != nil || first == 0 {
		return nil, err
	}
	last, err := l.LastIndex()
	for i := first; err == nil && i <= last; i++ {
		var e raft.Log
		if err = l.GetLog(i, &e); err == nil {
			list = append(list, entryOf(&e))
		}
	}
	return list, err
}

// powerState is what a phase leaves to the next.
type powerState struct {
	Peers []string `json:"peers"`
	Next  uint64   `json:"next"` // the next seq of the source that posts
}

// powerRun is one phase.
type powerRun struct {
	*group
	marker *marker
	seq    uint64
	path   string
}

// powerOptions are the options of each member.
func powerOptions(o *Options) {
	o.SnapshotEntries = powerEntries
	o.segmentSize = powerSegment
	o.tune = func(c *raft.Config) { c.SnapshotInterval = 100 * time.Millisecond }
}

func runPowerPhase(t *testing.T, dir string) {
	file, err := os.OpenFile(filepath.Join(dir, powerMarks), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	r := &powerRun{group: &group{t: t}, marker: &marker{file: file}, path: os.Getenv(powerStateEnv)}
	state := powerState{Next: 1}
	if b, err := os.ReadFile(r.path); err == nil {
		if err := json.Unmarshal(b, &state); err != nil {
			t.Fatal(err)
		}
	}
	r.seq = state.Next
	phase := 0
	fmt.Sscan(os.Getenv(powerPhaseEnv), &phase)
	r.marker.calls.Store(int64(phase) << 32)
	for range 3 {
		n := r.add(powerOptions, func(o *Options) {
			o.Dir = filepath.Join(dir, o.ID)
		})
		if i := len(r.nodes) - 1; i < len(state.Peers) {
			n.opts.Peer = state.Peers[i]
		}
		id, dir := n.opts.ID, n.opts.Dir
		n.opts.wrap = func(b raftlog.Backend) raftlog.Backend { return (&marked{b, r.marker, id, dir}).opened() }
	}
	for _, n := range r.nodes {
		n.start()
	}
	r.settle()
	switch phase {
	case 0:
		r.grow()
	case 1, 2, 3:
		r.stage("after a kill")
		r.posts(3 * powerEntries)
	default:
		r.posts(10)
		r.restarts()
	}
	if phase < len(powerKillList) {
		r.killItself(powerKillList[phase])
	}
	master := r.master()
	revision := master.member().machine.Revision()
	r.agree(revision)
}

func (r *powerRun) stage(name string) { r.marker.mark(powerMark{Kind: markStage, ID: name}) }

// keep writes what the next phase needs. The seqs of posts under way when this process is killed
// are known by then.
func (r *powerRun) keep() {
	state := powerState{Next: r.seq}
	for _, n := range r.nodes {
		state.Peers = append(state.Peers, n.opts.Peer)
	}
	b, err := json.Marshal(state)
	if err == nil {
		err = os.WriteFile(r.path, b, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// posts posts several kinds of events, to one member after the other.
func (r *powerRun) posts(count int) {
	r.t.Helper()
	for range count {
		up := r.running()
		r.acked(mustPost(r.t, up[int(r.seq)%len(up)], r.next()))
	}
}

// next makes the next post: one that defines a contest first, then plays of it, of one to three
// events each.
func (r *powerRun) next() score.Post {
	p := score.Post{Mode: score.UntilRefused}
	for range 1 + r.seq%3 {
		e := score.Event{ID: fmt.Sprintf("power-%d", r.seq), IDGiven: true, Source: "bard/power", Seq: r.seq, Time: time.Now(), ContestID: "OG50BC/final"}
		switch {
		case r.seq == 1:
			e.Type, e.Data = score.TypeContestDefine, &score.ContestDefine{Kind: score.HeadToHead, Sport: "hockey", Competitors: []score.Entrant{{Code: "GAU"}, {Code: "ROM"}}}
		case r.seq == 2:
			e.Type, e.Data = score.TypeContestStatus, &score.ContestStatus{ScheduleStatus: score.Running}
		case r.seq%2 == 0:
			e.Type, e.Data = score.TypeScorePlay, &score.ScorePlay{Competitor: "GAU", Delta: decimal(r.t, "1")}
		default:
			e.Type, e.Data = score.TypeAlert, &score.Alert{Text: fmt.Sprintf("it rains for the %d. time", r.seq)}
		}
		p.Events = append(p.Events, e)
		r.seq++
	}
	return p
}

func (r *powerRun) acked(results []score.Result) {
	for _, e := range results {
		r.marker.mark(powerMark{Kind: markAcked, ID: e.ID, From: e.Revision})
	}
}

// grow makes the log long enough for snapshots, sealed files and removed ones, lets a follower fall
// behind a snapshot, and changes the master.
func (r *powerRun) grow() {
	r.posts(2 * powerEntries)
	late := r.others(r.master())[0]
	r.stage("a follower stops")
	late.stop()
	behind := r.master().member().raft.LastIndex()
	eventually(r.t, "the log begins behind what the follower has", func() error {
		r.posts(powerEntries / 2)
		first, err := r.master().member().storage.Log().FirstIndex()
		if err == nil && first <= behind+1 {
			err = fmt.Errorf("it begins with entry %d", first)
		}
		return err
	})
	r.stage("it gets a snapshot")
	late.start()
	r.settle()
	r.agree(r.master().member().machine.Revision())
	r.stage("the master changes")
	r.restarts()
	r.posts(powerEntries)
}

// restarts hands the master's place over, and stops and starts the next one.
func (r *powerRun) restarts() {
	master := r.master()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	master.member().HandOver(ctx)
	r.posts(4)
	next := r.master()
	next.stop()
	r.posts(powerEntries)
	next.start()
	r.settle()
	r.posts(4)
}

// killItself ends the process in a write, in the middle of posts that come to all members at a
// time. A change of the master makes the members vote.
func (r *powerRun) killItself(kill powerKill) {
	r.stage("it is to be killed")
	r.posts(2)
	r.keep()
	var all sync.WaitGroup
	for i, n := range r.nodes {
		all.Go(func() {
			for seq := uint64(1); seq <= powerPosts; seq++ {
				results, err := n.member().Post(context.Background(), alerts(fmt.Sprintf("bard/killed-%d-%d", r.seq, i), seq, 1))
				if err == nil {
					r.acked(results)
				}
				if seq == 3 && i == 0 {
					r.marker.kill.Store(&kill)
					all.Go(func() { r.master().member().HandOver(context.Background()) })
				}
			}
		})
	}
	all.Wait()
	syscall.Kill(os.Getpid(), syscall.SIGKILL) // no such write came
}
