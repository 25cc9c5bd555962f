package cluster

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/raftlog"
)

// powerMark notes in the recording what a member has begun, or may rely on from then on.
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
	markOpened   = "opened"   // the log has these entries, all of which the member may acknowledge
	markHolds    = "holds"    // the stable store has this value when it is opened
	markStoring  = "storing"  // entries
	markStored   = "stored"   // these entries
	markRemoving = "removing" // entries
	markRemoved  = "removed"  // these entries
	markSetting  = "setting"  // a value of the stable store
	markSet      = "set"      // this value
	markAcked    = "acked"    // a client knows that an event was applied
	markStage    = "stage"    // the workload has reached this stage
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

// powerKill is a write in which the process is killed: when a file has changed and is not
// synced yet.
type powerKill struct {
	after string // the mark at the end of the write
	files string // a pattern, in the directory of a member
	bytes int    // of each file that are watched; each write of a database ends with one of these
	later bool   // the write is a later one, which the one with the mark causes
}

// powerKillList is the write in which each phase ends.
var powerKillList = []powerKill{
	{after: markStored, files: "wal/*.wal", bytes: powerSegment},
	{after: markSet, files: voteFile, bytes: 2 * pageBytes},
	{after: markRemoved, files: "wal/wal-meta.db", bytes: 2 * pageBytes},
	// Then the list may have a new segment, whose file does not exist yet.
	{after: markStored, files: "wal/wal-meta.db", bytes: 2 * pageBytes, later: true},
}

// killWithin kills the process in the next write of the chosen kind. The write may go to
// a file that does not exist yet, or end first, so the caller must call ended after the
// write.
func (m *marker) killWithin(after, dir string) (ended func()) {
	kill := m.kill.Load()
	if kill == nil || kill.after != after || !m.kill.CompareAndSwap(kill, nil) {
		return func() {}
	}
	// Reading files that are open already is fast, because it makes no call that is
	// recorded.
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
			sum = crc32.Update(sum, crc32.IEEETable, b[:n])
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
	if kill.later {
		return func() {}
	}
	return die
}

// markingStore is a store that writes a mark before and after each operation.
type markingStore struct {
	raftlog.Backend
	*marker
	member string
	dir    string
}

func (m *markingStore) around(before powerMark, after string, f func() error) error {
	before.Member, before.Call = m.member, m.calls.Add(1)
	m.mark(before)
	ended := func() {}
	if after != markRemoved || m.removesSegment(before.To) {
		ended = m.killWithin(after, m.dir)
	}
	err := f()
	ended()
	if err == nil {
		m.mark(powerMark{Kind: after, Member: m.member, Call: before.Call})
	}
	return err
}

func (m *markingStore) StoreLog(l *raft.Log) error { return m.StoreLogs([]*raft.Log{l}) }

func (m *markingStore) StoreLogs(l []*raft.Log) error {
	p := powerMark{Kind: markStoring}
	for _, e := range l {
		p.Entries = append(p.Entries, entryOf(e))
	}
	return m.around(p, markStored, func() error { return m.Backend.StoreLogs(l) })
}

func (m *markingStore) DeleteRange(from, to uint64) error {
	p := powerMark{Kind: markRemoving, From: from, To: to}
	return m.around(p, markRemoved, func() error { return m.Backend.DeleteRange(from, to) })
}

// removesSegment reports whether removing the entries up to an index removes a segment.
func (m *markingStore) removesSegment(to uint64) bool {
	files, err := filepath.Glob(filepath.Join(m.dir, logDir, "*.wal"))
	if err != nil || len(files) < 2 {
		return false
	}
	base := uint64(0)
	_, err = fmt.Sscanf(filepath.Base(files[1]), "%d-", &base) // Glob sorts
	return err == nil && base <= to+1
}

func (m *markingStore) Set(k, v []byte) error {
	p := powerMark{Kind: markSetting, Key: string(k), Value: v}
	return m.around(p, markSet, func() error { return m.Backend.Set(k, v) })
}

func (m *markingStore) SetUint64(k []byte, v uint64) error {
	p := powerMark{Kind: markSetting, Key: string(k), Value: fmt.Append(nil, v)}
	return m.around(p, markSet, func() error { return m.Backend.SetUint64(k, v) })
}

// markOpened writes marks with the content of the store when it is opened.
func (m *markingStore) markOpened() *markingStore {
	p := powerMark{Kind: markOpened, Member: m.member}
	list, err := logEntries(m.Backend)
	if err != nil {
		panic(err)
	}
	p.Entries = list
	m.mark(p)
	for _, key := range []string{termKey, voteTermKey, voteCandidateKey} {
		value, err := m.Get([]byte(key))
		if err == nil && key != voteCandidateKey {
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
