package recovery

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/cluster/raftlog"
	"laurel/fsm"
	"laurel/fsm/incarnation"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// By is the name under which the audit trail has a recovery.
const By = "laurel cluster recover"

// Outcome is the new group.
type Outcome struct {
	Server      raft.Server // its only member
	Incarnation string
	Entries     uint64 // of the log, that the state did not have before
	Kept        uint64 // the revision that the store had
	Revision    uint64 // that with which the new incarnation begins
	Authority   string // fingerprint of a new authority; "" if the group keeps its own
}

// Finish makes the member the only one of a new group, as Plan has stored. If it fails, it can
// be called again after another Open. The member must be closed in either case.
func (m *Member) Finish() (Outcome, error) {
	p := m.plan
	o := Outcome{
		Server:      raft.Server{ID: p.ServerID(m.ID), Address: raft.ServerAddress(p.Peer)},
		Incarnation: p.Incarnation,
	}
	if m.machine.Incarnation() != p.Incarnation { // else its snapshot is stored
		if err := m.applyRest(&o); err != nil {
			return o, err
		}
		if m.machine.Incarnation() == "" {
			return o, errors.Join(errNothing, raftlog.EndRecovery(m.dir))
		}
		authority, err := m.certify(&o)
		if err != nil {
			return o, err
		}
		if err := m.step("term"); err != nil {
			return o, err
		}
		if err := m.store.BeginTerm(p.Term); err != nil {
			return o, err
		}
		if err := m.step("snapshot"); err != nil {
			return o, err
		}
		if err := m.writeSnapshot(&o, authority); err != nil {
			return o, err
		}
	}
	if err := m.step("identity"); err != nil {
		return o, err
	}
	if err := m.store.Become(p); err != nil {
		return o, err
	}
	if err := m.reopen(); err != nil {
		return o, fmt.Errorf("open what was recovered: %w", err)
	}
	o.Revision = m.machine.Revision()
	if err := m.step("end"); err != nil {
		return o, err
	}
	return o, raftlog.EndRecovery(m.dir)
}

var errNothing = errors.New("the log of this frontend ends before the group was founded, so it has nothing to recover")

// applyEntries is the number of log entries that are applied at once.
const applyEntries = 32

// applyRest applies the entries of the log that the state does not have, whether or not they
// were committed.
func (m *Member) applyRest(o *Outcome) error {
	if err := m.step("apply"); err != nil {
		return err
	}
	first, err := m.store.Log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := m.store.Log.LastIndex()
	if err != nil {
		return err
	}
	if m.machine.Applied() >= last || first == 0 {
		o.Kept = m.machine.Revision()
		return nil
	}
	var failed error
	adapter := fsm.NewRaft(m.machine, func(err error) { failed = err })
	var logs []*raft.Log
	for i := max(first, m.machine.Applied()+1); i <= last; i++ {
		e := new(raft.Log)
		if err := m.store.Log.GetLog(i, e); err != nil {
			return fmt.Errorf("read entry %d of the log: %w", i, err)
		}
		o.Entries++
		if logs = append(logs, e); len(logs) == applyEntries || i == last {
			if adapter.ApplyBatch(logs); failed != nil {
				return failed
			}
			logs = logs[:0]
		}
	}
	o.Kept = m.machine.Revision()
	return nil
}

// certify gives the member the certificate of its new name. It returns the authority of the
// new group if that is another one; nil if there is none, or the same.
func (m *Member) certify(o *Outcome) (authority []byte, err error) {
	if err := m.step("certificate"); err != nil {
		return nil, err
	}
	if !m.Secure {
		return nil, nil
	}
	before := m.machine.Access().Authorities
	who := pki.Options{Dir: pki.DirIn(m.dir), Member: string(o.Server.ID), Hosts: pki.LoopbackHosts}
	identity, err := pki.Rename(who, before)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of %s: %w", o.Server.ID, err)
	}
	by := identity.IssuedBy()
	if slices.ContainsFunc(before, func(der []byte) bool { return access.Fingerprint(der) == by }) {
		return nil, nil
	}
	o.Authority = by
	return identity.Authority(by).Certificate.Raw, nil
}

// writeSnapshot stores the snapshot with which the new group begins: the state in its new
// incarnation, and a configuration of this member alone.
func (m *Member) writeSnapshot(o *Outcome, authority []byte) error {
	state, err := m.machine.Snapshot()
	if err != nil {
		return err
	}
	defer state.Release()
	return m.store.BeginWith(o.Server, m.plan.Index, m.plan.Term, func(w io.Writer) error {
		in, out := io.Pipe()
		var reading sync.WaitGroup
		defer reading.Wait() // what follows releases the state
		defer in.Close()
		reading.Go(func() { out.CloseWithError(state.Write(out)) })
		_, err := incarnation.Rewrite(w, in, m.change(authority))
		return err
	})
}

func (m *Member) change(authority []byte) *incarnation.Change {
	p := m.plan
	var others []string
	for _, id := range p.Lost {
		if peer.MemberID(raft.ServerID(id)) != m.ID {
			others = append(others, peer.MemberID(raft.ServerID(id)))
		}
	}
	c := &incarnation.Change{By: By}
	c.Name, c.At, c.Lost, c.KeyHolders, c.Authority = p.Incarnation, p.Begun, p.Lost, p.Voters, authority
	c.What = fmt.Sprintf("made a new group of %s alone, behind entry %d of its log, because the majority of its group "+
		"was lost; %s are out of the group; the incarnation was %s", m.ID, p.Index-1, strings.Join(others, ", "),
		m.machine.Incarnation())
	return c
}

// reopen opens the directory as a start of the member would, which drops the log that the
// snapshot has replaced.
func (m *Member) reopen() error {
	if err := m.Close(); err != nil {
		return err
	}
	if err := m.open(); err != nil {
		return err
	}
	index, term, err := m.store.Last()
	c, err2 := m.store.Configuration()
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if index != m.plan.Index || term != m.plan.Term || len(c.Servers) != 1 ||
		m.machine.Incarnation() != m.plan.Incarnation {
		return fmt.Errorf("it ends at entry %d of term %d, with the incarnation %q; want entry %d of term %d and %q",
			index, term, m.machine.Incarnation(), m.plan.Index, m.plan.Term, m.plan.Incarnation)
	}
	return nil
}
