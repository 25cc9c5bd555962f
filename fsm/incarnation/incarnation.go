// Package incarnation gives the state of a store another incarnation: another course of its
// revisions, which begins where a snapshot ends.
//
// It changes a snapshot, not a database, and knows of the state only what it must change.
// What comes out is the state of a member whose log has not changed, so it is for a group that
// begins anew with one member.
package incarnation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/fsm/head"
	"laurel/fsm/rounds"
	"laurel/trust/access"
)

// Jump is by how much the revision is raised. It is more than the events that a store can
// have had after the snapshot, which its database could not hold: so no revision of the
// incarnation that ends comes again, and revisions never go back for anybody who compares
// them.
const Jump = 1_000_000_000

// maxRevision is the greatest revision from which an incarnation begins. Above 2^53 the
// numbers of JSON are not exact for everybody.
const maxRevision = 1<<53 - 2*Jump

// Change is what is changed.
type Change struct {
	access.Incarnation
	// By and What are the line in the audit trail: the command, and what it did.
	By, What string
}

// State is what a state has come to.
type State struct {
	head.Head
	Access *access.State
}

// Rewrite writes the state of a snapshot in another incarnation. Equal snapshots and equal
// changes give equal snapshots. It returns the new state. With an error, what was written
// is no snapshot.
//
// Events, contests and all that follows from them stay as they are, with their revisions.
// The audit trail has one line more. In a sworn group that a frontend founds anew the
// rounds begin anew as well: those before were made by others, and certify other revisions.
func Rewrite(w io.Writer, snapshot io.Reader, c *Change) (after State, err error) {
	in, err := database.NewSnapshotReader(snapshot)
	if err != nil {
		return after, err
	}
	r := &rewriter{change: c, out: database.NewSnapshotWriter(w, in.Version()), changed: map[string]bool{}}
	for {
		record, err := in.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = r.record(record)
		}
		if err != nil {
			return after, err
		}
	}
	if err := in.AtEnd(); err != nil {
		return after, err
	}
	if err := r.end(); err != nil {
		return after, err
	}
	return r.after, nil
}

// rewriter writes the records of a snapshot as they are in the next incarnation.
type rewriter struct {
	change  *Change
	out     *database.SnapshotWriter
	after   State
	trail   []database.Record // the audit trail, until it is written
	audited bool              // it is written
	changed map[string]bool   // keys of answers, if rounds begin anew
}

func (r *rewriter) record(record database.Record) error {
	bucket, key := string(record.Bucket), string(record.Key)
	if bucket == string(database.Audit) {
		if len(record.Key) != 8 || len(r.trail) >= access.MaxAudit {
			return fmt.Errorf("the audit trail: %w", database.ErrDamaged)
		}
		r.trail = append(r.trail, record)
		return nil
	}
	if err := r.audit(); err != nil {
		return err
	}
	switch {
	case bucket == string(database.Meta) && key == string(head.Key):
		return r.head(record)
	case bucket == string(database.Meta) && key == string(head.AccessKey):
		return r.access(record)
	case r.change.Group == nil:
		return r.out.Write(record)
	case bucket == string(database.Meta) && key == string(rounds.FormatKey), bucket == string(database.Rounds):
		return nil
	case bucket == string(database.Answers), bucket == string(database.Changed):
		r.changed[key] = true
		return nil
	}
	return r.out.Write(record)
}

// audit writes the audit trail with the new line, once.
func (r *rewriter) audit() error {
	if r.audited {
		return nil
	}
	r.audited = true
	line := access.AuditEntry{Number: 1, At: r.change.At, By: r.change.By, What: r.change.What}
	if n := len(r.trail); n > 0 {
		line.Number += binary.BigEndian.Uint64(r.trail[n-1].Key)
		r.trail = r.trail[max(0, n+1-access.MaxAudit):]
	}
	for _, record := range r.trail {
		if err := r.out.Write(record); err != nil {
			return err
		}
	}
	r.trail = nil
	if line.Number == 0 {
		return fmt.Errorf("the audit trail: %w", database.ErrDamaged)
	}
	return r.json(database.Audit, binary.BigEndian.AppendUint64(nil, line.Number), &line)
}

func (r *rewriter) json(bucket, key []byte, value any) error {
	b, err := json.Marshal(value, json.Deterministic(true))
	if err != nil {
		return err
	}
	return r.out.Write(database.Record{Bucket: bucket, Key: key, Value: b})
}

func (r *rewriter) head(record database.Record) error {
	h := &r.after.Head
	if err := json.Unmarshal(record.Value, h); err != nil {
		return fmt.Errorf("the head of the state: %w", err)
	}
	if h.Revision > maxRevision {
		return fmt.Errorf("the revision is %d, and none above %d can be raised", h.Revision, uint64(maxRevision))
	}
	if h.Hash == nil {
		hash, _ := entry.NewRunningHash(nil)
		h.Hash = hash.State()
	}
	h.Revision += Jump
	return r.json(record.Bucket, record.Key, h)
}

func (r *rewriter) access(record database.Record) error {
	before := access.NewState()
	if err := json.Unmarshal(record.Value, before); err != nil || !before.Valid() {
		return fmt.Errorf("the access control: %w", database.ErrDamaged)
	}
	after, err := before.Incarnate(&r.change.Incarnation)
	if err != nil {
		return err
	}
	r.after.Access = after
	return r.json(record.Bucket, record.Key, after)
}

var errNever = errors.New("the snapshot is of a store that was never founded")

func (r *rewriter) end() error {
	if r.after.Access == nil || r.after.Applied == 0 {
		return errNever
	}
	for _, key := range slices.Sorted(maps.Keys(r.changed)) {
		if err := r.out.Write(database.Record{Bucket: database.Changed, Key: []byte(key)}); err != nil {
			return err
		}
	}
	return r.out.Close()
}
