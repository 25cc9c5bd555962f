package entry

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"laurel/score"
)

// DigestOf returns the digest of an event whose data are the JSON of score.MarshalData. It
// leaves out what a frontend filled in, and also the signature and the key: a signature is
// different in each batch, and the key is if the bard's old key was revoked before it
// heard of the event's result, or if it first posted the event with a token. A source that
// looks for two events with one digest deceives only itself: the second is not applied.
func DigestOf(e *score.Event, data []byte) score.Digest {
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
	var d score.Digest
	binary.BigEndian.PutUint64(d[:], xxhash.Sum64(append(b, data...)))
	return d
}
