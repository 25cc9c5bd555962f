package push

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cluster/peer"
)

const (
	// streamTimeout is, at a time scale of 1, the time without a message after which a
	// stream is given up. The master sends one every 50 ms; TCP takes much longer to
	// notice a lost peer.
	streamTimeout = time.Second
	dialPause     = 25 * time.Millisecond // between two attempts, at a time scale of 1
	// maxUnsent bounds the bytes that wait for a member that does not read. With more the
	// stream is closed, and the member begins a new session when it is back.
	maxUnsent = 64 << 20
	// maxKeptBuffer bounds the buffer that a stream keeps after a large push.
	maxKeptBuffer = 1 << 20
)

// stream is the master's end of the connection to a member.
type stream struct {
	number  uint64
	version uint64 // of the protocol
	conn    net.Conn
	timeout time.Duration // for one write

	mu     sync.Mutex
	unsent []byte
	wake   chan struct{}
}

// queue makes a frame go out with the next that is sent. It reports whether too much
// waits.
func (s *stream) queue(frame []byte) (full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsent = append(s.unsent, frame...)
	return len(s.unsent) > maxUnsent
}

// send sends a frame. It never blocks.
func (s *stream) send(frame []byte) {
	if s.queue(frame) {
		s.conn.Close()
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write writes the queued frames until ctx or the stream ends.
func (s *stream) write(ctx context.Context) {
	var sending []byte
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		sending, s.unsent = s.unsent, sending[:0]
		s.mu.Unlock()
		s.conn.SetWriteDeadline(time.Now().Add(s.timeout))
		if _, err := s.conn.Write(sending); err != nil {
			s.conn.Close()
			return
		}
		if cap(sending) > maxKeptBuffer {
			sending = nil
		}
	}
}

// dialMembers keeps a stream to each new member, and closes those to members that were
// removed.
func (s *Sender) dialMembers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := map[raft.ServerID]bool{}
	for _, server := range s.config.Servers {
		current[server.ID] = true
		if server.ID == s.Self || s.dialing[server.ID] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(s.ctx)
		s.dialing[server.ID] = cancel
		s.Go(func() { s.keepStream(ctx, server.ID) })
	}
	for id, cancel := range s.dialing {
		if !current[id] {
			cancel()
			delete(s.dialing, id)
		}
	}
}

// keepStream keeps a stream to a member until ctx ends.
func (s *Sender) keepStream(ctx context.Context, id raft.ServerID) {
	refused := "" // why there is no version in common, as it was logged
	for ctx.Err() == nil {
		err := s.runStream(ctx, id)
		switch other := (*peer.ProtocolError)(nil); {
		case err == nil || ctx.Err() != nil:
		case !errors.As(err, &other):
			s.Logger.Debug("a push stream ended", "member", peer.MemberID(id), "err", err)
		case refused != err.Error():
			refused = err.Error()
			s.Logger.Error("a frontend gets no lease: it speaks no version that this one speaks",
				"member", peer.MemberID(id), "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(s.Scale(dialPause)):
		}
	}
}

// runStream connects to a member and reads its answers until the connection ends.
func (s *Sender) runStream(ctx context.Context, id raft.ServerID) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	version, err := peer.CommonProtocol(s.Protocols(id))
	if err != nil {
		return err
	}
	dialing, stop := context.WithTimeout(ctx, s.Scale(streamTimeout))
	defer stop()
	conn, err := s.Port.Dial(dialing, s.address(id), id, peer.ProtocolPush)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	opened := s.open(id, conn, version)
	defer s.lost(id, opened)
	go opened.write(ctx)
	r := bufio.NewReader(conn)
	for {
		conn.SetReadDeadline(time.Now().Add(s.Scale(streamTimeout)))
		msg, err := ReadMessage(r)
		if err != nil {
			return err
		}
		if ack, ok := msg.(*cache.Ack); ok && ack.Round > 0 {
			s.Transport.NoteAcked(id, s.epoch)
		}
		s.Update(func(m *cache.Master, now time.Duration) { err = m.Receive(string(id), opened.number, msg, now) })
		if err != nil {
			return err
		}
	}
}

// address returns the address of a member in the latest configuration; "" for none.
func (s *Sender) address(id raft.ServerID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	server, _ := peer.Find(s.config.Servers, id)
	return string(server.Address)
}

// open makes a connection the stream to a member.
func (s *Sender) open(id raft.ServerID, conn net.Conn, version uint64) (opened *stream) {
	s.Update(func(m *cache.Master, now time.Duration) {
		s.last++
		opened = &stream{
			number: ownStream + s.last, version: version, conn: conn,
			timeout: s.Scale(streamTimeout), wake: make(chan struct{}, 1),
		}
		s.streams[id] = opened
		m.StreamOpened(string(id), opened.number, now)
	})
	// A member that was away would wait for Raft's next message to learn what was committed.
	// The hint goes behind the Hello. A later one goes with the push of what it commits.
	if hint := AppliedCommit(s.Machine, s.Log); hint != (Commit{}) {
		opened.send(AppendMessage(nil, &hint))
	}
	return opened
}

func (s *Sender) lost(id raft.ServerID, lost *stream) {
	s.Update(func(m *cache.Master, now time.Duration) {
		if s.streams[id] == lost {
			delete(s.streams, id)
		}
		m.StreamLost(string(id), lost.number, now)
	})
	s.StreamsLost.Inc()
}
