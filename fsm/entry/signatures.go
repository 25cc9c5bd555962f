package entry

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
)

// The signatures of events that were signed in one tree resemble each other: they share
// the head and most of the path to the root. Where events are stored together, in a post
// of the log or in a run of the timeline, each signature after the first is stored as a
// delta to the one before it, some 70 bytes instead of 324. The encoding compares bytes
// only and accepts any signature. Readers get full signatures.
//
// A delta is the length of the rest, then the number of bytes that the signature shares
// with the beginning of the previous one, the number of bytes that it shares with its
// end, and the bytes between.

// minCommon is the number of bytes that two signatures must have in common for a post to
// store a delta.
const minCommon = 32

func commonAffixes(previous, signature []byte) (front, back int) {
	most := min(len(previous), len(signature))
	const head = ed25519.SignatureSize
	if most >= head && bytes.Equal(previous[:head], signature[:head]) {
		front = head
	}
	for front < most && previous[front] == signature[front] {
		front++
	}
	const node = sha256.Size // of the path
	for most-front-back >= node && bytes.Equal(
		previous[len(previous)-back-node:len(previous)-back],
		signature[len(signature)-back-node:len(signature)-back],
	) {
		back += node
	}
	return front, back
}

// AppendDelta appends a signature as a delta to the previous one.
func AppendDelta(b, previous, signature []byte) []byte {
	front, back := commonAffixes(previous, signature)
	return appendDelta(b, front, back, signature)
}

// ReadDelta appends to b the signature that the first of the deltas makes of the previous
// one.
func ReadDelta(b, previous, deltas []byte) (signature, rest []byte, ok bool) {
	delta, n := protowire.ConsumeBytes(deltas)
	if n < 0 {
		return b, nil, false
	}
	signature, ok = appendFull(b, previous, delta)
	return signature, deltas[n:], ok
}

func appendDelta(b []byte, front, back int, signature []byte) []byte {
	own := signature[front : len(signature)-back]
	size := protowire.SizeVarint(uint64(front)) + protowire.SizeVarint(uint64(back)) + len(own)
	b = protowire.AppendVarint(b, uint64(size))
	b = protowire.AppendVarint(b, uint64(front))
	b = protowire.AppendVarint(b, uint64(back))
	return append(b, own...)
}

// appendFull appends the signature that a delta, given without its length, makes of the
// previous one.
func appendFull(b, previous, delta []byte) (_ []byte, ok bool) {
	front, n := protowire.ConsumeVarint(delta)
	if n < 0 {
		return b, false
	}
	delta = delta[n:]
	back, n := protowire.ConsumeVarint(delta)
	if n < 0 {
		return b, false
	}
	own, all := delta[n:], uint64(len(previous))
	if front > all || back > all || front+back+uint64(len(own)) > score.MaxSignature {
		return b, false
	}
	return append(append(append(b, previous[:front]...), own...), previous[all-back:]...), true
}

// appendSignature appends the signature of an event: as a delta if it has at least
// minCommon bytes in common with the signature of the previous event of the post, which
// may be nil.
func appendSignature(b, previous, signature []byte) (_ []byte, delta bool) {
	if front, back := commonAffixes(previous, signature); front+back >= minCommon {
		b = protowire.AppendTag(b, fieldSignatureDelta, protowire.BytesType)
		return appendDelta(b, front, back, signature), true
	}
	if len(signature) == 0 {
		return b, false
	}
	return appendText(b, fieldSignature, signature), false
}

// eventDecoder decodes the events of a post and restores their signatures from deltas.
type eventDecoder struct {
	previous  []byte // the signature of the last event
	full      []byte // the signature of the current event, if it has a delta
	hasDeltas bool   // some event had a delta
	broken    bool   // the current event has an invalid delta, or two
	buffer    []byte // holds many restored signatures
}

// decode decodes the next event of the post.
func (d *eventDecoder) decode(b []byte) (Event, error) {
	d.full, d.broken = nil, false
	e, err := decodeEvent(b, d.delta)
	if d.broken || d.full != nil && e.Signature != nil {
		// No encoder writes this. The next delta is relative to an empty signature.
		e.invalid, e.Signature, d.full = "signature", nil, nil
	}
	if d.full != nil {
		e.Signature = d.full
	}
	d.previous = e.Signature
	return e, err
}

// delta handles the signature_delta field, the only one that decodeEvent does not know in
// an entry.
func (d *eventDecoder) delta(n protowire.Number, _ uint64, delta []byte) (ok bool) {
	if n != fieldSignatureDelta {
		return false
	}
	if d.broken = d.broken || d.full != nil; d.broken {
		return true
	}
	if cap(d.buffer)-len(d.buffer) < score.MaxSignature {
		d.buffer = make([]byte, 0, 32*score.MaxSignature)
	}
	from := len(d.buffer)
	d.buffer, ok = appendFull(d.buffer, d.previous, delta)
	d.full, d.hasDeltas, d.broken = d.buffer[from:len(d.buffer):len(d.buffer)], true, !ok
	return true
}
