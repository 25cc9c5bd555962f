package cluster

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

// A message of the push protocol is a frame: its length as a varint, a byte for its kind, then its numbers as varints in the order of
// the type's fields, and lists as a count and the items. Both ends are of one version: the first frame says which.

const (
	wireVersion = 3
	// maxFrame bounds a message. A push is the largest: it has a record for each contest that changed while the last was on its way.
	maxFrame = 64 << 20
	// frameStep is how much memory a frame takes before that much of it has come.
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
	kindCommitted // is for Raft: see commits.go
)

var errFrame = errors.New("the frame is damaged, or of another version of laurel")

// appendMessage appends m as a frame.
func appendMessage(b []byte, m cache.Message) []byte {
	body := appendBody(nil, m)
	b = protowire.AppendVarint(b, uint64(len(body)))
	return append(b, body...)
}

func appendBody(b []byte, m cache.Message) []byte {
	switch m := m.(type) {
	case *cache.Hello:
		return protowire.AppendString(numbers(append(b, kindHello), wireVersion, m.Epoch, uint64(m.Lease)), m.Master)
	case *cache.Beat:
		return numbers(append(b, kindBeat), m.Round, m.Released)
	case *cache.Start:
		return numbers(append(b, kindStart), m.At, m.Released)
	case *cache.Push:
		return appendPush(append(b, kindPush), m)
	case *cache.Release:
		return numbers(append(b, kindRelease), m.Released)
	case *cache.Grant:
		return numbers(append(b, kindGrant), uint64(m.At), uint64(m.Remaining))
	case *cache.Recall:
		return append(b, kindRecall)
	case *cache.Retire:
		return numbers(append(b, kindRetire), m.Round)
	case *cache.Welcome:
		none := uint64(0)
		if m.NoLease {
			none = 1
		}
		return numbers(append(b, kindWelcome), uint64(m.Age), none)
	case *cache.Ack:
		b = numbers(append(b, kindAck), m.Round, m.Pushed, uint64(m.At))
		return texts(b, m.Held)
	case *cache.Returned:
		return append(b, kindReturned)
	case *cache.Retired:
		return numbers(append(b, kindRetired), m.Round)
	}
	panic(fmt.Sprintf("no frame is defined for %T", m)) // a message type without a frame: a mistake of the program, not of its input
}

func numbers(b []byte, list ...uint64) []byte {
	for _, n := range list {
		b = protowire.AppendVarint(b, n)
	}
	return b
}

func texts(b []byte, list []string) []byte {
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
	b = numbers(b, p.From, p.To, p.Released, uint64(len(p.Records)))
	for i := range p.Records {
		r := &p.Records[i]
		b = protowire.AppendString(b, r.Key)
		b = protowire.AppendVarint(b, r.Revision)
		b = protowire.AppendBytes(b, r.Body)
	}
	return texts(b, p.Stale)
}

// readMessage reads a frame that must be a message of the push protocol.
func readMessage(r *bufio.Reader) (cache.Message, error) {
	body, err := readFrame(r)
	if err != nil {
		return nil, err
	}
	return parseMessage(body)
}

// readFrame reads a frame; it has a byte at least.
func readFrame(r *bufio.Reader) ([]byte, error) {
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if size == 0 || size > maxFrame {
		return nil, errFrame
	}
	// A length that is a lie must not take memory.
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

// appendCommitted appends a frame that names the entry up to which the log is committed.
func appendCommitted(b []byte, last committed) []byte {
	body := numbers([]byte{kindCommitted}, last.index, last.term)
	return append(protowire.AppendVarint(b, uint64(len(body))), body...)
}

func parseCommitted(body []byte) (last committed, is bool) {
	if body[0] != kindCommitted {
		return last, false
	}
	f := frame{b: body[1:]}
	last.index, last.term = f.number(), f.number()
	return last, !f.bad && len(f.b) == 0
}

// frame is the rest of a frame while it is parsed. Bad stays set.
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

// bytes shares the frame's memory.
func (f *frame) bytes() []byte {
	b, size := protowire.ConsumeBytes(f.b)
	if size < 0 {
		f.bad, f.b = true, nil
		return nil
	}
	f.b = f.b[size:]
	return b[:len(b):len(b)]
}

// count is the length of a list whose items take at least least bytes each, so that a lie about it takes no memory.
func (f *frame) count(least int) int {
	n := f.number()
	if n > uint64(len(f.b)/least) {
		f.bad, f.b = true, nil
		return 0
	}
	return int(n)
}

func (f *frame) texts() []string {
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
		return &cache.Ack{Round: f.number(), Pushed: f.number(), At: f.duration(), Held: f.texts()}
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
			r.Body = bytes.Clone(body) // it outlives the frame
		}
	}
	p.Stale = f.texts()
	return p
}
