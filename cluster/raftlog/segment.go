package raftlog

import (
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

	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"laurel/cluster/disk"
	"laurel/cluster/internal/durable"
)

// segments makes and opens segments, the files of the log, for raft-wal. It adds a
// checksum to each entry, frees the memory of a full segment, and keeps an error that
// raft-wal forgets.
type segments struct {
	*segment.Filer
	dir     string
	reserve *disk.Reserve
	failed  atomic.Pointer[error] // why the last attempt to make a segment failed
	sizes   segmentSizes
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
	path := filepath.Join(s.dir, segment.FileName(info))
	var w types.SegmentWriter
	err := s.reserve.Retry(func() (err error) {
		if w, err = s.Filer.Create(info); disk.IsFull(err) {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	})
	if err != nil {
		return nil, s.keep(err)
	}
	if err := os.Chmod(path, privateFile); err != nil {
		w.Close()
		return nil, s.keep(err)
	}
	return &tailSegment{segments: s, info: info, w: w}, nil
}

// RecoverTail opens the last segment, up to the last write that is complete. A killed
// process can leave writes that only the kernel has, and this member acknowledges what it
// reads here, so the file is synced first. It is also checked for damage that raft-wal
// takes for a torn write.
func (s *segments) RecoverTail(info types.SegmentInfo) (types.SegmentWriter, error) {
	path := filepath.Join(s.dir, segment.FileName(info))
	if err := durable.SyncFile(path); err != nil { // openWAL has synced the directory
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the last file of the log: %w", err)
	}
	if err := lostCommit(b); err != nil {
		return nil, err
	}
	if at := tornTable(b); at > 0 {
		if err := durable.ClearRange(path, at, frameHeaderBytes); err != nil {
			return nil, err
		}
	}
	w, err := s.Filer.RecoverTail(info)
	if err != nil {
		return nil, err
	}
	return &tailSegment{segments: s, info: info, w: w}, nil
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

	mu sync.RWMutex
	w  types.SegmentWriter // nil if sealed is set
	// sealed reads the segment that is full, whose last entry is last and whose table of
	// entries is at index.
	sealed      types.SegmentReader
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
	t.w, t.sealed, t.last, t.index = nil, r, info.MaxIndex, at
}

// Sealed reports whether the segment is full, and returns where its table of entries
// begins.
func (t *tailSegment) Sealed() (bool, uint64, error) {
	if t.sealed != nil {
		return true, t.index, nil
	}
	return t.w.Sealed()
}

// ForceSeal ends the segment before it is full.
func (t *tailSegment) ForceSeal() (uint64, error) {
	if t.sealed != nil {
		return t.index, nil
	}
	return t.w.ForceSeal()
}

// LastIndex returns the index of the last entry that is on the disk, 0 if there is none.
func (t *tailSegment) LastIndex() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.sealed != nil {
		return t.last
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
	err := l.segments.keep(l.BoltMetaDB.CommitState(state))
	if err == nil {
		l.segments.sizes.set(state.Segments)
	}
	return err
}

// Load returns the list. A crash while the last segment was being sealed can leave it
// full but not yet listed as full; raft-wal would open it and never append again. Load
// lists such a segment as full, and the next one after it.
func (l *segmentList) Load(dir string) (types.PersistentState, error) {
	state, err := l.BoltMetaDB.Load(dir)
	l.segments.sizes.set(state.Segments)
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
	sealed, at, err := w.Sealed()
	if err != nil || !sealed {
		return state, err
	}
	last.SealTime, last.MaxIndex, last.IndexStart = time.Now(), w.LastIndex(), at
	state.Segments = append(state.Segments, types.SegmentInfo{ // raft-wal makes its file
		ID:         state.NextSegmentID,
		BaseIndex:  last.MaxIndex + 1,
		MinIndex:   last.MaxIndex + 1,
		Codec:      last.Codec,
		SizeLimit:  last.SizeLimit,
		CreateTime: time.Now(),
	})
	state.NextSegmentID++
	return state, l.CommitState(state)
}

// The layout of raft-wal's segments that lostCommit reads (segment/format.go of raft-wal
// v0.4.1). A segment begins with a header. Frames follow it, each with a header of a
// type, three zero bytes and a length or, in a commit frame, the checksum of everything
// since the previous commit frame.
const (
	segmentHeaderBytes = 32
	frameHeaderBytes   = 8
	// maxCommitStarts bounds how many places lostCommit tries as the start of one commit,
	// so that a segment full of bytes that look like commit frames does not take
	// quadratic time.
	maxCommitStarts = 16
)

// lostCommit returns an error if b, the content of the last segment, has a complete
// commit after the place where raft-wal stops reading. raft-wal takes any frame header
// that it cannot read for a write that a crash has torn, and drops everything after it.
// Each write is on the disk before the next one begins, so nothing complete can follow a
// torn write. A complete commit there means that entries which may have been acknowledged
// are damaged.
func lostCommit(b []byte) error {
	end, stop := walkFrames(b)
	// A commit can begin where the one before it ends. It can also begin after the header
	// at which the reading stopped, if that is the header of a damaged commit frame.
	starts := []int{stop + frameHeaderBytes}
	for at := end; at+frameHeaderBytes <= len(b); at += frameHeaderBytes {
		if !isCommit(b[at:]) {
			continue
		}
		sum := binary.LittleEndian.Uint32(b[at+4:])
		for _, start := range starts[max(0, len(starts)-maxCommitStarts):] {
			if start < at && crc32.Checksum(b[start:at], castagnoli) == sum {
				return fmt.Errorf("%w: the frame at byte %d of the last file cannot be read, "+
					"and a complete write ends at byte %d after it", types.ErrCorrupt, stop, at)
			}
		}
		starts = append(starts, at+frameHeaderBytes)
	}
	return nil
}

// tornTable returns where the table of entries begins that is part of a torn write; 0 if
// there is none. raft-wal would take the segment for a full one with that table.
func tornTable(b []byte) int {
	at, _ := walkFrames(b) // a torn write follows the last complete one
	for at+frameHeaderBytes <= len(b) && b[at] == segment.FrameEntry {
		length := int(binary.LittleEndian.Uint32(b[at+4:]))
		at += frameHeaderBytes + (length+frameHeaderBytes-1)&^(frameHeaderBytes-1)
	}
	if at+frameHeaderBytes <= len(b) && b[at] == segment.FrameIndex {
		return at
	}
	return 0
}

// walkFrames reads the frames of a segment as raft-wal does. It returns the end of the
// last commit that raft-wal keeps, and where the reading stopped.
func walkFrames(b []byte) (end, stop int) {
	end, stop = segmentHeaderBytes, segmentHeaderBytes
	start, previous := 0, segmentHeaderBytes // of the last commit read, and the end of the one before it
	complete := true
walk:
	for stop+frameHeaderBytes <= len(b) {
		at, length := stop, 0
		switch b[at] {
		case segment.FrameEntry, segment.FrameIndex:
			length = int(binary.LittleEndian.Uint32(b[at+4:]))
		case segment.FrameCommit:
			complete = crc32.Checksum(b[start:at], castagnoli) == binary.LittleEndian.Uint32(b[at+4:])
			previous, end, start = end, at+frameHeaderBytes, at+frameHeaderBytes
		default:
			break walk
		}
		stop = at + frameHeaderBytes + (length+frameHeaderBytes-1)&^(frameHeaderBytes-1)
	}
	if !complete {
		end = previous
	}
	return end, stop
}

// isCommit reports whether b begins with bytes that can be the header of a commit frame.
func isCommit(b []byte) bool {
	return b[0] == segment.FrameCommit && b[1] == 0 && b[2] == 0 && b[3] == 0
}
