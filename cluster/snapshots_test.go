package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/cluster/snapshots"
)

// rpcInstallSnapshot is the first byte of a request to install a snapshot; hashicorp/raft
// names it.
const rpcInstallSnapshot = 2

// snapshotFault holds back the first snapshot that is sent between the nodes after arm.
// The first passed bytes of it arrive at once.
//
// Without late, the rest never arrives: the sender's machine has lost its power or hangs,
// and the receiver is not told. With late, the rest arrives after released is closed,
// even if the sender has closed the connection, like data in the buffer of a kernel.
type snapshotFault struct {
	passed int
	late   bool

	mu       sync.Mutex
	armed    bool
	conn     *faultyConn // with the snapshot
	release  func()      // closes released
	released chan struct{}
	done     chan struct{} // closed when the late snapshot was answered or its connection ended
}

func newSnapshotFault() *snapshotFault {
	f := &snapshotFault{released: make(chan struct{}), done: make(chan struct{})}
	f.release = sync.OnceFunc(func() { close(f.released) })
	return f
}

// install puts the fault on the connections of a node.
func (f *snapshotFault) install(o *Options) {
	o.TimeScale = 1
	o.SnapshotEntries = 16
	o.hooks.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &faultyConn{Conn: c, fault: f}, nil
	}
}

func (f *snapshotFault) arm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = true
}

// met returns an error unless a snapshot was held back.
func (f *snapshotFault) met() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn == nil {
		return errors.New("no snapshot was sent")
	}
	return nil
}

// faultyConn is one connection between nodes.
type faultyConn struct {
	net.Conn
	fault   *snapshotFault
	greeted bool
	raft    bool
	holds   bool
	rest    bytes.Buffer
	closed  sync.Once
}

func (c *faultyConn) Write(b []byte) (int, error) {
	f := c.fault
	f.mu.Lock()
	defer f.mu.Unlock()
	if !c.greeted {
		c.greeted, c.raft = true, len(b) > 0 && b[0] == peer.ProtocolRaft
		return c.Conn.Write(b)
	}
	if c.raft && f.armed && f.conn == nil && len(b) > 0 && b[0] == rpcInstallSnapshot {
		f.conn, c.holds = c, true
		if n := min(len(b), f.passed); n > 0 {
			c.Conn.Write(b[:n])
			c.rest.Write(b[n:])
			return len(b), nil
		}
	}
	if c.holds {
		return c.rest.Write(b)
	}
	return c.Conn.Write(b)
}

func (c *faultyConn) Close() error {
	f := c.fault
	f.mu.Lock()
	holds := c.holds
	f.mu.Unlock()
	if !holds {
		return c.Conn.Close()
	}
	c.Conn.SetReadDeadline(time.Now()) // the sender stops waiting for the answer
	if f.late {
		c.closed.Do(func() { go c.deliver() })
	}
	return nil
}

// deliver sends the rest when it is released, and waits for the answer.
func (c *faultyConn) deliver() {
	f := c.fault
	<-f.released
	f.mu.Lock()
	rest := c.rest.Bytes()
	f.mu.Unlock()
	c.Conn.SetDeadline(time.Now().Add(patient))
	c.Conn.Write(rest)
	c.Conn.Read(make([]byte, 1))
	c.Conn.Close()
	close(f.done)
}

// newGroupWithALateMember forms a group of which one follower needs a snapshot, because
// it was stopped while the others went on. It returns the group, that follower, the other
// follower, and the next seq to post.
func newGroupWithALateMember(
	t *testing.T, f *snapshotFault, change ...func(*Options),
) (g *group, late, other *node, seq uint64) {
	t.Helper()
	g = newGroup(t, 3, append(change, f.install)...)
	eventually(t, "f1 is the master", func() error {
		if g.nodes[0].member().Master() {
			return nil
		}
		g.master().member().Transfer(context.Background(), "f1")
		return errors.New("it is not")
	})
	late, other = g.nodes[1], g.nodes[2]
	late.stop()
	seq = 1
	eventually(t, "the logs of those that may be the master begin after the entries that the late one has", func() error {
		mustPost(t, g.nodes[0], alerts("bard/a", seq, 20))
		seq += 20
		for _, n := range g.running() {
			if first, err := n.member().storage.Log.FirstIndex(); err != nil || first < 40 {
				return fmt.Errorf("that of %s begins at entry %d: %v", n.opts.ID, first, err)
			}
		}
		return nil
	})
	f.arm()
	late.start()
	return g, late, other, seq
}

func TestLateSnapshotRemovesNothingAcked(t *testing.T) {
	f := newSnapshotFault()
	f.late = true
	g, late, other, seq := newGroupWithALateMember(t, f, steady) // another term would make the snapshot an old one
	t.Cleanup(f.release)
	master := g.master()
	eventually(t, "a snapshot is on its way", f.met)
	eventually(t, "the late one has caught up by another snapshot", func() error {
		if got := late.member().machine.Revision(); got < seq-1 {
			return fmt.Errorf("it has revision %d of %d", got, seq-1)
		}
		return nil
	})
	// Events acked from now on are on two disks: the master's and that of the late one.
	other.stop()
	mustPost(t, master, alerts("bard/a", seq, 5))
	seq += 5
	m := late.member()
	eventually(t, "the late one has it", func() error {
		if m.machine.Revision() < seq-1 {
			return errors.New("it has not")
		}
		return nil
	})
	before := entries(m)
	f.release()
	<-f.done
	if last, err := m.storage.Log.LastIndex(); err != nil || last < before || m.machine.Revision() != seq-1 {
		t.Errorf("it had entries up to %d and revision %d; now %d and %d, %v",
			before, seq-1, last, m.machine.Revision(), err)
	}
	eventually(t, "the late snapshot is counted as known", func() error {
		if got := metric(t, late, "laurel_snapshots_received_total", snapshots.Known); got != 1 {
			return fmt.Errorf("%v were", got)
		}
		return nil
	})
	// The master is lost for good. One of the two others had acked everything.
	master.stop()
	late.stop()
	g.nodes = []*node{late, other}
	for _, n := range g.nodes {
		n.opts.hooks.raftConfig = nil // one of them is to be elected
		n.start()
	}
	eventually(t, "the two answer", func() error { return g.master().member().Ready(context.Background()) })
	eventually(t, "the master answers", func() error {
		revision, err := read(context.Background(), g.master().member())
		if err == nil && revision != seq-1 {
			t.Fatalf("%d events were acked, and the revision is %d", seq-1, revision)
		}
		return err
	})
}

// receiving returns an error unless a node has an unfinished snapshot.
func receiving(n *node) error {
	list, err := filepath.Glob(filepath.Join(n.opts.Dir, snapshotDir, "*"+unfinished))
	if err == nil && len(list) == 0 {
		err = errors.New("no snapshot is being received")
	}
	return err
}

func TestMasterLostWhileSendingASnapshotCostsOneElection(t *testing.T) {
	f := newSnapshotFault()
	f.passed = 4 << 10 // the call itself and some of the body
	g, late, other, seq := newGroupWithALateMember(t, f)
	master := g.master()
	eventually(t, "a snapshot is on its way", f.met)
	eventually(t, "it is being received", func() error { return receiving(late) })
	master.stop() // the connection with the snapshot stays open, and silent
	g.nodes = []*node{late, other}
	epoch := other.member().Epoch()
	mustPost(t, g.master(), alerts("bard/a", seq, 1))
	if got := g.master().member().Epoch(); got > epoch+10 {
		t.Errorf("the election took the terms from %d to %d", epoch, got)
	}
	g.agree(seq)
	// A reception without progress ends by itself and leaves nothing behind.
	eventually(t, "the incomplete snapshot is given up", func() error {
		if receiving(late) == nil {
			return errors.New("its unfinished file exists")
		}
		return nil
	})
}

// sendSnapshot sends a snapshot to a member as the master of a term.
func sendSnapshot(
	t *testing.T, from *fakePeer, to *Member, term, index, ofTerm uint64, body io.Reader, size int64,
) (raft.InstallSnapshotResponse, error) {
	t.Helper()
	id := to.self
	config := to.raft.GetConfiguration().Configuration()
	var answer raft.InstallSnapshotResponse
	err := from.over.InstallSnapshot(id, peer.Address(id, raft.ServerAddress(to.Peer())), &raft.InstallSnapshotRequest{
		RPCHeader: from.header(), SnapshotVersion: raft.SnapshotVersionMax,
		Term: term, LastLogIndex: index, LastLogTerm: ofTerm,
		Configuration: raft.EncodeConfiguration(config), ConfigurationIndex: 1, Size: size,
	}, &answer, body)
	return answer, err
}

func TestSnapshotReplacesAStalledOne(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.master(), alerts("bard/a", 1, 3))
	g.agree(3)
	n := g.others(g.master())[0]
	m := n.member()
	state := bytes.NewBuffer(stateOf(t, m))
	for _, other := range g.others(n) {
		other.stop() // the test is the master from now on
	}
	from := newFakePeer(t, "127.0.0.1:0", "f9@x")
	term := m.Epoch() + 5
	index := entries(m) + 10
	still, writer := io.Pipe()
	defer writer.Close()
	go sendSnapshot(t, from, m, term, index, term, still, int64(state.Len()))
	go writer.Write(state.Bytes()[:10])
	eventually(t, "the first is being received", func() error { return receiving(n) })
	send := func(term, ofTerm uint64) (raft.InstallSnapshotResponse, error) {
		return sendSnapshot(t, from, m, term, index, ofTerm, bytes.NewReader(state.Bytes()), int64(state.Len()))
	}
	if answer, err := send(term-1, term-1); err == nil && answer.Success {
		t.Error("a snapshot of an earlier term was installed")
	}
	answer, err := send(term+1, term)
	if err != nil || !answer.Success {
		t.Fatalf("the other snapshot: %+v, %v", answer, err)
	}
	if first, last := m.storage.Log.Start(), m.machine.Revision(); first != index+1 || last != 3 {
		t.Errorf("the log continues at %d and the revision is %d; want %d and 3", first, last, index+1)
	}
	// The same snapshot arrives again, late: the log begins after it.
	if answer, err := send(term+1, term); err != nil || !answer.Success {
		t.Errorf("the same snapshot again: %+v, %v", answer, err)
	}
	if got := metric(t, n, "laurel_snapshots_received_total", snapshots.Known); got != 1 {
		t.Errorf("%v snapshots were known; want 1", got)
	}
}

// stateOf returns a snapshot of a member's state.
func stateOf(t *testing.T, m *Member) []byte {
	t.Helper()
	s, err := m.machine.Snapshot()
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

// A snapshot is of committed entries, so its state has everything that was applied here,
// and nothing after its own last entry.
func TestImpossibleSnapshotIsNotInstalled(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.master(), alerts("bard/a", 1, 3))
	g.agree(3)
	n := g.others(g.master())[0]
	m := n.member()
	early := stateOf(t, m)
	mustPost(t, g.master(), alerts("bard/a", 4, 3))
	g.agree(6)
	late := stateOf(t, m)
	for _, other := range g.others(n) {
		other.stop() // the test is the master from now on
	}
	from := newFakePeer(t, "127.0.0.1:0", "f9@x")
	term, last := m.Epoch()+5, entries(m)
	for what, c := range map[string]struct {
		index uint64
		state []byte
	}{
		"that goes back":              {last + 10, early},
		"of less than its state says": {m.machine.Applied() - 1, late},
		"that is cut off":             {last + 10, late[:len(late)-1]},
	} {
		size := int64(len(c.state))
		answer, err := sendSnapshot(t, from, m, term, c.index, term, bytes.NewReader(c.state), size)
		if err == nil && answer.Success {
			t.Errorf("a snapshot %s was installed: %+v", what, answer)
		}
		if got := m.machine.Revision(); got != 6 {
			t.Fatalf("after a snapshot %s the revision is %d", what, got)
		}
	}
}
