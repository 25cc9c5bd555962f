package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// The members talk over one port. Where they have certificates a connection begins with a TLS handshake; see secure.go. The first byte
// after that says what it carries. Raft's go on with the length and the server id of
// the member that they are meant for, and another one hangs up: Raft's messages name no receiver, so whoever came to live at an address that
// the configuration still has for another would be counted as that one.
const (
	carriesRaft = 'R'
	carriesHTTP = 'H'
	carriesPush = 'P' // the push protocol; goes on like Raft's
)

const (
	helloLimit   = 5 * time.Second // for the first bytes
	peerIdle     = 2 * time.Minute
	peerConns    = 64 // idle HTTP connections kept to each other member
	acceptPause  = 10 * time.Millisecond
	unservedHTTP = 128 // HTTP connections that wait for ServeForwarded
)

// dialer makes a connection; see net.Dialer.DialContext.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// listener listens; see net.Listen.
type listener func(network, addr string) (net.Listener, error)

type port struct {
	net.Listener
	address  address
	serverID raft.ServerID
	dial     dialer
	secure   *secure // nil: nobody authenticates
	raft     chan net.Conn
	http     chan net.Conn
	push     chan net.Conn
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	server   *http.Server
	client   *http.Transport

	mu   sync.Mutex
	open map[*conn]struct{} // nil once the port is closed
}

// address is where the others reach the port: with the host's name as it was given, not what it stands for today.
type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

func listenPort(addr string, id raft.ServerID, dial dialer, listen listener, secure *secure) (*port, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if listen == nil {
		listen = net.Listen
	}
	l, err := listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	_, number, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		l.Close()
		return nil, err
	}
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	p := &port{Listener: l, address: address(net.JoinHostPort(host, number)), serverID: id, dial: dial, secure: secure,
		raft: make(chan net.Conn), push: make(chan net.Conn), http: make(chan net.Conn, unservedHTTP), open: map[*conn]struct{}{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.client = &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return p.connect(ctx, addr, p.secure.livesAt(addr), []byte{carriesHTTP})
		},
		MaxIdleConnsPerHost: peerConns, IdleConnTimeout: peerIdle / 2, DisableCompression: true,
	}
	go p.accept()
	return p, nil
}

// Addr is the address on which the others reach the port.
func (p *port) Addr() net.Addr { return p.address }

// conn is a connection that ends with the port.
type conn struct {
	net.Conn          // what is said; over TLS, where the members authenticate each other
	raw      net.Conn // what carries it
	port     *port
	// What the handshake has told, set once, before anybody else has the connection: who is at the other end.
	secure *tls.Conn
	peer   raft.ServerID
	// condemned is since when the certificate is accepted no more, in ns; 0: it is.
	condemned atomic.Int64
}

func (p *port) keep(c net.Conn) (*conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		c.Close()
		return nil, net.ErrClosed
	}
	kept := &conn{Conn: c, raw: c, port: p}
	p.open[kept] = struct{}{}
	return kept, nil
}

// Close ends the connection. It takes no leave as TLS would: that could wait for one who does not read, and every message tells its length.
func (c *conn) Close() error {
	c.port.mu.Lock()
	delete(c.port.open, c)
	c.port.mu.Unlock()
	return c.raw.Close()
}

// connect makes a connection to a member; where to is "", to whichever lives there.
func (p *port) connect(ctx context.Context, addr string, to raft.ServerID, hello []byte) (net.Conn, error) {
	// net/http goes on dialing when nobody waits for it any more.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	dialed, err := p.dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c, err := p.keep(dialed)
	if err != nil {
		return nil, err
	}
	if err := p.secure.ask(ctx, c, to); err != nil {
		c.Close()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(addr), Err: err} // nothing has been said yet
	}
	if _, err := c.Write(hello); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (p *port) accept() {
	for {
		accepted, err := p.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of file descriptors, say: others may be closed soon.
			time.Sleep(acceptPause)
			continue
		}
		if c, err := p.keep(accepted); err == nil {
			go p.sort(c)
		}
	}
}

func (p *port) sort(c *conn) {
	to, err := p.greet(c)
	if err != nil {
		c.Close()
		return
	}
	c.SetReadDeadline(time.Time{})
	select {
	case to <- c:
	case <-p.ctx.Done():
		c.Close()
	}
}

// greet finds out who has dialed and what for.
func (p *port) greet(c *conn) (chan net.Conn, error) {
	defer p.secure.enter(c)()
	limit := time.Now().Add(helloLimit)
	if err := p.secure.answer(p.ctx, c, limit); err != nil {
		return nil, err
	}
	c.SetReadDeadline(limit)
	to, err := p.readHello(c)
	if err == nil && to != p.http && p.secure.removed(c.peer) { // by HTTP it is told so
		p.secure.refused(reasonRemoved, c.raw.RemoteAddr(), errRemovedPeer)
		err = errRemovedPeer
	}
	return to, err
}

var errHello = errors.New("the connection is not for this member")

func (p *port) readHello(r io.Reader) (chan net.Conn, error) {
	var b [256]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return nil, err
	}
	switch b[0] {
	case carriesHTTP:
		return p.http, nil
	case carriesRaft, carriesPush:
		to := p.raft
		if b[0] == carriesPush {
			to = p.push
		}
		if _, err := io.ReadFull(r, b[:1]); err != nil {
			return nil, err
		}
		id := b[1 : 1+int(b[0])]
		if _, err := io.ReadFull(r, id); err == nil && raft.ServerID(id) == p.serverID {
			return to, nil
		}
	}
	return nil, errHello
}

func (p *port) serve(h http.Handler, log *slog.Logger) {
	p.server = &http.Server{Handler: h, ConnContext: keepPeer, ReadHeaderTimeout: helloLimit, IdleTimeout: peerIdle, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	go p.server.Serve(p.layer(p.http))
}

// finish lets the HTTP requests that are under way come to an end, for at most limit, and takes no more.
func (p *port) finish(limit time.Duration) {
	if p.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	p.server.Shutdown(ctx)
}

// Close ends all connections of the port. It may be called again.
func (p *port) Close() error {
	p.cancel()
	p.mu.Lock()
	open := p.open
	p.open = nil
	p.mu.Unlock()
	if open == nil {
		return nil
	}
	err := p.Listener.Close()
	if p.server != nil {
		p.server.Close()
	}
	for c := range open {
		c.raw.Close()
	}
	p.client.CloseIdleConnections()
	return err
}

// layer is one of the two listeners behind the port. As a raft.StreamLayer it also dials.
type layer struct {
	*port
	conns  chan net.Conn
	ctx    context.Context
	cancel context.CancelFunc
}

func (p *port) layer(conns chan net.Conn) *layer {
	l := &layer{port: p, conns: conns}
	l.ctx, l.cancel = context.WithCancel(p.ctx)
	return l
}

// raftLayer is the layer of Raft. Silence is how long a message that has begun may make no progress.
func (p *port) raftLayer(silence time.Duration) raft.StreamLayer {
	return messageLayer{p.layer(p.raft), silence}
}

// Accept waits for a connection.
func (l *layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close leaves the port open: the other layer may still need it.
func (l *layer) Close() error {
	l.cancel()
	return nil
}

// Dial connects to the Raft of the member that to names.
func (l *layer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	addr, id, _ := strings.Cut(string(to), "/")
	return l.connect(ctx, addr, raft.ServerID(id), hello(carriesRaft, raft.ServerID(id)))
}

// hello begins a connection that is for one member alone.
func hello(carries byte, to raft.ServerID) []byte {
	return append([]byte{carries, byte(len(to))}, to...)
}

// serveStreams has serve take the streams of masters until the port is closed.
func (p *port) serveStreams(serve func(net.Conn)) {
	go func() {
		for {
			select {
			case c := <-p.push:
				go serve(c)
			case <-p.ctx.Done():
				return
			}
		}
	}()
}
