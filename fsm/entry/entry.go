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
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
	"laurel/trust/access"
)

// A log entry is a version byte followed by a message in the protobuf wire format:
//
//	entry  { repeated post = 1; cache_mode = 2; store = 3; access_change = 4 }
//	post   { mode = 1; repeated event = 2 }
//	event  { id = 1; source = 2; seq = 3; type = 4; seconds = 5; nanos = 6; offset = 7;
//	         contest_id = 8; data = 9; given = 10; key = 13; signature = 14; token = 15 }
//
// A signature is a delta to the one of the event before it in the post (signatures.go).
// Stored events have no signature, but may have voided_by = 11 and voids = 12. The data
// of an event and an access change are canonical JSON. The golden files in
// testdata/format freeze the format.
//
// An entry holds either posts, or a cache mode, or the name of the store (only the first
// one in the log counts), or one access change.
//
// A frontend stops at an entry that it cannot parse, because skipping the entry would
// make its state differ from the others'. That is an entry of an unknown version, with an
// unknown field or mode, or one that is not a valid message. No version of Laurel may
// skip any of these.
//
// The content of a message never stops a frontend. An event or an access change that
// breaks a rule is refused and the log continues, whatever its fields and its JSON
// contain. The rules for content are therefore part of the format and belong to the
// version byte:
//
//	What one version of Laurel refuses because of its content, every version refuses in the same
//	way, under the same version byte.
//
// An event type, a member of event data or of an access change, or a larger limit that is
// added later must be refused for ever in entries of this version. It is written only in
// entries of a later version, at which today's frontends stop. Signed events and access
// changes must be written exactly as this encoder writes them.
const version = 3 // versions 1 and 2 were never released

// The field numbers of an entry and of a post.
const (
	fieldPost         = 1
	fieldCacheMode    = 2
	fieldStore        = 3
	fieldAccessChange = 4

	fieldPostMode  = 1
	fieldPostEvent = 2
)

// The fields that hold numbers, as bit sets. All other fields hold bytes.
const (
	postNumbers  = 1 << fieldPostMode
	eventNumbers = 1<<fieldSeq | 1<<fieldSeconds | 1<<fieldNanos | 1<<fieldOffset | 1<<fieldGiven |
		1<<fieldVoidedBy | 1<<fieldVoids
)

const (
	maxStoreName    = 64        // bytes
	maxAccessChange = 128 << 10 // bytes; the largest is a grant for many competitions
)

// ErrFormat reports an entry that this version of Laurel cannot parse.
var ErrFormat = errors.New("the log entry is damaged, or was written by a newer version of laurel")

// Encode encodes posts as one log entry.
func Encode(posts []EncodedPost) []byte {
	size := 1
	for _, p := range posts {
		size += len(p.wire) + 8
	}
	b := append(make([]byte, 0, size), version)
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

// EncodeCacheMode encodes a change of the cache mode as a log entry.
func EncodeCacheMode(mode score.CacheMode) ([]byte, error) {
	if mode != score.Push && mode != score.Pull {
		return nil, fmt.Errorf("there is no cache mode %q", mode)
	}
	return appendText([]byte{version}, fieldCacheMode, string(mode)), nil
}

// EncodeStore encodes the name of the store as a log entry. Ids that clients hold begin
// with this name, so that ids of another store are not mistaken for ids of this one.
func EncodeStore(name string) []byte {
	return appendText([]byte{version}, fieldStore, name)
}

// EncodeAccessChange encodes a change of access control as a log entry. The change must
// do exactly one thing. Whether the state allows it is decided when it is applied.
func EncodeAccessChange(c access.Change) ([]byte, error) {
	text, err := json.Marshal(&c)
	if err != nil {
		return nil, fmt.Errorf("encode the access change: %w", err)
	}
	if _, p := decodeAccessChange(text); p != nil {
		return nil, fmt.Errorf("the encoded access change cannot be decoded: %w", p)
	}
	return appendText([]byte{version}, fieldAccessChange, text), nil
}

// Every version refuses what decodeAccessChange refuses (see above).
func decodeAccessChange(text []byte) (*access.Change, *score.Problem) {
	if len(text) > maxAccessChange {
		return nil, score.Problemf(score.TooLarge, "the access change has %d bytes; the limit is %d",
			len(text), maxAccessChange)
	}
	c := new(access.Change)
	if err := json.Unmarshal(text, c, json.RejectUnknownMembers(true)); err != nil {
		return nil, score.Problemf(score.InvalidEvent, "the access change is not valid JSON for this version")
	}
	canonical, err := json.Marshal(c)
	if err != nil || c.Actions() != 1 || !bytes.Equal(canonical, text) {
		return nil, score.Problemf(score.InvalidEvent,
			"the access change does not do exactly one thing, or is not canonical JSON")
	}
	return c, nil
}

// Command is the decoded content of a log entry.
type Command struct {
	Posts     []Post
	CacheMode score.CacheMode // "" if the entry does not set the mode
	Store     string          // "" if the entry does not name the store, or the name is too long or not text
	Access    *access.Change  // nil if the entry does not change access control
	Refused   *score.Problem  // the reason why the access change is invalid, or nil
}

// Decode decodes a log entry. The posts alias b. The error is ErrFormat.
func Decode(b []byte) (c Command, err error) {
	if len(b) == 0 || b[0] != version {
		return c, ErrFormat
	}
	err = eachField(b[1:], 0, func(n protowire.Number, _ uint64, wire []byte) bool {
		switch {
		case n == fieldCacheMode:
			c.CacheMode = score.CacheMode(wire)
			return c.CacheMode == score.Push || c.CacheMode == score.Pull
		case n == fieldStore:
			if len(wire) <= maxStoreName && utf8.Valid(wire) {
				c.Store = string(wire)
			}
			return true
		case n == fieldAccessChange && c.Access == nil && c.Refused == nil:
			c.Access, c.Refused = decodeAccessChange(wire)
			return true
		case n == fieldPost:
			p, err := decodePost(wire)
			c.Posts = append(c.Posts, p)
			return err == nil
		}
		return false
	})
	if (c.Access != nil || c.Refused != nil) && (len(c.Posts) > 0 || c.CacheMode != "" || c.Store != "") {
		return c, ErrFormat // the result of the change would be returned as the result of the post
	}
	return c, err
}

// eachField calls f for each field of a message. The bits of numbers select the fields
// that must hold numbers. f returns false for a field that is not allowed.
func eachField(b []byte, numbers uint64, f func(n protowire.Number, number uint64, bytes []byte) bool) error {
	for len(b) > 0 {
		n, t, size := protowire.ConsumeTag(b)
		if size < 0 {
			return ErrFormat
		}
		b = b[size:]
		var number uint64
		var bytes []byte
		switch isNumber := numbers>>n&1 == 1; {
		case t == protowire.VarintType && isNumber:
			number, size = protowire.ConsumeVarint(b)
		case t == protowire.BytesType && !isNumber:
			bytes, size = protowire.ConsumeBytes(b)
		default:
			return ErrFormat
		}
		if size < 0 || !f(n, number, bytes) {
			return ErrFormat
		}
		b = b[size:]
	}
	return nil
}
