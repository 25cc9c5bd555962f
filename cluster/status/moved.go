package status

import (
	"sync"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/internal/address"
)

// Moved knows where members are that the configuration has at other addresses. A member that
// moves has the master change the configuration. Members that have all moved have no master
// that could, and do not reach each other at the addresses that their logs have. They find
// each other through the addresses to join (package join), and note here what each says of
// itself. An address only says where to dial: who answers there is checked as ever.
//
// A Moved is safe for concurrent use.
type Moved struct {
	// Servers returns the latest configuration, and Master whether a master is known. They
	// are called after the first Note.
	Servers func() []raft.Server
	Master  func() bool

	mu sync.Mutex
	at map[string]move // by the address that the configuration has
}

type move struct {
	id raft.ServerID
	to string
}

// Note notes that a member says that it is at an address. While there is a master that would
// change the configuration, a process at another address is not believed: it may be one with
// a copy of the member's data.
func (m *Moved) Note(id raft.ServerID, addr string) {
	if id == "" || address.CheckPeer(addr) != nil {
		return
	}
	s, in := peer.Find(m.Servers(), id)
	if !in {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if string(s.Address) == addr {
		delete(m.at, addr)
		return
	}
	if m.Master() {
		return
	}
	if m.at == nil {
		m.at = map[string]move{}
	}
	m.at[string(s.Address)] = move{id, addr}
}

// Of returns where the member is that the configuration has at addr; addr if it is not known to
// have moved, or if there is none.
func (m *Moved) Of(addr string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	found, moved := m.at[addr]
	if !moved {
		return addr
	}
	if s, in := peer.Find(m.Servers(), found.id); !in || string(s.Address) != addr {
		delete(m.at, addr) // the configuration has changed
		return addr
	}
	return found.to
}
