package score

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// Digest identifies what a bard posted under a seq and must repeat in a retry.
type Digest [8]byte

// DigestOf returns the digest of an event whose data are the JSON of MarshalData. It
// leaves out what a frontend filled in, and also the signature and the key: a signature is
// different in each batch, and the key is if the bard's old key was revoked before it
// heard of the event's result, or if it first posted the event with a token. A source that
// looks for two events with one digest deceives only itself: the second is not applied.
func DigestOf(e *Event, data []byte) Digest {
	b := append(make([]byte, 0, 512), e.Type...)
	b = append(b, 0)
	b = append(b, e.ContestID...)
	b = append(b, 0)
	if e.IDGiven {
		b = append(b, e.ID...)
	}
	b = append(b, 0)
	if e.TimeGiven {
		b = binary.BigEndian.AppendUint64(b, uint64(e.Time.Unix()))
		b = binary.BigEndian.AppendUint32(b, uint32(e.Time.Nanosecond()))
	}
	b = append(b, 0)
	return Digest(binary.BigEndian.AppendUint64(nil, xxhash.Sum64(append(b, data...))))
}

// MarshalText returns the digest in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads what MarshalText returns.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("a digest has %d hexadecimal digits, not %d", hex.EncodedLen(len(d)), len(text))
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// PostedEvent is the identity of an applied event of a source.
type PostedEvent struct {
	Seq      uint64 `json:"seq"`
	ID       string `json:"id"`
	Revision uint64 `json:"revision"`
	Digest   Digest `json:"digest"`
}

// Posted is what the store knows about a source and some of its events, in the order of
// their seqs.
type Posted struct {
	Bard
	Events []PostedEvent `json:"events"`
}
