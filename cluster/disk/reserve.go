package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// ReserveFile is the name of the reserve in the data directory.
const ReserveFile = "reserve"

// The reserve is given away in two parts. Each has room for the next file of the log, and
// for as much of the database.
const (
	reserveBytes = 32 << 20
	reservePart  = 16 << 20
)

// Reserve is a file in the data directory that has blocks and no content. Its room is given
// to what the member must write when the disk is full. It is safe for concurrent use.
type Reserve struct {
	path string

	mu          sync.Mutex
	unsupported bool // the file system allocates no blocks in advance
}

// NewReserve returns the reserve of a data directory, as far as the directory has one.
func NewReserve(dir string) *Reserve { return &Reserve{path: filepath.Join(dir, ReserveFile)} }

// IsFull reports whether an error is that of a disk without room.
func IsFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// Retry calls f, and calls it again after each failure for lack of room, as long as the
// reserve has room to give.
func (r *Reserve) Retry(f func() error) error {
	err := f()
	for IsFull(err) && r.Give() {
		err = f()
	}
	return err
}

// Give gives a part of the reserve away. It reports whether there was something to give.
func (r *Reserve) Give() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := r.size()
	if size == 0 {
		return false
	}
	if size <= reservePart {
		return os.Remove(r.path) == nil
	}
	f, err := os.OpenFile(r.path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	// A journal may keep the blocks until the change is on the disk.
	return f.Truncate(size-reservePart) == nil && f.Sync() == nil
}

// Size returns the room that the reserve holds, in bytes.
func (r *Reserve) Size() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size()
}

// size is Size for a caller that holds mu.
func (r *Reserve) size() int64 {
	info, err := os.Stat(r.path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// missing returns how much the reserve lacks; 0 where it cannot have more.
func (r *Reserve) missing() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unsupported {
		return 0
	}
	return max(0, reserveBytes-r.size())
}

// fill makes the reserve whole.
func (r *Reserve) fill() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	before := r.size()
	err = extend(f, reserveBytes)
	if err != nil {
		err = errors.Join(err, f.Truncate(before))
	}
	if r.unsupported = errors.Is(err, errors.ErrUnsupported); r.unsupported {
		err = nil
	}
	if err = errors.Join(err, f.Close()); err == nil && !r.unsupported {
		return nil
	}
	if before == 0 { // an empty file would only raise questions
		if err2 := os.Remove(r.path); !errors.Is(err2, fs.ErrNotExist) {
			err = errors.Join(err, err2)
		}
	}
	return err
}
