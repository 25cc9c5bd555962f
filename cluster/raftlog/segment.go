package raftlog

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

// segments makes and opens segments, the files of the log, for raft-wal. It adds a
// checksum to each entry, frees the memory of a full segment, and keeps an error that
// raft-wal forgets.
type segments struct {
	*segment.Filer
	dir    string
	size   int
	failed atomic.Pointer[error] // why the last attempt to make a segment failed
}

func newSegments(dir string, size int) *segments {
	return &segments{Filer: segment.NewFiler(dir, walfs.New()), dir: dir, size: size}
}

// keep keeps an error of making a segment.
func (s *segments) keep(err error) error {
	if err != nil {
		err = fmt.Errorf("begin the next file of the log: %w", err)
		s.failed.Store(&err)
	}
	return err
}

// Create makes a segment and returns its writer.
func (s *segments) Create(info types.SegmentInfo) (types.SegmentWriter, error) {
	w, err := s.Filer.Create(info)
	if err != nil {
		return nil, s.keep(err)
	}
	return &tailSegment{segments: s, info: info, w: w}, nil
}

// RecoverTail opens the last segment, up to the last write that is complete. A killed
// process can leave writes that only the kernel has, and this member acknowledges what it
// reads here, so the file is synced first. It is also checked for damage that raft-wal
// takes for a torn write.
func (s *segments) RecoverTail(info types.SegmentInfo) (types.SegmentWriter, error) {
	if err := s.secureTail(filepath.Join(s.dir, segment.FileName(info))); err != nil {
		return nil, err
	}
	w, err := s.Filer.RecoverTail(info)
	if err != nil {
		return nil, err
	}
	return &tailSegment{segments: s, info: info, w: w}, nil
}

func (s *segments) secureTail(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Sync(); err != nil { // openWAL has synced the directory
		return fmt.Errorf("sync the last file of the log: %w", err)
	}
	b, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("read the last file of the log: %w", err)
	}
	return lostCommit(b)
}

// Open opens a full segment.
func (s *segments) Open(info types.SegmentInfo) (types.SegmentReader, error) {
	r, err := s.Filer.Open(info)
	if err != nil {
		return nil, err
	}
	return checksumReader{r}, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const checksumBytes = 4

// checksumReader reads entries that end with their checksum. raft-wal itself checks only
// its last write.
type checksumReader struct{ types.SegmentReader }

// GetLog reads the entry with an index.
func (c checksumReader) GetLog(index uint64) (*types.PooledBuffer, error) {
	b, err := c.SegmentReader.GetLog(index)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: the file ends within it", types.ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	n := len(b.Bs) - checksumBytes
	if n < 0 || crc32.Checksum(b.Bs[:n], castagnoli) != binary.LittleEndian.Uint32(b.Bs[n:]) {
		b.Close()
		return nil, fmt.Errorf("%w: its checksum is wrong", types.ErrCorrupt)
	}
	b.Bs = b.Bs[:n]
	return b, nil
}

// tailSegment is the segment that is being written. raft-wal keeps it open for reading
// when it is full, with the buffer of its largest write and a table of its entries in
// memory. So a full segment is reopened for reading only.
type tailSegment struct {
	segments *segments
	info     types.SegmentInfo

	mu     sync.RWMutex
	w      types.SegmentWriter // nil if sealed is set
	sealed *sealedSegment
}

// sealedSegment is a segment that is full and reopened.
type sealedSegment struct {
	types.SegmentReader
	last, index uint64
}

// Append writes entries and waits for the disk.
func (t *tailSegment) Append(entries []types.LogEntry) error {
	if t.sealed != nil {
		return types.ErrSealed
	}
	for i, e := range entries {
		entries[i].Data = binary.LittleEndian.AppendUint32(e.Data, crc32.Checksum(e.Data, castagnoli))
	}
	if err := t.w.Append(entries); err != nil {
		return err
	}
	if full, at, err := t.w.Sealed(); err == nil && full {
		t.reopen(at)
	}
	return nil
}

// reopen replaces the writer by a reader. If the file cannot be opened again, the writer
// stays and keeps its memory.
func (t *tailSegment) reopen(at uint64) {
	info := t.info
	info.SealTime, info.IndexStart, info.MaxIndex = time.Now(), at, t.w.LastIndex()
	r, err := t.segments.Open(info)
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.w.Close() // all its data is on the disk
	t.w, t.sealed = nil, &sealedSegment{SegmentReader: r, last: info.MaxIndex, index: at}
}

// Sealed reports whether the segment is full, and returns where its table of entries
// begins.
func (t *tailSegment) Sealed() (bool, uint64, error) {
	if t.sealed != nil {
		return true, t.sealed.index, nil
	}
	return t.w.Sealed()
}

// ForceSeal ends the segment before it is full.
func (t *tailSegment) ForceSeal() (uint64, error) {
	if t.sealed != nil {
		return t.sealed.index, nil
	}
	at, err := t.w.ForceSeal()
	if err == nil {
		t.reopen(at)
	}
	return at, err
}

// LastIndex returns the index of the last entry that is on the disk, 0 if there is none.
func (t *tailSegment) LastIndex() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.sealed != nil {
		return t.sealed.last
	}
	return t.w.LastIndex()
}

// GetLog reads an entry.
func (t *tailSegment) GetLog(index uint64) (*types.PooledBuffer, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.sealed != nil {
		return t.sealed.GetLog(index)
	}
	return checksumReader{t.w}.GetLog(index)
}

// Close closes the file.
func (t *tailSegment) Close() error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.sealed != nil {
		return t.sealed.Close()
	}
	return t.w.Close()
}

// segmentList is raft-wal's list of the segments that belong to the log.
type segmentList struct {
	metadb.BoltMetaDB
	segments *segments
}

// CommitState stores the list.
func (l *segmentList) CommitState(state types.PersistentState) error {
	return l.segments.keep(l.BoltMetaDB.CommitState(state))
}

// Load returns the list. A crash while the last segment was being sealed can leave it
// full but not yet listed as full; raft-wal would open it and never append again. Load
// rewrites such a segment without its end.
func (l *segmentList) Load(dir string) (types.PersistentState, error) {
	state, err := l.BoltMetaDB.Load(dir)
	if err != nil || len(state.Segments) == 0 {
		return state, err
	}
	last := &state.Segments[len(state.Segments)-1]
	if !last.SealTime.IsZero() {
		return state, nil
	}
	w, err := l.segments.RecoverTail(*last)
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil // raft-wal makes it
	}
	if err != nil {
		return state, err
	}
	defer w.Close()
	if sealed, _, err := w.Sealed(); err != nil || !sealed {
		return state, err
	}
	rewritten, err := l.segments.copy(w, types.SegmentInfo{
		ID:         state.NextSegmentID,
		BaseIndex:  last.MinIndex,
		MinIndex:   last.MinIndex,
		Codec:      last.Codec,
		CreateTime: time.Now(),
	})
	if err != nil {
		return state, fmt.Errorf("repair the last file of the log: %w", err)
	}
	*last = rewritten
	state.NextSegmentID++
	return state, l.CommitState(state)
}

// frameBytes is more than raft-wal adds to an entry.
const frameBytes = 32

// copy writes the entries of a segment to a new one that is large enough not to be full
// afterwards.
func (s *segments) copy(from types.SegmentWriter, to types.SegmentInfo) (types.SegmentInfo, error) {
	// A crash may have left an earlier copy that was never listed.
	if err := s.Delete(to.BaseIndex, to.ID); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return to, err
	}
	var entries []types.LogEntry
	to.SizeLimit = uint32(s.size)
	for i := to.MinIndex; i <= from.LastIndex(); i++ {
		b, err := from.GetLog(i)
		if err != nil {
			return to, fmt.Errorf("entry %d: %w", i, err)
		}
		entries = append(entries, types.LogEntry{Index: i, Data: bytes.Clone(b.Bs)})
		to.SizeLimit += uint32(len(b.Bs)) + frameBytes
		b.Close()
	}
	w, err := s.Create(to)
	if err != nil {
		return to, err
	}
	return to, errors.Join(w.Append(entries), w.Close())
}
