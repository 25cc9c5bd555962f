package cluster

import (
	"laurel/trust/access"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// recheckEvery is how often the member looks whether the configuration or the access control has changed, and so the open connections must be
	// checked, at a time scale of 1.
	recheckEvery = 100 * time.Millisecond
	// reverifyEvery is how often the open connections are checked in any case: certificates expire.
	reverifyEvery = time.Minute
)

// recheckLoop checks the open connections when something has changed.
func (m *Member) recheckLoop() {
	tick := time.NewTicker(m.scaled(recheckEvery))
	defer tick.Stop()
	var servers []raft.Server
	var access *access.State
	last := time.Now()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-tick.C:
		}
		nowServers, nowAccess := m.servers(), m.machine.Access()
		if nowAccess == access && slices.Equal(servers, nowServers) && time.Since(last) < reverifyEvery {
			continue
		}
		servers, access, last = nowServers, nowAccess, time.Now()
		if m.port.Recheck() {
			last = time.Time{}
		}
	}
}

// Removed reports whether a server, id@instance, was a member of a secure group and is not one now, as far as this member knows.
func (m *Member) Removed(member string) bool { return m.auth.Removed(raft.ServerID(member)) }
