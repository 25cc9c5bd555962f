package witness

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"laurel/trust/merkle"
)

// Hash is a node of a Merkle tree.
type Hash = merkle.Hash

// Round is what every frontend computes at a seal of the log. Its text is the leaf with the
// index Number-1 in the tree of rounds.
type Round struct {
	Number      uint64 // rounds are counted from 1
	Index       uint64 // of the seal in Raft's log
	Revision    uint64
	History     Hash   // over all events up to the revision
	Answers     uint64 // the size of the tree of answers
	AnswersRoot Hash
}

// String returns the text of the round.
func (r Round) String() string {
	return fmt.Sprintf("laurel round 1\nnumber %d\nindex %d\nrevision %d %s\nanswers %d %s\n",
		r.Number, r.Index, r.Revision, encodeHash(r.History), r.Answers, encodeHash(r.AnswersRoot))
}

// ParseRound takes only what String writes.
func ParseRound(text string) (r Round, err error) {
	lines := strings.SplitN(text, "\n", 7)
	if len(lines) != 6 {
		return Round{}, fmt.Errorf("round: %w", ErrMalformed)
	}
	for i, line := range lines {
		word, value, _ := strings.Cut(line, " ")
		number, encoded, _ := strings.Cut(value, " ")
		switch i {
		case 1:
			r.Number, err = parseNumber(word, "number", value)
		case 2:
			r.Index, err = parseNumber(word, "index", value)
		case 3:
			r.Revision, err = parseNumber(word, "revision", number)
			r.History = decodeHash(encoded)
		case 4:
			r.Answers, err = parseNumber(word, "answers", number)
			r.AnswersRoot = decodeHash(encoded)
		}
		if err != nil {
			return Round{}, err
		}
	}
	if r.String() != text {
		return Round{}, fmt.Errorf("round: %w", ErrMalformed)
	}
	return r, nil
}

// AppendTo appends the round to the tree of rounds. It returns the new edge, its head, and
// the audit path of the round. The round has the next number.
func (r Round) AppendTo(rounds merkle.Edge) (_ merkle.Edge, _ Head, path []Hash, err error) {
	if r.Number != rounds.Size+1 {
		return rounds, Head{}, nil, fmt.Errorf("round %d cannot follow %d rounds", r.Number, rounds.Size)
	}
	leaf, _ := merkle.LeafHash(nil, []byte(r.String()))
	path, rounds = rounds.NextPath(), rounds.Append(leaf)
	return rounds, Head{rounds.Size, rounds.Root()}, path, nil
}

// Head is the head of a tree of rounds: how many there are, and the root.
type Head struct {
	Size uint64
	Root Hash
}

// checkpoint returns the head as a tlog-checkpoint of C2SP, without signatures.
func (h Head) checkpoint(origin string) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, h.Size, encodeHash(h.Root))
}

// reportPrefix makes a report another text than a checkpoint.
const reportPrefix = "laurel report 1\n"

// parseCheckpoint takes only what checkpoint writes: no extension lines.
func parseCheckpoint(origin, text string) (Head, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 3 {
		return Head{}, fmt.Errorf("checkpoint: %w", ErrMalformed)
	}
	size, err := parseNumber("", "", lines[1])
	h := Head{size, decodeHash(lines[2])}
	if err != nil || size == 0 || h.checkpoint(origin) != text {
		return Head{}, fmt.Errorf("checkpoint of %q: %w", origin, ErrMalformed)
	}
	return h, nil
}

func parseNumber(word, want, digits string) (uint64, error) {
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || word != want {
		return 0, fmt.Errorf("%s %q: %w", want, digits, ErrMalformed)
	}
	return n, nil
}

func encodeHash(h Hash) string { return base64.StdEncoding.EncodeToString(h[:]) }

// decodeHash returns a hash in base64. What is malformed gives another text when it is
// encoded again, which all callers do.
func decodeHash(s string) (h Hash) {
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		copy(h[:], b)
	}
	return h
}
