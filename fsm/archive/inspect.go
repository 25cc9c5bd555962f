package archive

import (
	"compress/flate"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/fsm/database"
	"laurel/fsm/head"
	"laurel/fsm/timeline"
	"laurel/trust/access"
)

// Info is what is in a snapshot file.
type Info struct {
	Lineage     string    `json:"lineage"`
	Incarnation string    `json:"incarnation"`
	Revision    uint64    `json:"revision"` // of the last event
	Index       uint64    `json:"index"`    // of the last log entry
	Time        time.Time `json:"time"`     // when the snapshot was taken, to the second
	Events      uint64    `json:"events"`
	Contests    uint64    `json:"contests"`
	Sources     uint64    `json:"sources"` // of events: bards
	Grants      int       `json:"grants"`
	Secure      bool      `json:"secure"` // of a group with certificates
	Sworn       bool      `json:"sworn"`
	Format      uint64    `json:"format"` // of the group; see access.NewestFormat
	Size        int64     `json:"size"`   // of the snapshot, in bytes
	Digest      string    `json:"digest"` // the SHA-256 of the snapshot, in hexadecimal
}

// Inspect reads a whole file, verifies it, and returns what is in it. The error says why the
// file is no whole snapshot.
func Inspect(file io.Reader) (info Info, err error) {
	r, err := NewReader(file)
	if err != nil {
		return info, err
	}
	if err := info.read(r); err != nil {
		return info, err
	}
	digest := r.Digest()
	info.Time, info.Size, info.Digest = r.Time(), r.Size(), hex.EncodeToString(digest[:])
	return info, nil
}

// read reads a snapshot to its end.
func (i *Info) read(r *Reader) error {
	in, err := database.NewSnapshotReader(r)
	if err != nil {
		return r.cause(err)
	}
	i.Sworn = in.Sworn()
	for {
		record, err := in.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = i.add(record)
		}
		if err != nil {
			return r.cause(err)
		}
	}
	if i.Index == 0 {
		return errors.New("the snapshot is of an empty store")
	}
	return in.AtEnd()
}

// cause returns why the snapshot could not be read: the reader's own error, if it has one.
func (r *Reader) cause(err error) error {
	if r.err != nil && r.err != io.EOF {
		return r.err
	}
	return err
}

// add counts a record, and reads those that are about all of the state.
func (i *Info) add(r database.Record) error {
	switch string(r.Bucket) {
	case string(database.Contests):
		i.Contests++
	case string(database.Sources):
		i.Sources++
	case string(database.Timeline):
		n, err := timeline.Count(r.Value)
		if err != nil {
			return fmt.Errorf("the timeline: %w", err)
		}
		i.Events += uint64(n)
	case string(database.Meta):
		return i.addMeta(r)
	}
	return nil
}

func (i *Info) addMeta(r database.Record) error {
	switch string(r.Key) {
	case string(head.Key):
		var h head.Head
		if err := json.Unmarshal(r.Value, &h); err != nil {
			return fmt.Errorf("the head of the state: %w", err)
		}
		i.Revision, i.Index = h.Revision, h.Applied
	case string(head.AccessKey):
		s := access.NewState()
		if err := json.Unmarshal(r.Value, s); err != nil || !s.Valid() {
			return fmt.Errorf("the access control: %w", database.ErrDamaged)
		}
		i.Lineage, i.Incarnation = s.Settings.Lineage, s.Settings.Incarnation
		i.Grants, i.Secure, i.Format = len(s.Grants), s.Guarded, s.Settings.Format()
	}
	return nil
}

func isCorrupt(err error) bool {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	return corrupt
}
