package fsm

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
	"laurel/trust/access"
)

// An entry of the log is a version byte, then in the protobuf wire format
//
//	entry  { repeated post = 1; cache_mode = 2; store = 3; access_change = 4 }
//	post   { mode = 1; repeated event = 2 }
//	event  { id = 1; source = 2; seq = 3; type = 4; seconds = 5; nanos = 6; offset = 7; contest_id = 8; data = 9; given = 10;
//	         key = 13; signature = 14; token = 15; shared signature = 16 }
//
// with the event's data, and an access change (access.go), as canonical JSON. testdata/format freezes it.
// An entry has posts, or a cache mode, 1 for push and 2 for pull, or the store's name, of which the first counts, or one access change.
// Version 2 has shared signatures (shared.go), which only an entry is written with that has some.
//
// An entry that this version of Laurel cannot read ends the frontend, for to skip it would make its
// state differ from the others': one of a version that it does not know, one with a field, or a value of
// a mode, that it does not know, and one that is no message at all. No version skips any of these.
//
// What a message says, its content, never does. An event or an access change that breaks a rule, whatever
// it has in its fields and whatever its JSON is, is refused, and the log goes on. So the rules of content
// are part of the format, and belong to the version byte:
//
//	What one version of Laurel refuses by its content, all versions refuse alike, under the same
//	version byte.
//
// A type of event, a member of its data or of an access change, or a wider bound that is added later
// must be refused in entries of versions 1 and 2 for ever, and is written only in entries of a later
// version, which the frontends of today stop at. The same goes for the encoder where its output decides:
// a signed event and an access change must be written as this encoder writes them.
const (
	entryVersion  = 1
	sharedVersion = 2
)

const (
	givenID   = 1
	givenTime = 2
)

// MaxPost bounds a post that comes from another frontend, in bytes. A client's request has a quarter of it at most
// (httpapi.MaxBodyBytes).
const MaxPost = 16 << 20

// maxVouched bounds the ids of keys and tokens in events, in bytes.
const maxVouched = 64

var errEntry = errors.New("the log entry is damaged, or of a newer version of laurel")

// EntryError reports that the log has an entry that this version cannot read. Nothing is wrong with the
// disk, and the entry is the same at every frontend.
type EntryError struct {
	Index uint64
	Err   error
}

func (e *EntryError) Error() string {
	return fmt.Sprintf("log entry %d cannot be applied: %v; run the version of laurel here that the other frontends run", e.Index, e.Err)
}

// Unwrap returns the cause.
func (e *EntryError) Unwrap() error { return e.Err }

// EncodeEntry writes posts as one entry of the log.
func EncodeEntry(posts []EncodedPost) []byte {
	size := 1
	for _, p := range posts {
		size += len(p.wire) + 8
	}
	version := byte(entryVersion)
	if slices.ContainsFunc(posts, func(p EncodedPost) bool { return p.shared }) {
		version = sharedVersion
	}
	b := append(make([]byte, 0, size), version)
	for _, p := range posts {
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		b = protowire.AppendBytes(b, p.wire)
	}
	return b
}

var modeNumbers = map[score.CacheMode]uint64{score.Push: 1, score.Pull: 2}

// EncodeCacheMode writes the setting of the cache mode as an entry of the log.
func EncodeCacheMode(mode score.CacheMode) ([]byte, error) {
	number, ok := modeNumbers[mode]
	if !ok {
		return nil, fmt.Errorf("there is no cache mode %q", mode)
	}
	b := protowire.AppendTag([]byte{entryVersion}, 2, protowire.VarintType)
	return protowire.AppendVarint(b, number), nil
}

// maxStore bounds the name of a store, in bytes.
const maxStore = 64

// EncodeStore writes the name of the store as an entry of the log. Ids that clients hold begin with it, so that those of another store are not
// taken for this one's.
func EncodeStore(name string) []byte {
	b := protowire.AppendTag([]byte{entryVersion}, 3, protowire.BytesType)
	return protowire.AppendString(b, name)
}

// EncodedPost is a post in the form it has in the log. It is made where the post arrives, and travels and is gathered as it is.
type EncodedPost struct {
	wire   []byte
	shared bool // events share their signatures
	// Events counts the events of the post.
	Events int
	// Repeatable: each event has a seq, so that the whole post may be posted again, however much later, without counting twice. An id is
	// not enough: a thousand other events of its source may have come in between. It does not travel.
	Repeatable bool
}

// Size is the number of bytes of the post in an entry.
func (p EncodedPost) Size() int { return len(p.wire) }

// EncodePost brings a post into the form of the log. Its events must have been decoded by score and have their id, source and time: what
// the log holds every frontend must be able to apply, so what could not be read back is an error here.
func EncodePost(p score.Post) (EncodedPost, error) {
	if len(p.Events) == 0 {
		return EncodedPost{}, errors.New("a post without events")
	}
	b := make([]byte, 0, 256*len(p.Events)+8)
	b = protowire.AppendTag(b, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(p.Mode))
	var scratch, before []byte
	repeatable, shared := true, false
	for i := range p.Events {
		e := &p.Events[i]
		if p := formOf(e); p != nil {
			return EncodedPost{}, fmt.Errorf("event %q: %w", e.ID, p)
		}
		if e.Data == nil {
			return EncodedPost{}, fmt.Errorf("event %q: it has no data", e.ID)
		}
		data, err := score.MarshalData(e.Data)
		if err != nil {
			return EncodedPost{}, fmt.Errorf("event %q: %w", e.ID, err)
		}
		repeatable = repeatable && e.Seq != 0
		alike := false
		scratch, alike = appendSignature(appendUnsigned(scratch[:0], e, data), before, e.Signature)
		before, shared = e.Signature, shared || alike
		b = protowire.AppendTag(b, 2, protowire.BytesType)
		b = protowire.AppendBytes(b, scratch)
	}
	return EncodedPost{b, shared, len(p.Events), repeatable}, nil
}

// Bytes is the post on its way to another frontend; ParsePost reads it.
func (p EncodedPost) Bytes() []byte { return p.wire }

// checkForm checks what is relied on in every event that is read again from the database.
func checkForm(e *score.Event) error {
	switch year := e.Time.Year(); {
	case e.ID == "":
		return errors.New("the id is missing")
	case !score.ValidPath(e.Source):
		return fmt.Errorf("the source %q is not one", e.Source)
	case !score.ValidPath(e.ContestID):
		return fmt.Errorf("the contest_id %q is not one", e.ContestID)
	case year < 0 || year > 9999:
		return errors.New("the time is out of range")
	case len(e.Key) > maxVouched || len(e.Token) > maxVouched || len(e.Signature) > score.MaxSignature:
		return errors.New("the key, the token or the signature is too long")
	}
	return nil
}

// ParsePost checks what another frontend encoded, and tells the latest time that one of its events
// gives. That frontend may be newer than this one, or corrupt: only what score.Decode would have taken
// comes into the log.
func ParsePost(wire []byte) (p EncodedPost, latest time.Time, err error) {
	if len(wire) > MaxPost {
		return EncodedPost{}, time.Time{}, fmt.Errorf("a post of %d bytes; the most is %d", len(wire), MaxPost)
	}
	events := 0
	err = fields(wire, postNumbers, func(protowire.Number, uint64, []byte) bool { events++; return true })
	if err == nil && events > 1+len(wire)/leastEvent {
		err = errors.New("a post of events that say nothing") // each would take memory before it is refused
	}
	if err != nil {
		return EncodedPost{}, time.Time{}, err
	}
	decoded, err := decodePost(wire)
	if err != nil {
		return EncodedPost{}, time.Time{}, err
	}
	switch n := len(decoded.events); {
	case n == 0:
		return EncodedPost{}, time.Time{}, errors.New("a post without events")
	case n > score.MaxArray && decoded.mode == score.AllOrNone:
		return EncodedPost{}, time.Time{}, fmt.Errorf("a post of %d events, all or none; the most is %d", n, score.MaxArray)
	}
	var scratch []byte
	for i := range decoded.events {
		e := &decoded.events[i]
		if scratch, err = e.inspect(scratch[:0]); err != nil {
			return EncodedPost{}, time.Time{}, fmt.Errorf("event %q: %w", e.ID, err)
		}
		if e.Time.After(latest) {
			latest = e.Time
		}
	}
	return EncodedPost{wire: wire, shared: decoded.shared, Events: len(decoded.events)}, latest, nil
}

// leastEvent is less than an event's bytes: an event without anything in it must not take memory.
const leastEvent = 16

type post struct {
	mode   score.PostMode
	events []event
	shared bool // events share their signatures
}

// The fields of each message that hold numbers, as bits; the others hold bytes.
const (
	entryNumbers = 1 << 2
	postNumbers  = 1 << 1
	eventNumbers = 1<<3 | 1<<5 | 1<<6 | 1<<7 | 1<<10 | 1<<12 | 1<<17
)

// fields calls f for each field of a message; f answers false for one that it does not know.
func fields(b []byte, numbers uint64, f func(n protowire.Number, number uint64, bytes []byte) bool) error {
	for len(b) > 0 {
		n, t, size := protowire.ConsumeTag(b)
		if size < 0 {
			return errEntry
		}
		b = b[size:]
		var number uint64
		var bytes []byte
		switch wanted := numbers >> n & 1; {
		case t == protowire.VarintType && wanted == 1:
			number, size = protowire.ConsumeVarint(b)
		case t == protowire.BytesType && wanted == 0:
			bytes, size = protowire.ConsumeBytes(b)
		default:
			return errEntry
		}
		if size < 0 || !f(n, number, bytes) {
			return errEntry
		}
		b = b[size:]
	}
	return nil
}

// says is what an entry of the log says.
type says struct {
	posts  []post
	mode   score.CacheMode // "" if it sets none
	store  string          // "" if it gives none, or one that is too long
	access *access.Change  // nil if it makes none
	// refused says why the access change of the entry cannot be read; nil if it can, or there is none.
	refused *score.Problem
}

// decodeEntry reads an entry. Its posts share b's memory.
func decodeEntry(b []byte) (e says, err error) {
	if len(b) == 0 || b[0] != entryVersion && b[0] != sharedVersion {
		return e, errEntry
	}
	err = fields(b[1:], entryNumbers, func(n protowire.Number, number uint64, wire []byte) bool {
		if n == 2 {
			for mode, known := range modeNumbers {
				if known == number {
					e.mode = mode
				}
			}
			return e.mode != ""
		}
		if n == 3 {
			if len(wire) <= maxStore {
				e.store = string(wire)
			}
			return true
		}
		if n == 4 && e.access == nil && e.refused == nil {
			e.access, e.refused = decodeAccessChange(wire)
			return true
		}
		p, err := decodePost(wire)
		e.posts = append(e.posts, p)
		return n == 1 && err == nil
	})
	if (e.access != nil || e.refused != nil) && (len(e.posts) > 0 || e.mode != "" || e.store != "") {
		return e, errEntry // what came of the change would be told of the post
	}
	return e, err
}

func decodePost(wire []byte) (post, error) {
	var p post
	events := 0 // counted first: they are large, and growing the slice would copy them
	if err := fields(wire, postNumbers, func(protowire.Number, uint64, []byte) bool {
		events++
		return true
	}); err != nil {
		return p, err
	}
	p.events = make([]event, 0, min(events, len(wire)/leastEvent))
	var s signatures
	err := fields(wire, postNumbers, func(n protowire.Number, number uint64, bytes []byte) bool {
		switch n {
		case 1:
			p.mode = score.PostMode(number)
			return number <= uint64(score.UntilRefused)
		case 2:
			e, err := s.decodeEvent(bytes)
			p.events = append(p.events, e)
			return err == nil
		}
		return false
	})
	p.shared = s.shared
	return p, err
}
