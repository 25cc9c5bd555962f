package score

import (
	"slices"
	"time"
)

// Frontend is one member of the group, as the answering frontend sees it.
type Frontend struct {
	ID     string `json:"id"`
	URL    string `json:"url"`  // for clients; "" until the member has announced it
	Peer   string `json:"peer"` // address for other members
	Master bool   `json:"master"`
	Voter  bool   `json:"voter"`
	State  string `json:"state"` // Serving, Starting, Draining or Unreachable
	// Healthy is true while it answers, follows the same master as the frontend that was
	// asked, and has its log.
	Healthy bool `json:"healthy"`
	// LastContactMS is how long ago it has last answered any frontend that answers, in
	// milliseconds.
	LastContactMS int64 `json:"last_contact_ms"`
	// Dead is true if that is longer than the setting clean_up_after.
	Dead     bool   `json:"dead,omitzero"`
	Leased   bool   `json:"leased"`
	Watchers int    `json:"watchers"`
	Reads    int    `json:"reads"` // per second
	Revision uint64 `json:"revision"`
	Pushed   uint64 `json:"pushed"`   // P: its cache holds all changes up to this revision
	Released uint64 `json:"released"` // R: its readers see changes up to this revision
	// Certified is its newest certified round, in a sworn group, and CertifiedMS how long
	// ago a quorum has signed that it is the newest, in milliseconds.
	Certified   uint64 `json:"certified_round,omitzero"`
	CertifiedMS int64  `json:"certified_age_ms,omitzero"`
	LeaseMS     int64  `json:"lease_ms"` // remaining time of its lease in milliseconds
	// Forgotten is the newest log entry that it was heard to hold and lacks; 0 if there is
	// none. It gives no vote meanwhile.
	Forgotten uint64 `json:"forgotten_entry,omitzero"`
	// DiskFree is the room on the disk of its data in bytes; nil if it is not known.
	DiskFree *int64 `json:"disk_free_bytes,omitzero"`
	// NoRoom is true while its disk has too little room for posts.
	NoRoom bool `json:"no_room,omitzero"`
	// PutOut is set while the frontend that was asked takes nothing that this one begins.
	PutOut *PutOut `json:"put_out,omitzero"`
	// Version is the version of laurel that it runs; "" if it has not said so. OldestFormat and
	// NewestFormat are the formats of the group that it reads; 0 while it does not answer.
	Version      string `json:"version,omitzero"`
	OldestFormat uint64 `json:"format_min,omitzero"`
	NewestFormat uint64 `json:"format_max,omitzero"`
}

// PutOut is what a frontend of a sworn group holds against another one.
type PutOut struct {
	Reason  string    `json:"reason"`   // convicted, diverged, altered, split, unreadable, stalled or false
	Text    string    `json:"text"`     // the reason for people, such as "reported another history"
	Since   time.Time `json:"since"`    // by the clock of the frontend that was asked
	ForGood bool      `json:"for_good"` // until an operator has given it another key
}

// Load is the load of a frontend.
type Load struct {
	Watchers int `json:"watchers"`
	Reads    int `json:"reads"` // per second
}

// States of a frontend.
const (
	Serving     = "serving"     // answers reads and accepts posts
	Starting    = "starting"    // runs but cannot answer yet: it has no master, or is far behind
	Draining    = "draining"    // answers, and sends its clients to others: it is to be stopped
	Unreachable = "unreachable" // does not answer the frontend that was asked
)

// CacheMode is how frontends keep their caches current. It is a setting of the group.
type CacheMode string

const (
	// Push means that the master pushes every change to all frontends before it
	// acknowledges the event. All answers are linearizable.
	Push CacheMode = "push"
	// Pull means that every frontend polls the master for the records that it holds,
	// popular ones more often. Answers state how old they may be.
	Pull CacheMode = "pull"
)

// Frontends is the group as one frontend sees it.
type Frontends struct {
	Mode   CacheMode `json:"mode"`
	Epoch  uint64    `json:"epoch"`  // Raft term
	Master string    `json:"master"` // "" if there is none
	// FailureTolerance is the number of voters that may be lost while the group goes on.
	FailureTolerance int        `json:"failure_tolerance"`
	Frontends        []Frontend `json:"frontends"`
	// KeyHolders are removed frontends that hold the private key of the group's authority.
	KeyHolders []string `json:"key_holders,omitzero"`
	// Format is that of the group. FormatHeld keeps it from being raised.
	Format     uint64 `json:"format,omitzero"`
	FormatHeld bool   `json:"format_held,omitzero"`
}

// Versions returns the versions of laurel that the frontends run, sorted, as far as they have
// said so.
func (f *Frontends) Versions() (list []string) {
	for _, m := range f.Frontends {
		if m.Version != "" {
			list = append(list, m.Version)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// NewMember is a request to add a member to the group.
type NewMember struct {
	ID    string `json:"id"`
	Peer  string `json:"peer"`
	URL   string `json:"url"`
	Voter bool   `json:"voter"`
	// Instance identifies the member's data directory, so that an empty directory under
	// the same id is not taken for this member.
	Instance string `json:"instance"`
	// Replace has it take the place of a dead member with its id and another instance.
	Replace bool `json:"replace,omitzero"`
}
