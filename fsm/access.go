package fsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
	"laurel/trust/access"
)

// Who may do what is part of the state: what a change comes to are score's rules, here it is kept. The access bucket holds
//
//	grant, id      access.Grant
//	join, id       access.JoinToken
//	removed, id    when the member with that server id was taken out, as JSON
//	authorities    the certificates, DER in base64, as a JSON array
//	guarded        nothing; it is there in a guarded store

const (
	grantKind   = "grant"
	joinKind    = "join"
	removedKind = "removed"
)

var (
	authoritiesKey = []byte("authorities")
	guardedKey     = []byte("guarded")
)

// maxAudit is how many lines the trail keeps.
const maxAudit = 10_000

// maxAccessChange bounds a change in the log, in bytes. The largest is a grant for many competitions.
const maxAccessChange = 128 << 10

// EncodeAccessChange writes a change of who may do what as an entry of the log. It must do exactly one thing. Whether the state allows it is
// told when it is applied.
func EncodeAccessChange(c access.Change) ([]byte, error) {
	text, err := json.Marshal(&c)
	if err != nil {
		return nil, fmt.Errorf("the change of access cannot be written: %w", err)
	}
	if n := c.Actions(); n != 1 {
		return nil, fmt.Errorf("the change of access does %d things; want one", n)
	}
	if _, p := decodeAccessChange(text); p != nil {
		return nil, fmt.Errorf("the change of access cannot be read again: %w", p)
	}
	b := protowire.AppendTag([]byte{entryVersion}, 4, protowire.BytesType)
	return protowire.AppendBytes(b, text), nil
}

// decodeAccessChange reads a change strictly. What it refuses every version refuses (entry.go).
func decodeAccessChange(text []byte) (*access.Change, *score.Problem) {
	if len(text) > maxAccessChange {
		return nil, score.Problemf(score.TooLarge, "the change of access has %d bytes; the most is %d", len(text), maxAccessChange)
	}
	c := new(access.Change)
	if err := json.Unmarshal(text, c, json.RejectUnknownMembers(true)); err != nil {
		return nil, score.Problemf(score.InvalidEvent, "the change of access is none")
	}
	canonical, err := json.Marshal(c)
	if err != nil || c.Actions() != 1 || !bytes.Equal(canonical, text) {
		return nil, score.Problemf(score.InvalidEvent, "the change of access is not one thing, or not written as Laurel writes it")
	}
	return c, nil
}

// changeAccess applies a change of who may do what, or refuses it.
func (b *batch) changeAccess(c *access.Change) (score.Result, error) {
	next, what, p := b.access.Apply(c)
	if p != nil {
		return score.Result{Problem: p}, nil
	}
	if err := b.keepAccess(b.access, next); err != nil {
		return score.Result{}, err
	}
	b.access = next
	if what == "" {
		return score.Result{Status: score.Applied}, nil
	}
	return score.Result{Status: score.Applied}, b.audit(access.AuditEntry{At: c.At, By: c.By, What: what})
}

// keepAccess writes what is another.
func (b *batch) keepAccess(was, is *access.State) error {
	if is.Guarded && !was.Guarded {
		if err := b.put(accessBucket, guardedKey, nil); err != nil {
			return err
		}
	}
	if !slices.EqualFunc(was.Authorities, is.Authorities, bytes.Equal) {
		if err := b.putJSON(accessBucket, authoritiesKey, is.Authorities); err != nil {
			return err
		}
	}
	if err := keepEach(b, grantKind, was.Grants, is.Grants); err != nil {
		return err
	}
	if err := keepEach(b, joinKind, was.JoinTokens, is.JoinTokens); err != nil {
		return err
	}
	return keepEach(b, removedKind, was.Removed, is.Removed)
}

// keepEach writes what is another in a map. Each key is written once, so the order of the maps does not matter.
func keepEach[V comparable](b *batch, kind string, was, is map[string]V) error {
	for id := range was {
		if _, stays := is[id]; !stays {
			if err := b.delete(accessBucket, key(kind, id)); err != nil {
				return err
			}
		}
	}
	for id, v := range is {
		if old, had := was[id]; !had || old != v {
			if err := b.putJSON(accessBucket, key(kind, id), v); err != nil {
				return err
			}
		}
	}
	return nil
}

// audit writes the next line of the trail, and drops the oldest when it is long.
func (b *batch) audit(line access.AuditEntry) error {
	line.Number = 1
	if last, _ := b.bucket(auditBucket).Cursor().Last(); len(last) == 8 {
		line.Number = binary.BigEndian.Uint64(last) + 1
	}
	if line.Number > maxAudit {
		if err := b.delete(auditBucket, binary.BigEndian.AppendUint64(nil, line.Number-maxAudit)); err != nil {
			return err
		}
	}
	return b.putJSON(auditBucket, binary.BigEndian.AppendUint64(nil, line.Number), &line)
}

// loadAccess reads who may do what.
func loadAccess(bucket *bolt.Bucket) (*access.State, error) {
	a := access.NewState()
	err := bucket.ForEach(func(k, sealed []byte) error {
		value, err := unseal(k, sealed)
		if err != nil {
			return err
		}
		kind, id, _ := bytes.Cut(k, []byte{0})
		switch string(kind) {
		case string(guardedKey):
			a.Guarded = true
			return nil
		case string(authoritiesKey):
			return json.Unmarshal(value, &a.Authorities)
		case grantKind:
			g := new(access.Grant)
			a.Grants[string(id)] = g
			return json.Unmarshal(value, g)
		case joinKind:
			t := new(access.JoinToken)
			a.JoinTokens[string(id)] = t
			return json.Unmarshal(value, t)
		case removedKind:
			var at time.Time
			err := json.Unmarshal(value, &at)
			a.Removed[string(id)] = at
			return err
		}
		return errSeal
	})
	if err != nil {
		return nil, fmt.Errorf("read who may do what: %w", err)
	}
	return a, nil
}
