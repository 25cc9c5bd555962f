package status

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"laurel/cluster/peer"
	"laurel/trust/pki"
)

// A group that has lost its majority can be recovered from what one member has (package
// recovery). That begins another incarnation of the store, and the lost members, should they
// come back, are of the one that has ended. Their servers are not in the new group, so that
// Raft's messages and pushes between the two are refused. But among themselves they could
// still be a majority, with another history. So a member of the new group tells every one
// that asks for its status, and that one stops for good, as if it was removed.
//
// One voter is believed, also by a master: whoever has the directory of a voter can recover
// the group. So a voter that lies can stop the others, as it can by a removal that it puts
// into the log. In a sworn group nobody is believed, since it cannot be recovered.

// supersedes answers a request of a member whose store is in an incarnation that has ended
// here. It reports whether it is one. A member that was killed does not know its incarnation
// before it has a master; then it counts that it is out of the group.
func (s *Source) supersedes(w http.ResponseWriter, r *http.Request) bool {
	asker, now := r.URL.Query().Get("incarnation"), s.Machine.Access()
	ended := slices.Contains(now.Former, asker)
	if asker == "" && len(now.Former) > 0 {
		id := s.asker(r)
		_, removed := now.Removed[string(id)]
		ended = removed && !s.Listing(id).Listed
	}
	if !ended {
		return false
	}
	peer.WriteSuperseded(w, now.Settings.Incarnation)
	return true
}

// Believes reports whether it counts that somebody has another store than this member: in a
// secure group only from a voter. Anybody who has used a join token can answer at an address
// that this member asks.
func (p *Poller) Believes(by Status) bool {
	if p.Source.Identity == nil {
		return true
	}
	if by.Certificate == nil {
		return false
	}
	h, err := pki.HolderOf(by.Certificate)
	return err == nil && p.MayRecover(h)
}

// Heed ends this member if err, with which another one has answered at addr, says that this
// member's group has ended. The address must be one that this member trusts: that of a voter
// of its configuration, or one that it was started with.
func (p *Poller) Heed(addr string, by Status, err error) {
	e, superseded := errors.AsType[*peer.SupersededError](err)
	now := p.Source.Machine.Access().Settings
	if !superseded || now.Sworn || now.Incarnation == e.Incarnation || !p.Believes(by) {
		return
	}
	p.Superseded(fmt.Sprintf("the frontend at %s: the group was recovered without this one, in the incarnation %s",
		addr, e.Incarnation))
}
