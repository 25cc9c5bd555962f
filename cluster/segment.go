package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// filer makes and opens the files of the log for raft-wal. What it puts around them: a checksum on each entry, the memory that a full file
// no longer needs, and the error that raft-wal forgets.
type filer struct {
	*segment.Filer
	dir    string
	failed atomic.Pointer[error] // the last file that could not be made
}

func newFiler(dir string) *filer { return &filer{Filer: segment.NewFiler(dir, walfs.New()), dir: dir} }

func (f *filer) fail(err error) error {
	if err != nil {
		err = fmt.Errorf("begin the next file of the log: %w", err)
		f.failed.Store(&err)
	}
	return err
}

// Create makes a file and its writer.
func (f *filer) Create(info types.SegmentInfo) (types.SegmentWriter, error) {
	w, err := f.Filer.Create(info)
	if err != nil {
		return nil, f.fail(err)
	}
	return &tail{filer: f, info: info, w: w}, nil
}

// RecoverTail opens the last file, up to the last write that is whole. A killed process can leave
// writes that only the kernel has, and this member acknowledges what it reads here, so the file is
// synced first, and checked for damage that raft-wal takes for a torn write.
func (f *filer) RecoverTail(info types.SegmentInfo) (types.SegmentWriter, error) {
	if err := f.secureTail(filepath.Join(f.dir, segment.FileName(info))); err != nil {
		return nil, err
	}
	w, err := f.Filer.RecoverTail(info)
	if err != nil {
		return nil, err
	}
	return &tail{filer: f, info: info, w: w}, nil
}

func (f *filer) secureTail(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Sync(); err != nil { // openLog has synced the directory
		return fmt.Errorf("sync the last file of the log: %w", err)
	}
	b, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("read the last file of the log: %w", err)
	}
	return lostCommit(b)
}

// Open opens a full file.
func (f *filer) Open(info types.SegmentInfo) (types.SegmentReader, error) {
	r, err := f.Filer.Open(info)
	if err != nil {
		return nil, err
	}
	return checked{r}, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumBytes = 4

// checked reads entries that end with their checksum. raft-wal has one only for its last write.
type checked struct{ types.SegmentReader }

// GetLog reads the entry with that index.
func (c checked) GetLog(index uint64) (*types.PooledBuffer, error) {
	b, err := c.SegmentReader.GetLog(index)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: the file ends within it", types.ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	n := len(b.Bs) - sumBytes
	if n < 0 || crc32.Checksum(b.Bs[:n], castagnoli) != binary.LittleEndian.Uint32(b.Bs[n:]) {
		b.Close()
		return nil, fmt.Errorf("%w: its checksum is wrong", types.ErrCorrupt)
	}
	b.Bs = b.Bs[:n]
	return b, nil
}

// tail is the file that is written. raft-wal reads from it as long as the entries are wanted, also when it is full; it then has the buffer of
// its largest write and a table of its entries in memory, so it is opened anew, for reading.
type tail struct {
	filer *filer
	info  types.SegmentInfo

	mu   sync.RWMutex
	w    types.SegmentWriter // nil when full is not
	full *fullFile
}

// fullFile is what there is to know about a file that will not be written any more.
type fullFile struct {
	types.SegmentReader
	last, index uint64
}

// Append writes entries and waits for the disk.
func (t *tail) Append(entries []types.LogEntry) error {
	if t.full != nil {
		return types.ErrSealed
	}
	for i, e := range entries {
		entries[i].Data = binary.LittleEndian.AppendUint32(e.Data, crc32.Checksum(e.Data, castagnoli))
	}
	if err := t.w.Append(entries); err != nil {
		return err
	}
	if full, at, err := t.w.Sealed(); err == nil && full {
		t.shut(at)
	}
	return nil
}

// shut replaces the writer by a reader. If the file cannot be opened anew, the writer stays and costs its memory.
func (t *tail) shut(at uint64) {
	info := t.info
	info.SealTime, info.IndexStart, info.MaxIndex = time.Now(), at, t.w.LastIndex()
	r, err := t.filer.Open(info)
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.w.Close() // all in it is on the disk
	t.w, t.full = nil, &fullFile{SegmentReader: r, last: info.MaxIndex, index: at}
}

// Sealed says whether the file is full, and where its table of entries begins.
func (t *tail) Sealed() (bool, uint64, error) {
	if t.full != nil {
		return true, t.full.index, nil
	}
	return t.w.Sealed()
}

// ForceSeal ends the file before it is full.
func (t *tail) ForceSeal() (uint64, error) {
	if t.full != nil {
		return t.full.index, nil
	}
	at, err := t.w.ForceSeal()
	if err == nil {
		t.shut(at)
	}
	return at, err
}

// LastIndex is the index of the last entry that is on the disk, 0 if there is none.
func (t *tail) LastIndex() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.full != nil {
		return t.full.last
	}
	return t.w.LastIndex()
}

// GetLog reads an entry.
func (t *tail) GetLog(index uint64) (*types.PooledBuffer, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.full != nil {
		return t.full.GetLog(index)
	}
	return checked{t.w}.GetLog(index)
}

// Close closes the file.
func (t *tail) Close() error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.full != nil {
		return t.full.Close()
	}
	return t.w.Close()
}

// segmentIndex is where raft-wal keeps which files belong to the log.
type segmentIndex struct {
	metadb.BoltMetaDB
	filer *filer
}

// CommitState stores which files belong to the log.
func (s *segmentIndex) CommitState(state types.PersistentState) error {
	return s.filer.fail(s.BoltMetaDB.CommitState(state))
}

// Load tells which files belong to the log. A crash can leave a last file that was being ended while it is not yet listed so; raft-wal would
// open it and never again append. Such a file is written anew, without its end.
func (s *segmentIndex) Load(dir string) (types.PersistentState, error) {
	state, err := s.BoltMetaDB.Load(dir)
	if err != nil || len(state.Segments) == 0 {
		return state, err
	}
	last := &state.Segments[len(state.Segments)-1]
	if !last.SealTime.IsZero() {
		return state, nil
	}
	w, err := s.filer.RecoverTail(*last)
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil // raft-wal makes it
	}
	if err != nil {
		return state, err
	}
	defer w.Close()
	if ended, _, err := w.Sealed(); err != nil || !ended {
		return state, err
	}
	anew, err := s.filer.copy(w, types.SegmentInfo{
		ID: state.NextSegmentID, BaseIndex: last.MinIndex, MinIndex: last.MinIndex, Codec: last.Codec, CreateTime: time.Now(),
	})
	if err != nil {
		return state, fmt.Errorf("mend the last file of the log: %w", err)
	}
	*last = anew
	state.NextSegmentID++
	return state, s.CommitState(state)
}

// frameBytes is more than raft-wal adds to an entry.
const frameBytes = 32

// copy writes the entries of a file to a new one, which is not full with them.
func (f *filer) copy(from types.SegmentWriter, to types.SegmentInfo) (types.SegmentInfo, error) {
	// A crash may have come between an earlier copy and its being listed.
	if err := f.Delete(to.BaseIndex, to.ID); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return to, err
	}
	var entries []types.LogEntry
	to.SizeLimit = uint32(segmentSize)
	for i := to.MinIndex; i <= from.LastIndex(); i++ {
		b, err := from.GetLog(i)
		if err != nil {
			return to, fmt.Errorf("entry %d: %w", i, err)
		}
		entries = append(entries, types.LogEntry{Index: i, Data: bytes.Clone(b.Bs)})
		to.SizeLimit += uint32(len(b.Bs)) + frameBytes
		b.Close()
	}
	w, err := f.Create(to)
	if err != nil {
		return to, err
	}
	return to, errors.Join(w.Append(entries), w.Close())
}
