// Package export writes the events of a snapshot as bards can post them again, into a new
// store of the same lineage.
package export

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/fsm/head"
	"laurel/fsm/timeline"
	"laurel/score"
	"laurel/score/fastjson"
	"laurel/trust/access"
)

// Signer is a key that signed events. The new store must know it before they are posted.
type Signer struct {
	*access.Grant
	Events uint64
}

// Store is the state in a snapshot, in a database of its own.
type Store struct {
	// Competition limits the export to the events of one competition, unless it is "".
	Competition string

	dir    string
	db     *bolt.DB
	head   head.Head
	access *access.State
	header score.ExportHeader
	// named has voids name what they void by source and seq in the place of its revision,
	// which will be another one.
	named   bool
	signers []Signer
}

// Open reads a snapshot to its end, and keeps its state in the directory for temporary files.
// Close must be called.
func Open(snapshot io.Reader, competition string) (*Store, error) {
	dir, err := os.MkdirTemp("", "laurel-export-")
	if err != nil {
		return nil, err
	}
	s := &Store{Competition: competition, dir: dir}
	if s.db, err = database.Restore(filepath.Join(dir, "state.db"), snapshot); err == nil {
		_, err = io.Copy(io.Discard, snapshot) // what verifies itself does so at its end
	}
	if err == nil {
		err = s.db.View(func(tx *bolt.Tx) error {
			s.head, s.access, err = head.Load(tx)
			if err != nil {
				return err
			}
			return s.survey(tx)
		})
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close removes the state.
func (s *Store) Close() (err error) {
	if s.db != nil {
		err = s.db.Close()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Header returns the first line.
func (s *Store) Header() score.ExportHeader { return s.header }

// Signers returns the keys that signed the events, by name.
func (s *Store) Signers() []Signer { return s.signers }

// survey makes the header.
func (s *Store) survey(tx *bolt.Tx) error {
	settings := s.access.Settings
	h := &s.header
	*h = score.ExportHeader{
		Format: score.ExportFormat, Lineage: settings.Lineage, Incarnation: settings.Incarnation,
		Revision: s.head.Revision, Competition: s.Competition,
	}
	if !score.ValidLineage(h.Lineage) {
		return errors.New("the snapshot is of a store that has no lineage yet, and no events")
	}
	last, gaps := map[string]uint64{}, map[string]bool{}
	signed, voids := map[string]uint64{}, uint64(0)
	for r, err := range timeline.InOrder(tx.Bucket(database.Timeline), s.Competition) {
		if err != nil {
			return err
		}
		e, err := r.Decode()
		if err != nil {
			return err
		}
		h.Events++
		if e.Seq != last[e.Source]+1 {
			gaps[e.Source] = true
		}
		last[e.Source] = e.Seq
		if e.Key != "" {
			h.Signed++
			signed[e.Key]++
			if v, is := voidOf(&e); is && v.VoidsRevision > 0 {
				voids++
			}
		}
	}
	// The revisions of a store that was never restored count its events, which are all here.
	s.named = h.Events != h.Revision
	h.Incomplete = whyIncomplete(gaps, s.named, voids)
	for id, n := range signed {
		g := s.access.Grants[id]
		if g == nil {
			return fmt.Errorf("the key %s signed events, and the snapshot does not have it: %w", id,
				database.ErrDamaged)
		}
		s.signers = append(s.signers, Signer{g, n})
	}
	slices.SortFunc(s.signers, func(a, b Signer) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return nil
}

// maxNamed bounds the sources that a header names.
const maxNamed = 5

// whyIncomplete returns why a store cannot be made of the events: the sources with gaps, and
// the number of signed voids that name a revision.
func whyIncomplete(gaps map[string]bool, named bool, voids uint64) string {
	switch names := slices.Sorted(maps.Keys(gaps)); {
	case len(names) > maxNamed:
		return fmt.Sprintf("%d sources have events in other competitions, too, so that seqs are missing: %s and others",
			len(names), strings.Join(names[:maxNamed], ", "))
	case len(names) > 0:
		return "these sources have events in other competitions, too, so that seqs are missing: " +
			strings.Join(names, ", ")
	case named && voids > 0:
		return fmt.Sprintf("%d voids are signed that name what they void by its revision, "+
			"which would be another one in the new store", voids)
	}
	return ""
}

// voidOf returns the data of a void; is is false for another event.
func voidOf(e *entry.Event) (v *score.EventVoid, is bool) {
	if e.Type != score.TypeEventVoid || e.ParseData() != nil {
		return nil, false
	}
	v, is = e.Data.(*score.EventVoid)
	return v, is
}

// Write writes the header and the events.
func (s *Store) Write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<16) // keeps its first error
	line, err := json.Marshal(&s.header, json.Deterministic(true))
	if err != nil {
		return err
	}
	out.Write(append(line, '\n'))
	err = s.db.View(func(tx *bolt.Tx) error {
		rows := tx.Bucket(database.Timeline)
		signatures := timeline.NewSignatureReader(tx.Bucket(database.Signatures))
		for r, err := range timeline.InOrder(rows, s.Competition) {
			if err != nil {
				return err
			}
			e, err := r.Decode()
			if err != nil {
				return err
			}
			if e.Signature, err = signatures.Signature(&e); err != nil {
				return err
			}
			if s.named {
				if err := nameVoided(rows, &e); err != nil {
					return err
				}
			}
			if line, err = s.append(line[:0], &e); err != nil {
				return fmt.Errorf("event %d: %w", e.Revision, err)
			}
			if _, err := out.Write(line); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, out.Flush())
}

// nameVoided has an unsigned void name what it voids by source and seq, if it names it by its
// revision.
func nameVoided(rows *bolt.Bucket, e *entry.Event) error {
	v, is := voidOf(e)
	if !is || v.VoidsRevision == 0 || e.Key != "" {
		return nil
	}
	voided, err := timeline.Load(rows, e.ContestID, e.Voids)
	if err != nil {
		return err
	}
	v.VoidsRevision, v.VoidsSource, v.VoidsSeq = 0, voided.Source, voided.Seq
	e.JSON, err = score.MarshalData(v)
	return err
}

// append appends an event as a bard posts it, with all that the store knows of it.
func (s *Store) append(b []byte, e *entry.Event) ([]byte, error) {
	w := fastjson.NewWriter(b)
	w.Text("id", e.ID)
	w.Text("source", e.Source)
	w.Uint("seq", e.Seq)
	w.Text("type", string(e.Type))
	w.Name("time")
	w.Time(e.Time)
	w.Text("contest_id", e.ContestID)
	w.Name("data")
	w.B = append(w.B, e.JSON...)
	if e.Key != "" {
		w.Text("key", e.Key)
		w.Text("lineage", s.header.Lineage)
		w.Name("signature")
		w.B = strconv.AppendQuote(w.B, base64.StdEncoding.EncodeToString(e.Signature))
	}
	b, err := w.End()
	return append(b, '\n'), err
}
