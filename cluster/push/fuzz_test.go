package push

import (
	"bufio"
	"bytes"
	"testing"
)

// FuzzCommit checks that a commit hint is read as it was written, or refused.
func FuzzCommit(f *testing.F) {
	f.Add(AppendCommit(nil, Commit{}))
	f.Add(AppendCommit(nil, Commit{1 << 63, 7}))
	f.Add([]byte{2, kindCommit, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := readFrame(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		if len(body) == 0 || len(body) > len(b) {
			t.Fatalf("%d bytes were read of %d", len(body), len(b))
		}
		last, is := parseCommit(body)
		if !is {
			return
		}
		again, err := readFrame(bufio.NewReader(bytes.NewReader(AppendCommit(nil, last))))
		if got, is := parseCommit(again); err != nil || !is || got != last {
			t.Errorf("%v became %v: %v", last, got, err)
		}
	})
}
