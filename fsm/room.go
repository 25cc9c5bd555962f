package fsm

import (
	"errors"
	"math"
)

// aheadBytes is the room that the database has on the disk behind its end. One transaction
// of ordinary events needs a part of it.
const aheadBytes = 16 << 20

// room keeps room on the disk for the growth of the database: bbolt cannot go on with a
// transaction that it could not write.
type room struct {
	allocate func(path string, size int64) error
	retry    func(func() error) error
	kept     int64 // the size up to which the file has room; 0 if it is not known
}

// KeepRoom makes the machine keep room for the next transaction. allocate gives a file
// room up to a size; retry calls a function that may fail for lack of room, and calls it
// again when there is more. It is called before anything is applied.
func (m *Machine) KeepRoom(allocate func(path string, size int64) error, retry func(func() error) error) {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.room = room{allocate: allocate, retry: retry}
}

// keep allocates room for a transaction of the database at path, which has size bytes.
// Where that fails, the transaction may succeed all the same.
func (r *room) keep(path string, size int64) {
	if r.allocate == nil || size+aheadBytes/2 <= r.kept {
		return
	}
	switch err := r.retry(func() error { return r.allocate(path, size+aheadBytes) }); {
	case err == nil:
		r.kept = size + aheadBytes
	case errors.Is(err, errors.ErrUnsupported):
		r.kept = math.MaxInt64
	}
}
