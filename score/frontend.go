package score

// Frontend is one member of the group, as the members see it.
type Frontend struct {
	ID       string `json:"id"`
	URL      string `json:"url"`  // where clients reach it; "" while nobody has heard from it
	Peer     string `json:"peer"` // where the other members reach it
	Master   bool   `json:"master"`
	Voter    bool   `json:"voter"`
	State    string `json:"state"` // one of the states below
	Leased   bool   `json:"leased"`
	Watchers int    `json:"watchers"`
	Reads    int    `json:"reads"` // answered a second
	Revision uint64 `json:"revision"`
	Pushed   uint64 `json:"pushed"`   // P: its cache has every change up to this revision
	Released uint64 `json:"released"` // R: what its readers may see
	LeaseMS  int64  `json:"lease_ms"` // what was left of its lease when it was asked, in milliseconds
}

// Load is what a frontend carries.
type Load struct {
	Watchers int `json:"watchers"`
	Reads    int `json:"reads"` // a second
}

// States of a frontend.
const (
	Serving     = "serving"     // answers reads and takes posts
	Starting    = "starting"    // runs, and cannot answer yet: no master, or far behind
	Unreachable = "unreachable" // does not answer the frontend that was asked
)

// CacheMode is how the frontends keep their answers true: a setting of the group, kept in the store.
type CacheMode string

// The modes.
const (
	// Push: the master pushes every change into every frontend's cache before it answers the bard. All answers are linearizable.
	Push CacheMode = "push"
	// Pull: every frontend polls the master for what it holds, popular records more often. Answers say how old they may be.
	Pull CacheMode = "pull"
)

// Frontends is the group as one frontend sees it.
type Frontends struct {
	Mode      CacheMode  `json:"mode"`
	Epoch     uint64     `json:"epoch"`  // the Raft term
	Master    string     `json:"master"` // "" while there is none
	Frontends []Frontend `json:"frontends"`
}

// NewMember asks for a place in the group.
type NewMember struct {
	ID    string `json:"id"`
	Peer  string `json:"peer"`
	URL   string `json:"url"`
	Voter bool   `json:"voter"`
	// Instance names the data directory behind the id, so that another machine's data never passes for this one's.
	Instance string `json:"instance"`
}
