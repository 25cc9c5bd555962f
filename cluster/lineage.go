package cluster

import "fmt"

// LineageError is the error of a member that is to make a store with a lineage, and has the data
// of another store.
type LineageError struct{ Lineage, Wanted string }

func (e *LineageError) Error() string {
	return fmt.Sprintf("the data are those of the store %s, and the lineage %s is for a new group; "+
		"make one in an empty directory", e.Lineage, e.Wanted)
}

// checkLineage returns a LineageError if the data are those of another store than the options
// want.
func (m *Member) checkLineage() error {
	if has, want := m.machine.Lineage(), m.opts.Lineage; has != "" && want != "" && has != want {
		return &LineageError{has, want}
	}
	return nil
}
