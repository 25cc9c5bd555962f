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

// maxEvents bounds the events of an entry, and its posts, and so the memory that empty ones
// can take. A client's request has fewer: see MaxArray of package score and package posts.
const maxEvents = 1 << 16

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

	signed     bool // all events are
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
	if n := len(p.Events); n == 0 || n > maxEvents {
		return EncodedPost{}, fmt.Errorf("a post of %d events; want 1 to %d", n, maxEvents)
	}
	var b, previous []byte
	scratch, data := make([]byte, 0, 512), make([]byte, 0, 256)
	encoded := EncodedPost{Events: len(p.Events), Repeatable: true, signed: true}
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
		encoded.signed = encoded.signed && e.Key != ""
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
	if _, err := checkPost(wire); err != nil {
		return p, latest, err
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

// checkPost returns how many events a post has, or ErrFormat for one that decodePost must
// not be given.
func checkPost(wire []byte) (events int, err error) {
	r := fieldReader{message: wire}
	for r.next(postNumbers) {
		switch r.field {
		case fieldPostMode:
			if r.number > uint64(score.UntilRefused) {
				return events, ErrFormat
			}
		case fieldPostEvent:
			events++
			if err := checkEvent(r.bytes()); err != nil {
				return events, err
			}
		default:
			return events, ErrFormat
		}
	}
	if events > maxEvents {
		return events, ErrFormat
	}
	return events, r.err()
}

// checkEvent returns ErrFormat for an event that a post cannot have.
func checkEvent(wire []byte) error {
	r := fieldReader{message: wire}
	for r.next(eventNumbers) {
		stored := r.field == fieldVoidedBy || r.field == fieldVoids
		switch {
		case r.field > fieldToken, stored && r.number != 0, r.field == fieldGiven && r.number > givenID|givenTime:
			return ErrFormat
		}
	}
	return r.err()
}

// Post is a decoded post.
type Post struct {
	Mode   score.PostMode
	Events []Event
	Wire   []byte // the encoded post
	Own    *Own   // set by the state machine
}

// decodePost decodes a post that checkPost has accepted. Its events alias wire.
func decodePost(wire []byte) (Post, error) {
	p := Post{Wire: wire}
	// Growing a slice of these large structs would copy them.
	events := 0
	for r := (fieldReader{message: wire}); r.next(postNumbers); {
		if r.field == fieldPostEvent {
			events++
		}
	}
	p.Events = make([]Event, events)
	previous := new(Event)
	var room signatureRoom
	r := fieldReader{message: wire}
	for i := 0; r.next(postNumbers); {
		if r.field == fieldPostMode {
			p.Mode = score.PostMode(r.number)
			continue
		}
		if err := p.Events[i].decode(r.bytes(), previous, &room); err != nil {
			return p, err
		}
		previous = &p.Events[i]
		i++
	}
	return p, nil
}
