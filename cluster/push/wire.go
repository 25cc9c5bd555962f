package push

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/cache"
)

// A message is a frame: its length as a varint, a byte for its kind, then its numbers as
// varints in the order of the type's fields, and lists as a count and the items. Both
// ends must have the same version, which the first frame has.

const (
	wireVersion = 3
	// maxFrame bounds a message, in bytes. A push is the largest: it has a record for
	// each contest that changed since the previous push.
	maxFrame = 64 << 20
	// frameStep is the memory that a frame takes before as much of it has arrived.
	frameStep = 64 << 10
)

const (
	kindHello = iota + 1
	kindBeat
	kindStart
	kindPush
	kindRelease
	kindGrant
	kindRecall
	kindRetire
	kindWelcome
	kindAck
	kindReturned
	kindRetired
	kindCommit // for Raft; see CommitHints
)

var errFrame = errors.New("the frame is damaged, or of another version of Laurel")

// AppendMessage appends the frame of m to b.
func AppendMessage(b []byte, m cache.Message) []byte {
	body := appendBody(nil, m)
	b = protowire.AppendVarint(b, uint64(len(body)))
	return append(b, body...)
}

func appendBody(b []byte, m cache.Message) []byte {
	switch m := m.(type) {
	case *cache.Hello:
		b = appendNumbers(append(b, kindHello), wireVersion, m.Epoch, uint64(m.Lease))
		return protowire.AppendString(b, m.Master)
	case *cache.Beat:
		return appendNumbers(append(b, kindBeat), m.Round, m.Released)
	case *cache.Start:
		return appendNumbers(append(b, kindStart), m.At, m.Released)
	case *cache.Push:
		return appendPush(append(b, kindPush), m)
	case *cache.Release:
		return appendNumbers(append(b, kindRelease), m.Released)
	case *cache.Grant:
		return appendNumbers(append(b, kindGrant), uint64(m.At), uint64(m.Remaining))
	case *cache.Recall:
		return append(b, kindRecall)
	case *cache.Retire:
		return appendNumbers(append(b, kindRetire), m.Round)
	case *cache.Welcome:
		none := uint64(0)
		if m.NoLease {
			none = 1
		}
		return appendNumbers(append(b, kindWelcome), uint64(m.Age), none)
	case *cache.Ack:
		b = appendNumbers(append(b, kindAck), m.Round, m.Pushed, uint64(m.At))
		return appendStrings(b, m.Held)
	case *cache.Returned:
		return append(b, kindReturned)
	case *cache.Retired:
		return appendNumbers(append(b, kindRetired), m.Round)
	}
	panic(fmt.Sprintf("push: message type %T has no frame", m)) // a bug, not bad input
}

func appendNumbers(b []byte, list ...uint64) []byte {
	for _, n := range list {
		b = protowire.AppendVarint(b, n)
	}
	return b
}

func appendStrings(b []byte, list []string) []byte {
	b = protowire.AppendVarint(b, uint64(len(list)))
	for _, s := range list {
		b = protowire.AppendString(b, s)
	}
	return b
}

func appendPush(b []byte, p *cache.Push) []byte {
	size := 64
	for i := range p.Records {
		size += len(p.Records[i].Key) + len(p.Records[i].Body) + 24
	}
	b = append(make([]byte, 0, len(b)+size), b...)
	b = appendNumbers(b, p.From, p.To, p.Released, uint64(len(p.Records)))
	for i := range p.Records {
		r := &p.Records[i]
		b = protowire.AppendString(b, r.Key)
		b = protowire.AppendVarint(b, r.Revision)
		b = protowire.AppendBytes(b, r.Body)
	}
	return appendStrings(b, p.Stale)
}

// ReadMessage reads a frame, which must be that of a message of package cache.
func ReadMessage(r *bufio.Reader) (cache.Message, error) {
	body, err := readFrame(r)
	if err != nil {
		return nil, err
	}
	return parseMessage(body)
}

// readFrame reads the body of a frame, which has at least one byte.
func readFrame(r *bufio.Reader) ([]byte, error) {
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if size == 0 || size > maxFrame {
		return nil, errFrame
	}
	// A false length must not take memory.
	body := make([]byte, min(size, frameStep))
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	for uint64(len(body)) < size {
		n := len(body)
		body = append(body, make([]byte, min(size-uint64(n), uint64(n)))...)
		if _, err := io.ReadFull(r, body[n:]); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// AppendCommit appends the frame of a hint to b.
func AppendCommit(b []byte, c Commit) []byte {
	body := appendNumbers([]byte{kindCommit}, c.Index, c.Term)
	return append(protowire.AppendVarint(b, uint64(len(body))), body...)
}

func parseCommit(body []byte) (c Commit, ok bool) {
	if body[0] != kindCommit {
		return c, false
	}
	f := frame{b: body[1:]}
	c.Index, c.Term = f.number(), f.number()
	return c, !f.bad && len(f.b) == 0
}

// frame is the unparsed rest of a frame. bad is set at the first error and stays set.
type frame struct {
	b   []byte
	bad bool
}

func (f *frame) number() uint64 {
	n, size := protowire.ConsumeVarint(f.b)
	if size < 0 {
		f.bad, f.b = true, nil
		return 0
	}
	f.b = f.b[size:]
	return n
}

func (f *frame) duration() time.Duration {
	n := f.number()
	if n > 1<<62 {
		f.bad = true
	}
	return time.Duration(n)
}

// bytes returns memory of the frame.
func (f *frame) bytes() []byte {
	b, size := protowire.ConsumeBytes(f.b)
	if size < 0 {
		f.bad, f.b = true, nil
		return nil
	}
	f.b = f.b[size:]
	return b[:len(b):len(b)]
}

// count returns the length of a list whose items take at least least bytes each. It
// refuses a length that the rest of the frame cannot have, so that a false one takes no
// memory.
func (f *frame) count(least int) int {
	n := f.number()
	if n > uint64(len(f.b)/least) {
		f.bad, f.b = true, nil
		return 0
	}
	return int(n)
}

func (f *frame) strings() []string {
	n := f.count(1)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = string(f.bytes())
	}
	return list
}

func parseMessage(body []byte) (cache.Message, error) {
	f := &frame{b: body[1:]}
	m := f.message(body[0])
	if m == nil || f.bad || len(f.b) > 0 {
		return nil, errFrame
	}
	return m, nil
}

func (f *frame) message(kind byte) cache.Message {
	switch kind {
	case kindHello:
		if f.number() != wireVersion {
			return nil
		}
		return &cache.Hello{Epoch: f.number(), Lease: f.duration(), Master: string(f.bytes())}
	case kindBeat:
		return &cache.Beat{Round: f.number(), Released: f.number()}
	case kindStart:
		return &cache.Start{At: f.number(), Released: f.number()}
	case kindPush:
		return f.push()
	case kindRelease:
		return &cache.Release{Released: f.number()}
	case kindGrant:
		return &cache.Grant{At: f.duration(), Remaining: f.duration()}
	case kindRecall:
		return &cache.Recall{}
	case kindRetire:
		return &cache.Retire{Round: f.number()}
	case kindWelcome:
		w := &cache.Welcome{Age: f.duration()}
		none := f.number()
		w.NoLease, f.bad = none == 1, f.bad || none > 1
		return w
	case kindAck:
		return &cache.Ack{Round: f.number(), Pushed: f.number(), At: f.duration(), Held: f.strings()}
	case kindReturned:
		return &cache.Returned{}
	case kindRetired:
		return &cache.Retired{Round: f.number()}
	}
	return nil
}

func (f *frame) push() *cache.Push {
	p := &cache.Push{From: f.number(), To: f.number(), Released: f.number()}
	p.Records = make([]cache.Record, f.count(3))
	for i := range p.Records {
		r := &p.Records[i]
		r.Key, r.Revision = string(f.bytes()), f.number()
		if body := f.bytes(); len(body) > 0 {
			r.Body = bytes.Clone(body) // the record outlives the frame
		}
	}
	p.Stale = f.strings()
	return p
}
