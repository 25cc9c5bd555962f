package peer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// Every voter holds the key of the group's authority, so one corrupt voter can have
// certificates in any name. A frontend therefore has a key of its own, which no authority
// vouches for. In the hello of a connection both ends sign what TLS exports from its
// handshake (RFC 9266 and RFC 5705): the signature is worth nothing on another connection.
// In a sworn group only the key that the roster has for a frontend speaks for it.
//
// The dialing end sends its hello after the handshake, before the preamble:
//
//	'?', public key (32), signature (64), length of the announcement (2), announcement
//
// and the accepting end answers with the same. The announcement is the signed change, in
// JSON, that has put the sender into the roster, or nothing: the other end may have been
// down meanwhile, and could learn of it only from the sender.

// protocolHello begins the hello of a connection. The protocol follows.
const protocolHello = '?'

const (
	helloSize       = ed25519.PublicKeySize + ed25519.SignatureSize + 2
	maxAnnouncement = 4 << 10
	exporterLabel   = "EXPORTER-laurel-hello-1"
	exporterSize    = 32

	reasonWitness = "witness" // the key is not the one that the roster has
)

// The ends of a connection, which their signatures name.
const (
	dials   = "dials"
	accepts = "accepts"
)

var errHello = errors.New("the hello of the connection is damaged, or is one for another connection")

// helloForm returns what a hello signs.
func helloForm(end, member string, exported []byte) []byte {
	return append(fmt.Appendf(nil, "laurel hello 1\n%s\n%s\n", end, member), exported...)
}

func export(c *tls.Conn) ([]byte, error) {
	s := c.ConnectionState()
	return s.ExportKeyingMaterial(exporterLabel, nil, exporterSize)
}

// appendHello appends the hello of this member at one end of a connection.
func (a *Authenticator) appendHello(b []byte, end string, c *tls.Conn) ([]byte, error) {
	exported, err := export(c)
	if err != nil {
		return nil, err
	}
	var announcement []byte
	self := a.Identity.Member
	if s := a.sworn(); s != nil {
		if signed := s.Roster[MemberID(raft.ServerID(self))].Signed(); signed != nil {
			if announcement, err = json.Marshal(signed); err != nil {
				return nil, err
			}
		}
	}
	b = append(append(b, protocolHello), a.Witness.Public().(ed25519.PublicKey)...)
	b = append(b, ed25519.Sign(a.Witness, helloForm(end, self, exported))...)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(announcement))), announcement...), nil
}

// hello is what the other end of a connection has proven and said; the zero value is that of
// one that has said none.
type hello struct {
	key          ed25519.PublicKey
	announcement *access.SignedChange // nil for none
}

// readHello reads a hello after its first byte. verify reports whether a key has signed it.
func readHello(r io.Reader, verify func(key ed25519.PublicKey, signature []byte) bool) (*hello, error) {
	var b [helloSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return nil, err
	}
	h := &hello{key: bytes.Clone(b[:ed25519.PublicKeySize])}
	length := binary.BigEndian.Uint16(b[helloSize-2:])
	if length > maxAnnouncement || !verify(h.key, b[ed25519.PublicKeySize:helloSize-2]) {
		return nil, errHello
	}
	if length == 0 {
		return h, nil
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, err
	}
	h.announcement = new(access.SignedChange)
	if err := json.Unmarshal(text, h.announcement, json.RejectUnknownMembers(true)); err != nil {
		return nil, errHello
	}
	return h, nil
}

// readPeerHello reads the hello of the other end of a connection.
func readPeerHello(end string, c *conn) (*hello, error) {
	exported, err := export(c.tls)
	if err != nil {
		return nil, err
	}
	form := helloForm(end, c.peer.Member, exported)
	return readHello(c, func(key ed25519.PublicKey, signature []byte) bool {
		return ed25519.Verify(key, form, signature)
	})
}

// dialHello exchanges the hellos of a dialed connection.
func (a *Authenticator) dialHello(ctx context.Context, c *conn) error {
	if a == nil || a.Witness == nil {
		return nil
	}
	deadline, ok := ctx.Deadline()
	if latest := time.Now().Add(HandshakeTimeout); !ok || deadline.After(latest) {
		deadline = latest
	}
	c.SetDeadline(deadline)
	defer c.SetDeadline(time.Time{})
	defer context.AfterFunc(ctx, func() { c.Close() })()
	own, err := a.appendHello(nil, dials, c.tls)
	if err != nil {
		return err
	}
	if _, err := c.Write(own); err != nil {
		return err
	}
	var first [1]byte
	if _, err := io.ReadFull(c, first[:]); err != nil {
		return fmt.Errorf("the member does not answer the hello: %w", err)
	}
	if first[0] != protocolHello {
		return errHello
	}
	h, err := readPeerHello(accepts, c)
	if err != nil {
		return err
	}
	return a.admitWitness(c, h)
}

// answersHello reports whether a connection may begin with a hello.
func (a *Authenticator) answersHello(c *conn) bool {
	return a != nil && a.Witness != nil && c.tls != nil
}

// acceptHello answers the hello of an accepted connection, of which the first byte has
// been read.
func (a *Authenticator) acceptHello(c *conn) error {
	h, err := readPeerHello(dials, c)
	if err != nil {
		return err
	}
	// The other end is told who this is whether or not it is let in: it may know better.
	own, err := a.appendHello(nil, accepts, c.tls)
	if err != nil {
		return err
	}
	c.SetWriteDeadline(time.Now().Add(HandshakeTimeout))
	defer c.SetWriteDeadline(time.Time{})
	if _, err := c.Write(own); err != nil {
		return err
	}
	return a.admitWitness(c, h)
}

// sworn returns the access control of a sworn group; nil for another group.
func (a *Authenticator) sworn() *access.State {
	if a.Sworn == nil {
		return nil
	}
	return a.Sworn()
}

// admitWitness stores the key of the other end, or returns an error if the roster of a
// sworn group has another one for it.
func (a *Authenticator) admitWitness(c *conn, h *hello) error {
	if a == nil {
		return nil
	}
	c.witness.Store(h)
	err := a.checkWitness(c.peer, h)
	if err != nil {
		a.refuse(reasonWitness, c.raw.RemoteAddr(), err)
	}
	return err
}

// checkWitness returns an error unless the roster has the key of a hello for a member, or
// an operator announces it. It allows everything in a group that is not sworn.
func (a *Authenticator) checkWitness(peer pki.Holder, h *hello) error {
	s := a.sworn()
	if s == nil {
		return nil
	}
	name := MemberID(raft.ServerID(peer.Member))
	switch {
	case h.key == nil:
		return fmt.Errorf("%q has not proven that it has a key of the roster", name)
	case bytes.Equal(s.KeyOf(name), h.key), h.announcement != nil && s.Announces(h.announcement, name, h.key):
		return nil
	case s.KeyOf(name) == nil:
		return &RosterError{name, h.key, ""}
	}
	return &RosterError{name, h.key, score.KeyID(s.KeyOf(name))}
}

// RosterError is the error of a connection to a frontend whose key is not in the roster.
type RosterError struct {
	Name string
	Key  ed25519.PublicKey // that the frontend has
	Has  string            // the id of the key that the roster has; "" for none
}

func (e *RosterError) Error() string {
	if e.Has == "" {
		return fmt.Sprintf("the roster has no frontend %q; an operator must sign its key in, %s", e.Name, e.text())
	}
	return fmt.Sprintf("the frontend %q has the key %s, but the roster has one with the id %s for it",
		e.Name, e.text(), e.Has)
}

func (e *RosterError) text() string { return base64.StdEncoding.EncodeToString(e.Key) }
