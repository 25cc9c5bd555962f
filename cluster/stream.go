package cluster

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
	// streamSilence is after how long without a message, at a time scale of 1, a stream is given up. Beats come every 20 ms; a connection that
	// was cut would take much longer to say so.
	streamSilence = time.Second
	dialPause     = 25 * time.Millisecond // between two attempts, at a time scale of 1
	// maxUnsent bounds what waits for a member that does not read. Past it the stream is given up; the member begins a new session when it is back.
	maxUnsent = 64 << 20
)

// stream is the master's end of the connection to a member.
type stream struct {
	number uint64
	conn   net.Conn
	limit  time.Duration // for one write

	mu     sync.Mutex
	unsent []byte
	wake   chan struct{}
}

func newStream(number uint64, conn net.Conn, limit time.Duration) *stream {
	return &stream{number: number, conn: conn, limit: limit, wake: make(chan struct{}, 1)}
}

// queue has a frame go out with the next that is sent.
func (s *stream) queue(frame []byte) (full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsent = append(s.unsent, frame...)
	return len(s.unsent) > maxUnsent
}

// send queues a frame and has it sent. It never blocks.
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

// write sends what is queued until the stream ends.
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
		s.conn.SetWriteDeadline(time.Now().Add(s.limit))
		if _, err := s.conn.Write(sending); err != nil {
			s.conn.Close()
			return
		}
		if cap(sending) > maxFrame/64 {
			sending = nil // one large push must not hold its memory for ever
		}
	}
}

// keepStream keeps a stream to a member for as long as ctx lasts.
func (l *leadership) keepStream(ctx context.Context, id raft.ServerID) {
	m := l.of
	for ctx.Err() == nil {
		if err := l.runStream(ctx, id); err != nil && ctx.Err() == nil {
			m.log.Debug("the stream to a member ended", "member", memberID(id), "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(m.scaled(dialPause)):
		}
	}
}

var errNoAddress = errors.New("the configuration has no address for it")

func (l *leadership) runStream(ctx context.Context, id raft.ServerID) error {
	m := l.of
	address := l.address(id)
	if address == "" {
		return errNoAddress
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dialing, stop := context.WithTimeout(ctx, m.scaled(streamSilence))
	defer stop()
	conn, err := m.port.Dial(dialing, address, id, peer.ProtocolPush)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	s := l.open(id, conn)
	defer l.lost(id, s)
	go s.write(ctx)
	r := bufio.NewReader(conn)
	for {
		conn.SetReadDeadline(time.Now().Add(m.scaled(streamSilence)))
		msg, err := readMessage(r)
		if err != nil {
			return err
		}
		l.update(func(now time.Duration) { err = l.master.Receive(string(id), s.number, msg, now) })
		if err != nil {
			return err
		}
	}
}

// serveStream is the frontend's end of a stream: it takes in what the master says, and answers. Nothing is
// believed before a Hello was taken.
func (m *Member) serveStream(conn net.Conn) {
	defer conn.Close()
	link := m.frontend.Open(false)
	defer link.Close()
	epoch := uint64(0) // of the Hello that was taken
	r, answers := bufio.NewReaderSize(conn, 16<<10), []byte(nil)
	for {
		if r.Buffered() == 0 && len(answers) > 0 {
			conn.SetWriteDeadline(time.Now().Add(m.scaled(streamSilence)))
			if _, err := conn.Write(answers); err != nil {
				return
			}
			answers = answers[:0]
		}
		conn.SetReadDeadline(time.Now().Add(m.scaled(streamSilence)))
		body, err := readFrame(r)
		if err != nil {
			return
		}
		if last, is := parseCommitted(body); is && epoch != 0 {
			m.commits.hear(epoch, last)
			continue
		}
		msg, err := parseMessage(body)
		if err != nil {
			return
		}
		hello, begins := msg.(*cache.Hello)
		if begins {
			err = m.admitHello(conn, hello)
		}
		if push, ok := msg.(*cache.Push); ok && len(push.Records) > 0 && m.Access().Guarded {
			msg = unvouched(push)
		}
		var answer cache.Message
		if err == nil {
			answer, err = link.Receive(msg, m.raft.CurrentTerm())
		}
		switch {
		case err != nil && begins:
			m.refuseHello(err)
			return
		case err != nil:
			if !errors.Is(err, cache.ErrStale) {
				m.log.Warn("a stream from a master was given up", "error", err)
			}
			return
		case begins:
			epoch = hello.Epoch
		}
		if answer != nil {
			answers = appendMessage(answers, answer)
		}
	}
}
