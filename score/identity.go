package score

import (
	"encoding/hex"
	"fmt"
)

// Digest identifies what a bard posted under a seq and must repeat in a retry.
type Digest [8]byte

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
