// Package head has the keys of what a database says of the state as a whole, and its form.
package head

import (
	"laurel/fsm/database"
	"laurel/trust/access"
)

// The keys of the bucket Meta.
var (
	Key       = []byte("head")   // of a Head; none in a new database
	AccessKey = []byte("access") // of an access.State; none if nothing was ever changed
)

// Head is what the state has come to. The names of its members are part of the snapshot
// format.
type Head struct {
	Applied  uint64 `json:"applied"`  // the index of the last log entry applied
	Revision uint64 `json:"revision"` // of the last event applied, or that with which the incarnation began
	// Hash is the state of the entry.RunningHash of all applied events; none while the
	// revision is 0.
	Hash []byte `json:"hash,omitzero"`
}

// Load reads the head of a database, and the access control.
func Load(r database.Reader) (h Head, state *access.State, err error) {
	state = access.NewState()
	if _, err := database.GetJSON(r.Bucket(database.Meta), Key, &h); err != nil {
		return h, state, err
	}
	if _, err := database.GetJSON(r.Bucket(database.Meta), AccessKey, state); err != nil {
		return h, state, err
	}
	version, err := database.VersionOf(r)
	if err != nil {
		return h, state, err
	}
	settings := &state.Settings
	if !state.Valid() || (h.Hash == nil) != (h.Revision == 0) ||
		version != database.Version(settings.Format(), settings.Sworn) {
		return h, state, database.ErrDamaged
	}
	return h, state, nil
}
