// Package entry defines the binary format of Raft log entries and of the events in them.
//
// A frontend encodes a client's post with EncodePost as soon as it arrives. The encoded
// post is forwarded to the master as it is (ParsePost checks it there), batched with
// others into an entry by Encode, and decoded by every state machine with Decode. The
// state machine stores the events that it applied in the same form (Stored). Start
// reading at the format description below.
package entry

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
	"laurel/trust/access"
)

// A log entry is a version byte followed by a message in the protobuf wire format:
//
//	entry  { repeated post = 1; change = 2; signed_change = 3; seal = 4 }
//	seal   { number = 1; format = 2 }
//	post   { mode = 1; repeated event = 2 }
//	event  { id = 1; source = 2; seq = 3; type = 4; seconds = 5; nanos = 6; offset = 7;
//	         contest_id = 8; data = 9; given = 10; key = 13; signature = 14; token = 15 }
//
// A signature is a delta to the one of the event before it in the post (signatures.go).
// Stored events have no signature, but may have voided_by = 11 and voids = 12. The data
// of an event and a change are canonical JSON. The golden files in testdata/format freeze
// the format.
//
// An entry holds either posts, or one change of the access control or of a setting, or a
// seal. The changes of a sworn group are signed_change, and so is its founding; see
// access.SignedChange. A seal makes the round with the number in a sworn group, of answers in
// a format; see package rounds and AnswersFormat.
//
// A frontend stops at an entry that it cannot parse, because skipping the entry would
// make its state differ from the others'. That is an entry of an unknown version, with an
// unknown field or mode, a seal with answers in an unknown format, one with more than
// maxEvents events or posts, or one that is not a valid message. No version of Laurel may
// skip any of these. A follower does not even take such an entry from the master (package
// peer). What no majority takes is never applied, so a corrupt master ends nobody by it.
//
// The content of a message never stops a frontend. An event or a change that breaks a
// rule is refused and the log continues, whatever its fields and its JSON contain. The
// rules for content are therefore part of the format and belong to the version byte:
//
//	What one version of Laurel refuses because of its content, every version refuses in the same
//	way, under the same version byte.
//
// The version byte is that of a format of the group: firstVersion for the first format, and
// one more for each later one. An event type, a setting, a member of event data or of a
// change, or a larger limit that is added later is for ever refused in entries of the formats
// before, and allowed in those of its own. A group is raised to a format when all members can
// read it; see access.State.CheckFormat, and docs/decisions/0017-formats-of-a-group.md before
// you add one. Signed events and changes must be written exactly as this encoder writes them.
const firstVersion = 3 // versions 1 and 2 were never released

// versionOf returns the version byte of entries of a format.
func versionOf(format uint64) byte { return byte(firstVersion - access.OldestFormat + format) }

// FormatOf returns the format of an entry, also of one that this version cannot parse; 0 if
// there was never such a format.
func FormatOf(b []byte) uint64 {
	if len(b) == 0 || b[0] < firstVersion {
		return 0
	}
	return uint64(b[0]) - firstVersion + access.OldestFormat
}

// InFormat makes a new entry one of a format. What is encoded means the same in all formats
// that allow it, and is written in that of the group when it is appended.
func InFormat(b []byte, format uint64) []byte {
	b[0] = versionOf(format)
	return b
}

// The field numbers of an entry, of a seal and of a post.
const (
	fieldPost   = 1
	fieldChange = 2
	fieldSigned = 3
	fieldSeal   = 4

	fieldSealNumber = 1
	fieldSealFormat = 2

	fieldPostMode  = 1
	fieldPostEvent = 2
)

// The fields that hold numbers, as bit sets. All other fields hold bytes.
const (
	sealNumbers  = 1<<fieldSealNumber | 1<<fieldSealFormat
	postNumbers  = 1 << fieldPostMode
	eventNumbers = 1<<fieldSeq | 1<<fieldSeconds | 1<<fieldNanos | 1<<fieldOffset | 1<<fieldGiven |
		1<<fieldVoidedBy | 1<<fieldVoids
)

// AnswersFormat is the number of the format in which this version makes the answers of
// rounds: a seal has it, so that frontends of two versions never make two rounds of one
// seal. It is 1 in a seal that has none. The state machine makes the answers in all formats
// from OldestAnswers on. A version that changes a byte of any answer raises AnswersFormat,
// and makes the answers in the format before as well: seals that have that one may still be
// in logs.
const (
	AnswersFormat = 1
	OldestAnswers = 1
)

// maxChange bounds the bytes of a change. The largest is a grant for many competitions.
const maxChange = 128 << 10

// ErrFormat reports an entry that this version of Laurel cannot parse.
var ErrFormat = errors.New("the log entry is damaged, or was written by a newer version of laurel")

// Encode encodes posts as one log entry, like all of this package in the first format; see
// InFormat.
func Encode(posts []EncodedPost) []byte {
	size := 1
	for _, p := range posts {
		size += len(p.wire) + 8
	}
	b := append(make([]byte, 0, size), firstVersion)
	for _, p := range posts {
		b = appendText(b, fieldPost, p.wire)
	}
	return b
}

// appendText appends a field that holds bytes, unless there are none.
func appendText[T string | []byte](b []byte, n protowire.Number, text T) []byte {
	if len(text) == 0 {
		return b
	}
	b = protowire.AppendTag(b, n, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(text)))
	return append(b, text...)
}

// appendNumber appends a field that holds a number, unless it is 0.
func appendNumber(b []byte, n protowire.Number, number uint64) []byte {
	if number == 0 {
		return b
	}
	b = protowire.AppendTag(b, n, protowire.VarintType)
	return protowire.AppendVarint(b, number)
}

// EncodeChange encodes a change as a log entry. The change must do exactly one thing.
// Whether the state allows it is decided when it is applied.
func EncodeChange(c access.Change) ([]byte, error) {
	text, err := json.Marshal(&c)
	if err != nil {
		return nil, fmt.Errorf("encode the change: %w", err)
	}
	if _, p := decodeChange(text, access.NewestFormat); p != nil {
		return nil, fmt.Errorf("the encoded change cannot be decoded: %w", p)
	}
	return appendText([]byte{firstVersion}, fieldChange, text), nil
}

// Every version refuses what decodeChange refuses (see above).
func decodeChange(text []byte, format uint64) (*access.Change, *score.Problem) {
	if len(text) > maxChange {
		return nil, score.Problemf(score.TooLarge, "the change has %d bytes; the limit is %d", len(text), maxChange)
	}
	c := new(access.Change)
	if err := json.Unmarshal(text, c, json.RejectUnknownMembers(true)); err != nil ||
		access.MembersFormat(text) > format {
		return nil, score.Problemf(score.InvalidEvent, "the change is not valid JSON for this version")
	}
	canonical, err := json.Marshal(c)
	if err != nil || c.Actions() != 1 || c.Sworn != nil || !bytes.Equal(canonical, text) {
		return nil, score.Problemf(score.InvalidEvent,
			"the change does not do exactly one thing, or is not canonical JSON")
	}
	return c, nil
}

// EncodeSigned encodes a signed change as a log entry.
func EncodeSigned(c *access.SignedChange) ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode the signed change: %w", err)
	}
	if _, p := decodeSigned(text, access.NewestFormat); p != nil {
		return nil, fmt.Errorf("the encoded change cannot be decoded: %w", p)
	}
	return appendText([]byte{firstVersion}, fieldSigned, text), nil
}

// Every version refuses what decodeSigned refuses (see above).
func decodeSigned(text []byte, format uint64) (*access.SignedChange, *score.Problem) {
	if len(text) > maxChange {
		return nil, score.Problemf(score.TooLarge, "the change has %d bytes; the limit is %d", len(text), maxChange)
	}
	c := new(access.SignedChange)
	if err := json.Unmarshal(text, c, json.RejectUnknownMembers(true)); err != nil ||
		access.MembersFormat(text) > format {
		return nil, score.Problemf(score.InvalidEvent, "the signed change is not valid JSON for this version")
	}
	canonical, err := json.Marshal(c)
	if err != nil || c.Change.Actions() != 1 || !bytes.Equal(canonical, text) {
		return nil, score.Problemf(score.InvalidEvent,
			"the signed change does not do exactly one thing, or is not canonical JSON")
	}
	return c, nil
}

// EncodeSeal encodes the seal of the round with a number, from 1, as a log entry. Whether
// that is the next round is decided when it is applied.
func EncodeSeal(number uint64) []byte {
	seal := appendNumber(nil, fieldSealNumber, number)
	if AnswersFormat > 1 {
		seal = appendNumber(seal, fieldSealFormat, AnswersFormat)
	}
	return appendText([]byte{firstVersion}, fieldSeal, seal)
}

// readSeal returns the number of the round, 0 if the seal has none, and the format of its
// answers.
func readSeal(b []byte) (number, format uint64, err error) {
	r := fieldReader{message: b}
	for format = 1; r.next(sealNumbers); {
		switch r.field {
		case fieldSealNumber:
			number = r.number
		case fieldSealFormat:
			format = r.number
		default:
			return 0, 0, ErrFormat
		}
	}
	if format < OldestAnswers || format > AnswersFormat {
		return 0, 0, ErrFormat
	}
	return number, format, r.err()
}

// Command is the decoded content of a log entry.
type Command struct {
	Format  uint64
	Posts   []Post
	Change  *access.Change       // nil if the entry holds no such change, or an invalid one
	Signed  *access.SignedChange // as well
	Seal    uint64               // the number of the round; 0 if the entry is no seal
	Answers uint64               // the format of the answers of that round
	Refused *score.Problem       // the reason why the change or the seal is invalid, or nil
}

// Check returns ErrFormat for an entry that this version of Laurel cannot parse. Decode
// decodes all others. Check allocates nothing and looks at no content.
func Check(b []byte) error {
	if f := FormatOf(b); f == 0 || f > access.NewestFormat {
		return ErrFormat
	}
	posts, events, others := 0, 0, 0
	r := fieldReader{message: b[1:]}
	for r.next(0) {
		switch r.field {
		case fieldPost:
			n, err := checkPost(r.bytes())
			if err != nil {
				return err
			}
			posts, events = posts+1, events+n
		case fieldSeal:
			others++
			if _, _, err := readSeal(r.bytes()); err != nil {
				return err
			}
		case fieldChange, fieldSigned:
			others++
		default:
			return ErrFormat
		}
		switch {
		case others > 1 || others > 0 && posts > 0:
			return ErrFormat // the result of the change would be returned as the result of the post
		case max(posts, events) > maxEvents:
			return ErrFormat
		}
	}
	return r.err()
}

// Decode decodes a log entry. The posts alias b. The error is that of Check.
func Decode(b []byte) (c Command, err error) {
	if err := Check(b); err != nil {
		return c, err
	}
	c.Format = FormatOf(b)
	r := fieldReader{message: b[1:]}
	for r.next(0) {
		switch r.field {
		case fieldChange:
			c.Change, c.Refused = decodeChange(r.bytes(), c.Format)
		case fieldSigned:
			c.Signed, c.Refused = decodeSigned(r.bytes(), c.Format)
		case fieldSeal:
			if c.Seal, c.Answers, err = readSeal(r.bytes()); c.Seal == 0 {
				c.Refused = score.Problemf(score.InvalidEvent, "a seal names its round, counted from 1")
			}
		case fieldPost:
			var p Post
			p, err = decodePost(r.bytes())
			c.Posts = append(c.Posts, p)
		}
		if err != nil {
			return c, err
		}
	}
	return c, r.err()
}

// fieldReader reads the fields of a message.
type fieldReader struct {
	message []byte
	field   protowire.Number
	number  uint64 // of a field that holds a number, or the length of its bytes
	at      int    // the end of the field
	failed  bool
}

// next reads a field. The bits of numbers select the fields that must hold numbers.
func (r *fieldReader) next(numbers uint64) bool {
	rest := r.message[r.at:]
	if len(rest) == 0 || r.failed {
		return false
	}
	r.failed = true
	tag, size := consumeVarint(rest)
	if size < 0 {
		return false
	}
	field, t := protowire.DecodeTag(tag)
	if field < protowire.MinValidNumber { // -1 for a number that is too large
		return false
	}
	isNumber := numbers>>field&1 == 1
	if t != protowire.BytesType && !isNumber || t != protowire.VarintType && isNumber {
		return false
	}
	rest = rest[size:]
	if r.number, size = consumeVarint(rest); size < 0 {
		return false
	}
	rest = rest[size:]
	if !isNumber {
		if r.number > uint64(len(rest)) {
			return false
		}
		rest = rest[r.number:]
	}
	r.field, r.at, r.failed = field, len(r.message)-len(rest), false
	return true
}

// bytes returns the content of a field that holds bytes.
func (r *fieldReader) bytes() []byte { return r.message[r.at-int(r.number) : r.at : r.at] }

// err returns why next has returned false: nil at the end of the message, or ErrFormat.
func (r *fieldReader) err() error {
	if r.failed {
		return ErrFormat
	}
	return nil
}

// consumeVarint is protowire.ConsumeVarint. Most numbers have one byte.
func consumeVarint(b []byte) (n uint64, size int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}
