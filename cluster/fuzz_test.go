package cluster

import (
	"bufio"
	"bytes"
	"testing"
)

// FuzzCommitted: what a follower is told of the log is read as it was written, or not at all.
func FuzzCommitted(f *testing.F) {
	f.Add(appendCommitted(nil, committed{}))
	f.Add(appendCommitted(nil, committed{1 << 63, 7}))
	f.Add([]byte{2, kindCommitted, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := readFrame(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		if len(body) == 0 || len(body) > len(b) {
			t.Fatalf("%d bytes were read of %d", len(body), len(b))
		}
		last, is := parseCommitted(body)
		if !is {
			return
		}
		again, err := readFrame(bufio.NewReader(bytes.NewReader(appendCommitted(nil, last))))
		if got, is := parseCommitted(again); err != nil || !is || got != last {
			t.Errorf("%v became %v: %v", last, got, err)
		}
	})
}
