package push

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/cache"
	"laurel/cluster/peer"
)

// A message is a frame: its length as a varint, a byte for its kind, then its numbers as
// varints in the order of the type's fields, and lists as a count and the items. The first
// frame, a Hello, has the version that the master has chosen; see peer.CommonProtocol.

const (
	// maxFrame bounds a message, in bytes. A push is the largest: it has a record for
	// each contest that changed since the previous push.
	maxFrame = 64 << 20
	// frameStep is the memory that a frame takes before as much of it has arrived.
	frameStep = 64 << 10
	// recordOverhead is at least the bytes of a record in a frame besides its key and
	// body.
	recordOverhead = 24
)

// kinds are the types of messages. The kind of a message is the position of its type,
// counted from 1.
var kinds = []reflect.Type{
	reflect.TypeFor[cache.Hello](),
	reflect.TypeFor[cache.Beat](),
	reflect.TypeFor[cache.Start](),
	reflect.TypeFor[cache.Push](),
	reflect.TypeFor[cache.Release](),
	reflect.TypeFor[cache.Grant](),
	reflect.TypeFor[cache.Recall](),
	reflect.TypeFor[cache.Retire](),
	reflect.TypeFor[cache.Welcome](),
	reflect.TypeFor[cache.Ack](),
	reflect.TypeFor[cache.Returned](),
	reflect.TypeFor[cache.Retired](),
	reflect.TypeFor[Commit](), // for Raft; see CommitHints
}

func kindOf(m any) byte { return byte(1 + slices.Index(kinds, reflect.TypeOf(m).Elem())) }

var errFrame = errors.New("the frame is damaged, or of another version of Laurel")

// appendHello is AppendMessage for a Hello, in a version.
func appendHello(b []byte, hello *cache.Hello, version uint64) []byte {
	body := codec{b: []byte{kindOf(hello)}, version: version}
	body.message(hello)
	return protowire.AppendBytes(b, body.b)
}

// AppendMessage appends the frame of m to b. m is a message of package cache or a
// *Commit.
func AppendMessage(b []byte, m any) []byte {
	body := codec{b: []byte{kindOf(m)}, version: peer.NewestProtocol}
	body.message(m)
	return protowire.AppendBytes(b, body.b)
}

// ReadMessage reads a frame, which must be that of a message of package cache.
func ReadMessage(r *bufio.Reader) (cache.Message, error) {
	read, err := readFrame(r)
	m, ok := read.(cache.Message)
	if err == nil && !ok {
		err = errFrame
	}
	return m, err
}

// readFrame reads a message of package cache or a *Commit.
func readFrame(r *bufio.Reader) (any, error) {
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if size == 0 || size > maxFrame {
		return nil, errFrame
	}
	var body []byte
	if size <= uint64(r.Size()) { // as most frames are
		if body, err = r.Peek(int(size)); err == nil {
			defer r.Discard(len(body))
		}
	} else {
		body, err = readLarge(r, int64(size))
	}
	if err != nil {
		return nil, err
	}
	c := codec{b: body, reading: true}
	kind := int(c.b[0]) - 1
	if kind < 0 || kind >= len(kinds) {
		return nil, errFrame
	}
	c.b = c.b[1:]
	m := reflect.New(kinds[kind]).Interface()
	c.message(m)
	switch {
	case c.other:
		return nil, &peer.ProtocolError{Oldest: c.version, Newest: c.version}
	case c.bad || len(c.b) > 0:
		return nil, errFrame
	}
	return m, nil
}

// readLarge reads n bytes. A false length takes no memory.
func readLarge(r io.Reader, n int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(n, frameStep)) + bytes.MinRead)
	_, err := io.CopyN(&b, r, n)
	return b.Bytes(), err
}

// codec appends the fields of a message to the body of a frame, or reads them from it. It
// changes a message only when it reads.
type codec struct {
	b       []byte // the body so far, or the rest that is not read yet
	reading bool
	bad     bool   // set at the first field that cannot be read
	version uint64 // of a Hello
	other   bool   // that version is not spoken here
}

// message appends or reads the fields of m.
func (c *codec) message(m any) {
	switch m := m.(type) {
	case *cache.Hello:
		c.numbers(&c.version)
		c.other = !c.bad && (c.version < peer.OldestProtocol || c.version > peer.NewestProtocol)
		c.numbers(&m.Epoch)
		c.durations(&m.Lease)
		c.text(&m.Master)
	case *cache.Beat:
		c.numbers(&m.Round, &m.Released)
	case *cache.Start:
		c.numbers(&m.At, &m.Released)
	case *cache.Push:
		c.numbers(&m.From, &m.To, &m.Released)
		c.records(&m.Records)
		c.texts(&m.Stale)
	case *cache.Release:
		c.numbers(&m.Released)
	case *cache.Grant:
		c.durations(&m.At, &m.Remaining)
	case *cache.Retire:
		c.numbers(&m.Round)
	case *cache.Welcome:
		c.durations(&m.Age)
		c.flag(&m.NoLease)
	case *cache.Ack:
		c.numbers(&m.Round, &m.Pushed)
		c.durations(&m.At)
		c.texts(&m.Held)
	case *cache.Retired:
		c.numbers(&m.Round)
	case *Commit:
		c.numbers(&m.Index, &m.Term)
	}
}

func (c *codec) numbers(list ...*uint64) {
	for _, n := range list {
		if !c.reading {
			c.b = protowire.AppendVarint(c.b, *n)
			continue
		}
		var size int
		*n, size = protowire.ConsumeVarint(c.b)
		c.skip(size)
	}
}

// skip takes what was read from the body. A negative size is an error.
func (c *codec) skip(size int) {
	if size < 0 {
		c.bad, c.b = true, nil
		return
	}
	c.b = c.b[size:]
}

func (c *codec) durations(list ...*time.Duration) {
	for _, d := range list {
		n := uint64(*d)
		c.numbers(&n)
		if c.reading {
			*d, c.bad = time.Duration(n), c.bad || n > 1<<62
		}
	}
}

func (c *codec) flag(is *bool) {
	n := uint64(0)
	if *is {
		n = 1
	}
	c.numbers(&n)
	if c.reading {
		*is, c.bad = n == 1, c.bad || n > 1
	}
}

// bytes returns memory of the frame when it reads, which the next frame overwrites.
func (c *codec) bytes(b []byte) []byte {
	if !c.reading {
		c.b = protowire.AppendBytes(c.b, b)
		return b
	}
	b, size := protowire.ConsumeBytes(c.b)
	c.skip(size)
	return b
}

func (c *codec) text(s *string) {
	if !c.reading {
		c.b = protowire.AppendString(c.b, *s)
		return
	}
	*s = string(c.bytes(nil))
}

// count appends or reads the length of a list whose items take at least least bytes each.
// It refuses a length that the rest of the frame cannot have, so that a false one takes
// no memory.
func (c *codec) count(length, least int) int {
	n := uint64(length)
	c.numbers(&n)
	if c.reading && n > uint64(len(c.b)/least) {
		c.skip(-1)
		return 0
	}
	return int(n)
}

func (c *codec) texts(list *[]string) {
	if n := c.count(len(*list), 1); c.reading && n > 0 {
		*list = make([]string, n)
	}
	for i := range *list {
		c.text(&(*list)[i])
	}
}

func (c *codec) records(list *[]cache.Record) {
	if n := c.count(len(*list), 3); c.reading {
		*list = make([]cache.Record, n)
	} else {
		size := 0
		for i := range *list {
			size += len((*list)[i].Key) + len((*list)[i].Body) + recordOverhead
		}
		c.b = slices.Grow(c.b, size)
	}
	for i := range *list {
		r := &(*list)[i]
		c.text(&r.Key)
		c.numbers(&r.Revision)
		if body := c.bytes(r.Body); c.reading && len(body) > 0 {
			r.Body = bytes.Clone(body) // the record outlives the frame
		}
	}
}
