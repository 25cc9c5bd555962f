//go:build spy

package cluster

import "fmt"

// Lie is what a spy makes a frontend do.
type Lie struct {
	Lie        string `json:"lie"`
	ContestID  string `json:"contest_id,omitzero"`
	Competitor string `json:"competitor,omitzero"`
	Points     int64  `json:"points,omitzero"`
}

// Spy has a member lie. Its methods may be called by any goroutine.
type Spy struct {
	member *Member
}

// NewSpy returns a spy in a member with options, which is not started yet.
func NewSpy(*Options) *Spy { return &Spy{} }

// Enter tells the spy its member, which has started.
func (s *Spy) Enter(m *Member) { s.member = m }

// Tell has the member tell a lie from now on.
func (s *Spy) Tell(l Lie) error {
	switch l.Lie {
	case "result": // of a contest, as if bards had posted it
		return s.member.machine.CorruptResult(l.ContestID, l.Competitor, l.Points, true)
	case "record": // which the state machine does not know to have changed
		return s.member.machine.CorruptResult(l.ContestID, l.Competitor, l.Points, false)
	}
	return fmt.Errorf("the spy knows no lie %q", l.Lie)
}
