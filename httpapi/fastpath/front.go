// Package fastpath is a fast way in before net/http, for the few requests that come most. It reads a connection itself for as long as each
// request on it arrives whole, is written in the plainest form of HTTP/1.1, and is one that a Handler takes. At the first that
// is not, it hands the connection with every unread byte to net/http, for the rest of its life. So it never refuses anything: what is odd,
// slow, large or wrong is judged by net/http alone.
//
// Read parse.go for what it understands, conn.go for the life of a connection.
package fastpath

import (
	"context"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Handler answers the requests that come most. It is called by many connections at once.
//
// While it is at work nobody reads the connection, so it does not learn that the client went away: what waits in it must end by itself.
type Handler interface {
	// Answer appends the whole answer to dst: AppendStatus, header fields, AppendEnd, and a body of the Content-Length that it gave. False says
	// that the request is not for it: then it has done nothing, and net/http answers. With true and nothing appended the connection ends.
	// The context ends when the server is closed, not when it is shut down. The request is valid until Answer returns.
	Answer(ctx context.Context, dst []byte, r *Request) ([]byte, bool)
}

// Server serves a listener by a Handler, and by net/http where that does not answer. Its connections have the timeouts of the
// http.Server, except that an idle one may rest for up to a quarter longer.
type Server struct {
	http    *http.Server
	hot     Handler
	answer  time.Duration
	secure  *handshakes // nil: no TLS here
	handed  *handedOver
	ctx     context.Context
	cancel  context.CancelFunc
	closing atomic.Bool

	mu       sync.Mutex
	listener net.Listener
	conns    map[*conn]struct{}
	gone     chan struct{} // closed when closing and no connection is left
}

// New makes a server that asks hot first. A client that does not read an answer loses its connection after the time answer, or up to a
// quarter more. Of h, Serve, Shutdown and Close must be left to the Server.
func New(h *http.Server, hot Handler, answer time.Duration) *Server {
	s := &Server{http: h, hot: hot, answer: answer, conns: map[*conn]struct{}{}, gone: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Serve accepts connections of l until Shutdown or Close, whereupon it returns http.ErrServerClosed, or until l fails. It is called once.
func (s *Server) Serve(l net.Listener) error {
	handed := &handedOver{addr: l.Addr(), conns: make(chan net.Conn), done: make(chan struct{})}
	s.mu.Lock()
	s.listener, s.handed = l, handed
	closed := s.closing.Load()
	s.mu.Unlock()
	if closed {
		l.Close()
		return http.ErrServerClosed
	}
	go s.http.Serve(handed) //nolint:errcheck // it ends when handed is closed, which says nothing
	var pause time.Duration
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.take(c)
		case s.closing.Load():
			return http.ErrServerClosed
		case !passes(err):
			return err
		default:
			// As net/http does: too many open files, for one, will pass.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.logf("fastpath: accept error: %v; retrying in %v", err, pause)
			time.Sleep(pause)
		}
	}
}

func passes(err error) bool {
	e, ok := err.(interface{ Temporary() bool })
	return ok && e.Temporary()
}

func (s *Server) take(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	closed := s.closing.Load()
	if !closed {
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	if closed {
		c.end()
		return
	}
	go c.serve()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.conns[c]; !ok {
		return
	}
	delete(s.conns, c)
	if len(s.conns) == 0 && s.closing.Load() {
		close(s.gone)
	}
}

// Shutdown closes the listener and the idle connections, and waits until the requests under way are answered, those at net/http included,
// or ctx ends, which is the error then.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.stop((*conn).closeIdle)
	if herr := s.http.Shutdown(ctx); err == nil {
		err = herr
	}
	select {
	case <-s.gone:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes the listener and every connection, and does not wait.
func (s *Server) Close() error {
	s.cancel()
	err := s.stop(func(c *conn) { c.Conn.Close() })
	if herr := s.http.Close(); err == nil {
		err = herr
	}
	return err
}

// stop takes no more connections, and does something to those that there are.
func (s *Server) stop(each func(*conn)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if first := s.closing.CompareAndSwap(false, true); first {
		if s.listener != nil {
			err = s.listener.Close()
		}
		if len(s.conns) == 0 {
			close(s.gone)
		}
	}
	for c := range s.conns {
		each(c)
	}
	return err
}

func (s *Server) logf(format string, args ...any) {
	if s.http.ErrorLog != nil {
		s.http.ErrorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}
