package peer

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"laurel/internal/address"
	"laurel/trust/pki"
)

// Protocols that a connection can carry. The first byte on a connection names the
// protocol. In a secure group the TLS handshake comes before it. No method of HTTP begins
// with such a byte: else a web page could have a browser write it.
const (
	ProtocolRaft = '<'
	ProtocolHTTP = '='
	ProtocolPush = '>' // the push protocol of package cache
)

const (
	// HandshakeTimeout bounds the TLS handshake and the preamble of a connection.
	HandshakeTimeout = 5 * time.Second

	// requestTimeout bounds the time in which a request arrives. It begins with the header.
	requestTimeout   = time.Minute
	httpIdleTimeout  = 2 * time.Minute
	maxIdleHTTPConns = 64 // idle HTTP connections kept to each other member
	acceptPause      = 10 * time.Millisecond
	httpBacklog      = 128 // HTTP connections that wait for HandleHTTP
)

// Dialer makes a connection; see net.Dialer.DialContext.
type Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// Listener listens for connections; see net.Listen.
type Listener func(network, addr string) (net.Listener, error)

// Config configures a Port.
type Config struct {
	// Address is the host:port at which the other members reach this one, and Bind the one
	// on which it listens, "" for Address. Port 0 of Address lets the system choose.
	Address, Bind string

	ServerID raft.ServerID  // of this member
	Auth     *Authenticator // nil if members do not authenticate each other
	// Needs has the role that each protocol needs, but for HTTP.
	Needs map[byte]pki.Role
	// Moved returns where the member is that the configuration has at an address; nil means
	// that none has moved.
	Moved  func(addr string) string
	Dial   Dialer   // nil means a net.Dialer
	Listen Listener // nil means net.Listen
	// HandshakeTimeout is for the connections that come in, and for the header of each HTTP request
	// on them. 0 means the constant.
	HandshakeTimeout time.Duration
}

// Port is the one port between members. All methods are safe for concurrent use.
type Port struct {
	config   Config
	listener net.Listener
	address  Addr
	raft     chan net.Conn
	http     chan net.Conn
	push     chan net.Conn
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	server   *http.Server
	client   atomic.Pointer[http.Transport]

	mu   sync.Mutex
	open map[*conn]struct{} // nil once the port is closed
}

// Addr is the address of a peer port, with the host name as it was configured instead of
// the IP address that the name resolves to today.
type Addr string

func (a Addr) Network() string { return "tcp" }
func (a Addr) String() string  { return string(a) }

// Listen opens the port and accepts connections. Close must be called.
func Listen(c Config) (*Port, error) {
	if c.Listen == nil {
		c.Listen = net.Listen
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Moved == nil {
		c.Moved = func(addr string) string { return addr }
	}
	l, err := c.Listen("tcp", cmp.Or(c.Bind, c.Address))
	if err != nil {
		return nil, err
	}
	reached, err := c.reached(l)
	if err != nil {
		l.Close()
		return nil, err
	}
	p := &Port{
		config: c, listener: l, address: reached,
		raft: make(chan net.Conn), push: make(chan net.Conn), http: make(chan net.Conn, httpBacklog),
		open: map[*conn]struct{}{},
		server: &http.Server{
			ConnContext: withPeer, ReadHeaderTimeout: cmp.Or(c.HandshakeTimeout, HandshakeTimeout),
			ReadTimeout: requestTimeout, IdleTimeout: httpIdleTimeout,
		},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.client.Store(newClient(p.connectHTTP))
	go p.accept()
	return p, nil
}

// reached returns the address at which the other members reach l.
func (c *Config) reached(l net.Listener) (Addr, error) {
	if c.Bind != "" {
		return Addr(c.Address), nil
	}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return Addr(net.JoinHostPort(host, port)), err
}

// connectHTTP connects to the member that the configuration has at addr, or to any frontend there
// if it has none.
func (p *Port) connectHTTP(ctx context.Context, _, addr string) (net.Conn, error) {
	return p.connect(ctx, p.config.Moved(addr), p.config.Auth.memberAt(addr), []byte{ProtocolHTTP})
}

func newClient(dial Dialer) *http.Transport {
	return &http.Transport{
		DialContext:         dial,
		MaxIdleConnsPerHost: maxIdleHTTPConns,
		IdleConnTimeout:     httpIdleTimeout / 2,
		DisableCompression:  true,
	}
}

// Reconnect makes the next requests to other members use new connections, on which this
// member presents its present certificate.
func (p *Port) Reconnect() { p.client.Swap(newClient(p.connectHTTP)).CloseIdleConnections() }

// Addr returns the address on which the other members reach the port.
func (p *Port) Addr() net.Addr { return p.address }

// conn is a connection that the port closes when it is closed itself.
type conn struct {
	net.Conn          // the TLS connection in a secure group, else raw
	raw      net.Conn // the TCP connection
	port     *Port
	// tls and peer are set once by the handshake, before another goroutine has the
	// connection.
	tls  *tls.Conn
	peer pki.Holder
	// witness is what the peer has said in its hello; nil until it has been admitted or refused.
	witness atomic.Pointer[hello]
	// protocol and dialed are the purpose of the connection, once that is known.
	protocol byte
	dialed   bool
	// rejectedSince is the time in ns since which the peer's certificate is no longer
	// accepted; 0 while it is.
	rejectedSince atomic.Int64
}

// add registers a connection.
func (p *Port) add(c net.Conn) (*conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		c.Close()
		return nil, net.ErrClosed
	}
	c = quick(c)
	added := &conn{Conn: c, raw: c, port: p}
	p.open[added] = struct{}{}
	return added, nil
}

// Close closes the connection without the TLS close_notify, which could block on a peer
// that does not read. Truncation is detected because every message is length-prefixed.
func (c *conn) Close() error {
	c.port.mu.Lock()
	delete(c.port.open, c)
	c.port.mu.Unlock()
	return c.raw.Close()
}

// Dial connects to the member to at addr for a protocol.
func (p *Port) Dial(ctx context.Context, addr string, to raft.ServerID, protocol byte) (net.Conn, error) {
	return p.connect(ctx, p.config.Moved(addr), to, Preamble(protocol, to))
}

// connect connects to the member to at addr, or to any member there if to is "".
func (p *Port) connect(ctx context.Context, addr string, to raft.ServerID, preamble []byte) (net.Conn, error) {
	// net/http goes on dialing after the request that needed the connection has ended.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	dialed, err := p.config.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c, err := p.add(dialed)
	if err != nil {
		return nil, err
	}
	err = p.config.Auth.clientHandshake(ctx, c, to)
	if err == nil {
		err = p.config.Auth.dialHello(ctx, c)
	}
	if err == nil {
		err = p.checkReceiver(ctx, c, preamble[0])
	}
	if err == nil {
		err = p.config.Auth.admitStanding(c, preamble[0], true)
	}
	if err != nil {
		c.Close()
		// The request has not been sent, so DialFailed must report true.
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: Addr(addr), Err: err}
	}
	if _, err := c.Write(preamble); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (p *Port) accept() {
	for {
		accepted, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// For example out of file descriptors: others may be closed soon.
			time.Sleep(acceptPause)
			continue
		}
		if c, err := p.add(accepted); err == nil {
			go p.route(c)
		}
	}
}

// route hands a connection to the protocol that it is for.
func (p *Port) route(c *conn) {
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

// HandleHTTP serves HTTP requests of other members with h until the port is closed. It
// may be called once. Where members do not authenticate each other, only requests that
// name this member's host are served.
func (p *Port) HandleHTTP(h http.Handler, log *slog.Logger) {
	if p.config.Auth == nil {
		host, _, _ := net.SplitHostPort(string(p.address)) // which Listen has made
		h = address.OnlyThisMachine(h, host)
	}
	p.server.Handler, p.server.ErrorLog = h, slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	go p.server.Serve(p.layer(p.http))
}

// HandlePush calls serve with each push stream that a master opens, until the port is
// closed.
func (p *Port) HandlePush(serve func(net.Conn)) {
	streams := p.layer(p.push)
	go func() {
		for {
			c, err := streams.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
}

// Shutdown takes no more HTTP requests and waits for those under way, for at most limit.
func (p *Port) Shutdown(limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	p.server.Shutdown(ctx)
}

// Close closes the port and all its connections. It may be called again.
func (p *Port) Close() error {
	p.cancel()
	p.mu.Lock()
	open := p.open
	p.open = nil
	p.mu.Unlock()
	if open == nil {
		return nil
	}
	err := p.listener.Close()
	p.server.Close()
	for c := range open {
		c.raw.Close()
	}
	p.client.Load().CloseIdleConnections()
	return err
}
