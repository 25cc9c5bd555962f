package entry

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
)

// MaxPost bounds a post that another frontend forwards, in bytes. A client's request is
// at most a quarter of it (MaxBodyBytes of package admission).
const MaxPost = 16 << 20

// minEvent is less than the size of any valid event. It bounds the memory that a post of
// empty events can take.
const minEvent = 16

// EncodedPost is a post in the form that it has in the log. It is encoded where the post
// arrives, and forwarded and batched without being decoded.
type EncodedPost struct {
	wire   []byte
	Events int
	// Token is the id of the token that events of the post name; "" if none does. A post
	// is sent with one token.
	Token string
	// Repeatable reports whether every event has a seq, so that the post can be repeated
	// at any time without being applied twice. An id is not enough: a source may post a
	// thousand other events in between. Repeatable is not transmitted.
	Repeatable bool
	// Signers are the keys of the signed events if this process has verified them all. They
	// are not transmitted.
	Signers []Signer

	unverified bool // a signed event was not verified
}

// Signer is a key that signed events of a post, and the store for which it did.
type Signer struct {
	Key, Lineage string
	Public       ed25519.PublicKey
}

// Size returns the number of bytes that the post takes in an entry.
func (p EncodedPost) Size() int { return len(p.wire) }

// Bytes returns the post as it is forwarded to another frontend. ParsePost parses it.
func (p EncodedPost) Bytes() []byte { return p.wire }

// EncodePost encodes a post. Its events must have been decoded by package score and must
// have an id, a source and a time. EncodePost fails for a post that could not be decoded
// again, since every frontend has to apply what is in the log.
func EncodePost(p score.Post) (EncodedPost, error) {
	if len(p.Events) == 0 {
		return EncodedPost{}, errors.New("a post without events")
	}
	var b, previous []byte
	scratch, data := make([]byte, 0, 512), make([]byte, 0, 256)
	encoded := EncodedPost{Events: len(p.Events), Repeatable: true}
	for i := range p.Events {
		e := &p.Events[i]
		if p := checkForm(e); p != nil {
			return EncodedPost{}, fmt.Errorf("event %q: %w", e.ID, p)
		}
		if e.Data == nil {
			return EncodedPost{}, fmt.Errorf("event %q: it has no data", e.ID)
		}
		var err error
		if data, err = score.AppendData(data[:0], e.Data); err == nil {
			err = encoded.setToken(e.Token)
		}
		if err != nil {
			return EncodedPost{}, fmt.Errorf("event %q: %w", e.ID, err)
		}
		encoded.Repeatable = encoded.Repeatable && e.Seq != 0
		encoded.addSigner(e)
		scratch = appendUnsigned(scratch[:0], e, data)
		if len(e.Signature) > 0 {
			scratch = protowire.AppendTag(scratch, fieldSignature, protowire.BytesType)
			scratch = AppendSignature(scratch, previous, e.Signature)
		}
		previous = e.Signature
		if b == nil { // most posts have one event, or events of about one size
			b = make([]byte, 0, (len(scratch)+8)*len(p.Events)+8)
			b = protowire.AppendTag(b, fieldPostMode, protowire.VarintType)
			b = protowire.AppendVarint(b, uint64(p.Mode))
		}
		b = appendText(b, fieldPostEvent, scratch)
	}
	encoded.wire = b
	return encoded, nil
}

// addSigner takes in the key of an event.
func (p *EncodedPost) addSigner(e *score.Event) {
	switch {
	case e.Key == "" || p.unverified:
	case e.VerifiedBy == nil:
		p.unverified, p.Signers = true, nil
	default:
		isSame := func(s Signer) bool {
			return s.Key == e.Key && s.Lineage == e.Lineage && bytes.Equal(s.Public, e.VerifiedBy)
		}
		if !slices.ContainsFunc(p.Signers, isSame) {
			p.Signers = append(p.Signers, Signer{e.Key, e.Lineage, e.VerifiedBy})
		}
	}
}

// setToken takes in the token that an event names.
func (p *EncodedPost) setToken(id string) error {
	if id != "" && p.Token != "" && id != p.Token {
		return errors.New("it is by another token than an event before it in the post")
	}
	p.Token = cmp.Or(p.Token, id)
	return nil
}

// ParsePost checks a post that another frontend encoded, and returns it with the latest
// time among its events. That frontend may run a newer version or be corrupt: ParsePost
// accepts only what score.Decode would have accepted, so that nothing else gets into the
// log.
func ParsePost(wire []byte) (p EncodedPost, latest time.Time, err error) {
	if len(wire) > MaxPost {
		return p, latest, fmt.Errorf("a post of %d bytes; the limit is %d", len(wire), MaxPost)
	}
	fields, err := countFields(wire)
	if err != nil {
		return p, latest, err
	}
	if fields > 1+len(wire)/minEvent { // before memory is allocated for them
		return p, latest, errors.New("a post of empty events")
	}
	decoded, err := decodePost(wire)
	if err != nil {
		return p, latest, err
	}
	switch n := len(decoded.Events); {
	case n == 0:
		return p, latest, errors.New("a post without events")
	case n > score.MaxArray && decoded.Mode == score.AllOrNone:
		return p, latest, fmt.Errorf("an all-or-none post of %d events; the limit is %d", n, score.MaxArray)
	}
	parsed := EncodedPost{wire: wire, Events: len(decoded.Events)}
	var scratch []byte
	for i := range decoded.Events {
		e := &decoded.Events[i]
		if scratch, err = e.check(scratch[:0]); err == nil {
			err = parsed.setToken(e.Token)
		}
		if err != nil {
			return p, latest, fmt.Errorf("event %q: %w", e.ID, err)
		}
		if e.Time.After(latest) {
			latest = e.Time
		}
	}
	return parsed, latest, nil
}

func countFields(post []byte) (n int, err error) {
	r := fieldReader{message: post}
	for r.next(postNumbers) {
		n++
	}
	return n, r.err()
}

// Post is a decoded post.
type Post struct {
	Mode   score.PostMode
	Events []Event
	Wire   []byte // the encoded post
}

// decodePost decodes a post. Its events alias wire.
func decodePost(wire []byte) (Post, error) {
	p := Post{Wire: wire}
	// Growing a slice of these large structs would copy them.
	fields, err := countFields(wire)
	if err != nil {
		return p, err
	}
	p.Events = make([]Event, 0, min(fields, len(wire)/minEvent))
	previous := new(Event)
	var room signatureRoom
	r := fieldReader{message: wire}
	for r.next(postNumbers) {
		switch r.field {
		case fieldPostMode:
			if p.Mode = score.PostMode(r.number); r.number > uint64(score.UntilRefused) {
				return p, ErrFormat
			}
		case fieldPostEvent:
			if n := len(p.Events); n < cap(p.Events) {
				p.Events = p.Events[:n+1]
			} else {
				p.Events = append(p.Events, Event{})
			}
			e := &p.Events[len(p.Events)-1]
			if err := e.decode(r.bytes(), previous, &room); err != nil {
				return p, err
			}
			if e.VoidedBy != 0 || e.Voids != 0 { // these are of stored events
				return p, ErrFormat
			}
			previous = e
		default:
			return p, ErrFormat
		}
	}
	return p, r.err()
}
