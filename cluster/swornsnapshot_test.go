package cluster

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"testing"

	"github.com/hashicorp/raft"

	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
)

// snapshotAfter returns a snapshot of a new store to which the entries were applied.
func snapshotAfter(t *testing.T, entries ...[]byte) []byte {
	t.Helper()
	m, err := fsm.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, data := range entries {
		index := m.Applied() + 1
		if _, err := m.Apply([]fsm.Entry{{Index: index, Data: data}}, index); err != nil {
			t.Fatal(err)
		}
	}
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestACorruptMasterCannotGoBackBySnapshotInASwornGroup(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	public := newWitness(t).Public().(ed25519.PublicKey)
	g.mustSign(access.Change{Grant: &access.Grant{
		ID: score.KeyID(public), Name: "bard/x", Role: access.RoleBard, Public: public,
	}})
	g.settle()
	master := g.master().member()
	earlier := stateOf(t, master)
	g.mustSign(access.Change{Revoke: score.KeyID(public)})
	g.expectSame("the grants", func(m *Member) string {
		return fmt.Sprint(m.Access().Grants[score.KeyID(public)].Revoked)
	})

	stranger := newWitness(t).Public().(ed25519.PublicKey)
	founding, err := entry.EncodeSigned(&access.SignedChange{Change: access.Change{
		At: g.fakeCalendar.now().UTC(), By: "f1",
		Sworn: &access.SwornChange{Found: &access.Founding{
			Operator: stranger, Name: "getafix", Frontend: access.RosterEntry{Name: "f1", Key: public},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	n := g.others(g.master())[0]
	send := func(state []byte) bool {
		m := n.member()
		var answer raft.InstallSnapshotResponse
		err := master.transport.InstallSnapshot(m.self, raft.ServerAddress(m.Peer()),
			&raft.InstallSnapshotRequest{
				RPCHeader:       raft.RPCHeader{ProtocolVersion: 3, ID: []byte(master.self), Addr: []byte(master.Peer())},
				SnapshotVersion: raft.SnapshotVersionMax, Term: m.Epoch(),
				LastLogIndex: entries(m) + 10, LastLogTerm: m.Epoch(), ConfigurationIndex: 1, Size: int64(len(state)),
				Configuration: raft.EncodeConfiguration(m.raft.GetConfiguration().Configuration()),
			}, &answer, bytes.NewReader(state))
		return err == nil && answer.Success
	}
	for what, state := range map[string][]byte{
		"a state from before a revocation":       earlier,
		"the state of a group that is not sworn": snapshotAfter(t),
		"the state of another founder's group":   snapshotAfter(t, founding),
	} {
		if before := n.member().Access(); send(state) || n.member().Access() != before {
			t.Errorf("%s was installed", what)
		}
	}
	g.settle()
	if !send(stateOf(t, master)) {
		t.Error("the present state was not installed")
	}
}
