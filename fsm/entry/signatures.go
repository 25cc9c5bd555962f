package entry

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score/eventsig"
)

// The signatures of events that were signed in one tree resemble each other: they share
// the head and most of the path to the root. In a post of the log and in a run of the
// timeline, each signature is therefore a delta to the one before it, some 70 bytes
// instead of 324. The encoding compares bytes only and accepts any signature.
//
// A delta is the number of bytes that the signature shares with the beginning of the
// previous one, the number of bytes that it shares with its end, and the bytes between.

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

// AppendSignature appends a signature as the length of a delta and the delta.
func AppendSignature(b, previous, signature []byte) []byte {
	front, back := commonAffixes(previous, signature)
	own := signature[front : len(signature)-back]
	size := protowire.SizeVarint(uint64(front)) + protowire.SizeVarint(uint64(back)) + len(own)
	b = protowire.AppendVarint(b, uint64(size))
	b = protowire.AppendVarint(b, uint64(front))
	b = protowire.AppendVarint(b, uint64(back))
	return append(b, own...)
}

// signatureRoom is memory for signatures, which are read many at a time. It grows with what
// is read, up to someSignatures.
type signatureRoom []byte

const someSignatures = 32 * eventsig.MaxSize

func (room *signatureRoom) concat(front, own, back []byte) []byte {
	b := *room
	if n := len(front) + len(own) + len(back); cap(b)-len(b) < n {
		b = make([]byte, 0, max(n, min(2*cap(b), someSignatures)))
	}
	from := len(b)
	b = append(append(append(b, front...), own...), back...)
	*room = b
	return b[from:len(b):len(b)]
}

// readDelta returns the signature that a delta, given without its length, makes of the
// previous one. It may alias delta.
func readDelta(room *signatureRoom, previous, delta []byte) (signature []byte, ok bool) {
	front, n := protowire.ConsumeVarint(delta)
	if n < 0 {
		return nil, false
	}
	delta = delta[n:]
	back, n := protowire.ConsumeVarint(delta)
	if n < 0 {
		return nil, false
	}
	own, all := delta[n:], uint64(len(previous))
	if front > all || back > all || front+back+uint64(len(own)) > eventsig.MaxSize {
		return nil, false
	}
	if front+back == 0 {
		return own, true
	}
	return room.concat(previous[:front], own, previous[all-back:]), true
}

// DecodeSignatures decodes signatures that were appended, each as a delta to the one
// before. They may alias b.
func DecodeSignatures(b []byte) (signatures [][]byte, ok bool) {
	var previous []byte
	var room signatureRoom
	for len(b) > 0 {
		delta, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return nil, false
		}
		if previous, ok = readDelta(&room, previous, delta); !ok {
			return nil, false
		}
		signatures, b = append(signatures, previous), b[n:]
	}
	return signatures, true
}
