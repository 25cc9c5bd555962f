package score

import (
	"strings"
	"time"
)

// Autopilot is how a group is, and which of its members its master removes or would have
// removed.
type Autopilot struct {
	CleanUpAfter string `json:"clean_up_after"` // the silence after which a member is dead; "0s" for never
	MinVoters    int    `json:"min_voters"`     // the voters that stay; 0 if no voter is removed
	Stabilize    string `json:"stabilize"`      // for how long the group must have been healthy before a removal
	Healthy      bool   `json:"healthy"`        // all members are
	// FailureTolerance is the number of voters that may be lost while the group goes on.
	FailureTolerance int               `json:"failure_tolerance"`
	Members          []AutopilotMember `json:"members"`
}

// AutopilotMember is how one member is.
type AutopilotMember struct {
	ID        string `json:"id"`
	Voter     bool   `json:"voter"`
	Healthy   bool   `json:"healthy"`
	HealthyMS int64  `json:"healthy_ms"` // for how long it has been healthy, in milliseconds; 0 if it is not
	// LastContactMS is how long ago it has last answered any member that answers, in
	// milliseconds.
	LastContactMS int64 `json:"last_contact_ms"`
	Dead          bool  `json:"dead"`
	// Kept is why it is not removed although it is dead.
	Kept string `json:"kept,omitzero"`
}

// FormatDuration returns d as time.Duration.String does, without what is zero behind hours
// and minutes: 72h, 1m30s.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
