package fsm

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
)

// The signatures of one tree of events are alike: the same head, and most of the path to the root. Where events stand together, in a post of the log and
// in a run of the timeline, each has of its signature only what is not in that of the event before it. So some 70 bytes stand for 324, on the way between
// the frontends and on their disks. It is a matter of bytes alone, which takes whatever a signature may be; whoever reads them has each signature whole.
//
// A difference is the length of what follows; how many bytes of the signature before this one begins with; how many it ends with; and those in between.

// leastShared is how many bytes must be the same for a signature in a post to be written as a difference.
const leastShared = 32

// likeness is how many bytes two signatures have in common, in front and behind.
func likeness(before, signature []byte) (front, back int) {
	most := min(len(before), len(signature))
	const head = ed25519.SignatureSize
	if most >= head && bytes.Equal(before[:head], signature[:head]) {
		front = head
	}
	for front < most && before[front] == signature[front] {
		front++
	}
	const node = sha256.Size // the path's
	for most-front-back >= node && bytes.Equal(before[len(before)-back-node:len(before)-back], signature[len(signature)-back-node:len(signature)-back]) {
		back += node
	}
	return front, back
}

func appendDifference(b []byte, front, back int, signature []byte) []byte {
	own := signature[front : len(signature)-back]
	b = protowire.AppendVarint(b, uint64(protowire.SizeVarint(uint64(front))+protowire.SizeVarint(uint64(back))+len(own)))
	b = protowire.AppendVarint(b, uint64(front))
	b = protowire.AppendVarint(b, uint64(back))
	return append(b, own...)
}

// appendWhole appends the signature that differs by so much, which comes without its length, from the one before.
func appendWhole(b, before, difference []byte) (_ []byte, ok bool) {
	front, n := protowire.ConsumeVarint(difference)
	if n < 0 {
		return b, false
	}
	difference = difference[n:]
	back, n := protowire.ConsumeVarint(difference)
	if n < 0 {
		return b, false
	}
	own, all := difference[n:], uint64(len(before))
	if front > all || back > all || front+back+uint64(len(own)) > score.MaxSignature {
		return b, false
	}
	return append(append(append(b, before[:front]...), own...), before[all-back:]...), true
}

// appendSignature appends the signature of an event behind another of a post.
func appendSignature(b, before, signature []byte) (_ []byte, shared bool) {
	if front, back := likeness(before, signature); front+back >= leastShared {
		return appendDifference(protowire.AppendTag(b, 16, protowire.BytesType), front, back, signature), true
	}
	if len(signature) == 0 {
		return b, false
	}
	return protowire.AppendBytes(protowire.AppendTag(b, 14, protowire.BytesType), signature), false
}

// signatures makes those of a post whole again.
type signatures struct {
	before []byte // that of the last event
	whole  []byte // that of the event being read, if it comes as a difference
	shared bool   // some event had only a difference
	broken bool   // the event being read has a difference that is none, or two
	piece  []byte // memory for many
}

// decodeEvent reads the next event of the post.
func (s *signatures) decodeEvent(b []byte) (event, error) {
	s.whole, s.broken = nil, false
	e, err := decodeEvent(b, s.field)
	if s.broken || s.whole != nil && e.Signature != nil {
		// The next may differ from nothing: what no writer wrote has no signature.
		e.malformed, e.Signature, s.whole = "signature", nil, nil
	}
	if s.whole != nil {
		e.Signature = s.whole
	}
	s.before = e.Signature
	return e, err
}

// field reads one that is not the log's.
func (s *signatures) field(n protowire.Number, _ uint64, difference []byte) (ok bool) {
	if n != 16 {
		return false
	}
	if s.broken = s.broken || s.whole != nil; s.broken {
		return true
	}
	if cap(s.piece)-len(s.piece) < score.MaxSignature {
		s.piece = make([]byte, 0, 32*score.MaxSignature)
	}
	from := len(s.piece)
	s.piece, ok = appendWhole(s.piece, s.before, difference)
	s.whole, s.shared, s.broken = s.piece[from:len(s.piece):len(s.piece)], true, !ok
	return true
}
