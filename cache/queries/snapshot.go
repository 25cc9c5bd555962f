package queries

import (
	"fmt"
	"io"
	"time"
)

// Snapshot is the whole state of a store at one moment. Its holder must call Release: until
// then the database cannot reuse the space that the snapshot sees.
type Snapshot struct {
	Lineage, Incarnation string
	Revision             uint64 // of the last event in it
	Index                uint64 // of the last log entry in it

	// Write writes the snapshot, as a file that names the time.
	Write   func(w io.Writer, at time.Time) error
	Release func()
}

// Tag names the state. It changes with every change of the store, also of the access control.
func (s *Snapshot) Tag() string { return fmt.Sprintf("%s-%d-%d", s.Incarnation, s.Revision, s.Index) }
