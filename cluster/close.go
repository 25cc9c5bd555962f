package cluster

import (
	"errors"

	"laurel/fsm"
	"laurel/fsm/database"
)

// Close stops the member, which stays in the group. A master should HandOver first. Posts
// in flight are finished, for at most a second. If the disk hangs, Close waits for it.
func (m *Member) Close() error {
	m.Stopping()
	m.poster.batcher.Close(m.scaled(drainTimeout))
	m.port.Shutdown(m.scaled(finishTimeout))
	m.cancel()
	stopping := m.raft.Shutdown()
	m.storage.Release()
	errs := []error{m.port.Close(), stopping.Error()}
	close(m.stopped)
	return errors.Join(append(errs, m.release())...)
}

// release closes what start opened.
func (m *Member) release() error {
	m.cancel()
	var errs []error
	if m.port != nil {
		errs = append(errs, m.port.Close())
	}
	if m.transport != nil {
		errs = append(errs, m.transport.Close())
		m.transport.CloseStreams()
	}
	if m.storage != nil {
		m.storage.Release()
	}
	m.awaitRunning()
	if m.machine != nil {
		errs = append(errs, m.closeMachine())
	}
	if m.storage != nil {
		errs = append(errs, m.storage.Close())
	}
	return errors.Join(errs...)
}

// closeMachine closes the state machine. If the disk fails, or a snapshot has met a damaged
// record meanwhile, it returns a *StorageError: the database is rebuilt at the next start, but
// the disk should be checked first.
func (r *replica) closeMachine() error {
	err := r.machine.Close()
	if _, failed := errors.AsType[*database.DiskError](err); failed || errors.Is(err, database.ErrDamaged) {
		return &StorageError{Dir: r.opts.Dir, Err: err}
	}
	return err
}

// failApply ends the member because its state machine cannot go on. An entry that cannot
// be read is not the disk's fault, and checking the disk would not help.
func (r *replica) failApply(err error) {
	_, unreadable := errors.AsType[*fsm.EntryError](err)
	if _, later := errors.AsType[*FormatError](err); unreadable || later {
		r.end(err)
		return
	}
	r.fail(err)
}
