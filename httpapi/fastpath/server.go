// Package fastpath answers the most frequent requests before net/http. It reads a
// connection itself as long as each request on it arrives whole, has the plainest form of
// HTTP/1.1, and is answered by the Handler. At the first request that does not, it hands
// the connection over to net/http for the rest of its life, with all bytes that have not
// been answered. So it never refuses a request: net/http alone judges what is odd, slow,
// large or invalid.
//
// Start with Request.parse, which decides what is plain, and conn, which is the life of a
// connection.
package fastpath

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Handler answers requests. It is called by many goroutines at once.
type Handler interface {
	// Answer appends the whole answer to dst: AppendStatus, header fields, AppendEnd, and
	// the body. It returns false, and has done nothing, if net/http is to answer the
	// request. If it returns true and has appended nothing, the connection ends.
	//
	// ctx ends when the server is closed, not when it is shut down or the client is gone,
	// so whatever Answer waits for needs a time limit. The request is valid until Answer
	// returns.
	Answer(ctx context.Context, dst []byte, r *Request) ([]byte, bool)
}

// Server serves a listener with a Handler, and with net/http what that does not answer.
// Its connections have the timeouts of the http.Server, but an idle one may live for up
// to a quarter longer.
type Server struct {
	http          *http.Server
	handler       Handler
	answerTimeout time.Duration
	handoff       *handoffListener
	ctx           context.Context
	cancel        context.CancelFunc
	closing       atomic.Bool

	tls             *tls.Config // nil without TLS
	handshakeFailed func(error)
	handshakes      chan struct{} // has a token for each handshake that computes

	mu       sync.Mutex
	listener net.Listener
	conns    map[*conn]struct{}
	serving  sync.WaitGroup // one for each of conns
}

// New returns a server that asks handler first. A client that does not read an answer
// loses its connection after answerTimeout, or up to a quarter later. Serve, Shutdown and
// Close of h must not be called.
func New(h *http.Server, handler Handler, answerTimeout time.Duration) *Server {
	s := &Server{
		http:          h,
		handler:       handler,
		answerTimeout: answerTimeout,
		handshakes:    make(chan struct{}, MaxHandshakes),
		conns:         map[*conn]struct{}{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Serve accepts connections until Shutdown or Close, and returns http.ErrServerClosed
// then, or until l fails. It must be called once.
func (s *Server) Serve(l net.Listener) error {
	handoff := &handoffListener{addr: l.Addr(), conns: make(chan net.Conn), done: make(chan struct{})}
	s.mu.Lock()
	s.listener, s.handoff = l, handoff
	closed := s.closing.Load()
	s.mu.Unlock()
	if closed {
		l.Close()
		return http.ErrServerClosed
	}
	go s.http.Serve(handoff) //nolint:errcheck // it ends when handoff is closed
	var pause time.Duration
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.start(c)
		case s.closing.Load():
			return http.ErrServerClosed
		case !isTemporary(err):
			return err
		default:
			// As net/http does. Too many open files, for example, is temporary.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.logf("fastpath: accept error: %v; retrying in %v", err, pause)
			time.Sleep(pause)
		}
	}
}

// isTemporary reports whether accepting may succeed later.
func isTemporary(err error) bool {
	e, ok := err.(interface{ Temporary() bool })
	return ok && e.Temporary()
}

func (s *Server) start(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		nc.Close()
		return
	}
	c := newConn(s, nc)
	s.conns[c] = struct{}{}
	s.serving.Go(c.serve)
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Shutdown closes the listener and the idle connections, and waits until the requests
// under way are answered, including those at net/http, or ctx ends, which is the error
// then.
func (s *Server) Shutdown(ctx context.Context) error {
	err := errors.Join(s.stop((*conn).closeIdle), s.http.Shutdown(ctx))
	gone := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes the listener and all connections. It does not wait.
func (s *Server) Close() error {
	s.cancel()
	return errors.Join(s.stop(func(c *conn) { c.Conn.Close() }), s.http.Close())
}

// stop stops accepting connections and calls each for the existing ones.
func (s *Server) stop(each func(*conn)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.closing.CompareAndSwap(false, true) && s.listener != nil {
		err = s.listener.Close()
	}
	for c := range s.conns {
		each(c)
	}
	return err
}

func (s *Server) logf(format string, args ...any) {
	cmp.Or(s.http.ErrorLog, log.Default()).Printf(format, args...)
}
