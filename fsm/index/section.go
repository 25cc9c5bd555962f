package index

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"math"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/score"
	"laurel/score/fold"
)

// placeBytes is the length of a place: a number, big-endian.
const placeBytes = 8

// sectionCodes are the first bytes of the values of section terms.
var sectionCodes = map[score.Section]byte{
	score.SectionLive: 'l', score.SectionNext: 'n', score.SectionFinished: 'o',
}

// sectionTerm returns the term by which a contest is in the list of its section. Live and
// next contests are ordered by their start, those without one last; finished ones by
// their last change, the latest first.
func sectionTerm(c *fold.Contest) Term {
	section := score.SectionOf(c.ScheduleStatus)
	place := startPlace(c.Definition.StartTime)
	if section == score.SectionFinished {
		place = ^c.Revision
	}
	return Term{kindSection, string(appendPlace([]byte{sectionCodes[section]}, place))}
}

// startPlace returns a number that sorts times to the second as they follow each other.
func startPlace(start time.Time) uint64 {
	if start.IsZero() {
		return math.MaxUint64
	}
	return uint64(start.Unix()) ^ 1<<63
}

func appendPlace(b []byte, place uint64) []byte { return binary.BigEndian.AppendUint64(b, place) }

// SectionOf returns the section of a contest that has the terms; "" if there is none.
func SectionOf(terms []Term) score.Section {
	for _, t := range terms {
		if t.kind != kindSection {
			continue
		}
		for section, code := range sectionCodes {
			if t.value[0] == code {
				return section
			}
		}
	}
	return ""
}

// Member is a contest in the list of a section. Place is where it stands there: a path
// that can be given to Section.
type Member struct{ ID, Place string }

// Section returns the contests of a section in their order, those behind a place; "" for
// all. A place that no Member has had is before all contests. An error ends the sequence.
func Section(tx *bolt.Tx, section score.Section, after string) iter.Seq2[Member, error] {
	prefix := []byte{kindSection, sectionCodes[section]}
	return func(yield func(Member, error) bool) {
		from := prefix
		if number, id, ok := strings.Cut(after, "/"); ok {
			if place, err := hex.DecodeString(number); err == nil && len(place) == placeBytes {
				from = append(append(append(prefix[:2:2], place...), 0), id+"\x00"...)
			}
		}
		c := tx.Bucket(database.Index).Cursor()
		for k, sealed := c.Seek(from); bytes.HasPrefix(k, prefix); k, sealed = c.Next() {
			_, err := database.Unseal(k, sealed)
			if err == nil && len(k) < len(prefix)+placeBytes+2 {
				err = database.ErrDamaged
			}
			if err != nil {
				yield(Member{}, err)
				return
			}
			place := k[len(prefix):][:placeBytes]
			id := string(k[len(prefix)+placeBytes+1:])
			if !yield(Member{id, hex.EncodeToString(place) + "/" + id}, nil) {
				return
			}
		}
	}
}

// TableTerm returns the term of a medal table that last changed at a revision.
func TableTerm(revision uint64) Term {
	return Term{kindTable, string(appendPlace(nil, ^revision))}
}

// Tables returns the competitions whose medal tables have medals, the last changed first.
// An error ends the sequence.
func Tables(tx *bolt.Tx) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		c := tx.Bucket(database.Index).Cursor()
		for k, sealed := c.Seek([]byte{kindTable}); len(k) > 0 && k[0] == kindTable; k, sealed = c.Next() {
			_, err := database.Unseal(k, sealed)
			if err == nil && len(k) < 1+placeBytes+2 {
				err = database.ErrDamaged
			}
			if err != nil {
				yield("", err)
				return
			}
			if !yield(string(k[1+placeBytes+1:]), nil) {
				return
			}
		}
	}
}

// sectionsKey is the key of the numbers of contests in the Meta bucket. It has no value if
// there is no contest.
var sectionsKey = []byte("sections")

// AddSections adds to the numbers of contests in the sections.
func AddSections(tx *database.Tx, n score.Sections) {
	if n == (score.Sections{}) {
		return
	}
	var stored score.Sections
	tx.GetJSON(database.Meta, sectionsKey, &stored)
	stored.Add(n)
	if stored != (score.Sections{}) {
		tx.PutJSON(database.Meta, sectionsKey, &stored)
	} else { // as if there never was a contest: the transactions may be others elsewhere
		tx.Delete(database.Meta, sectionsKey)
	}
}

// Sections returns the numbers of contests in the sections.
func Sections(tx *bolt.Tx) (n score.Sections, err error) {
	_, err = database.GetJSON(tx.Bucket(database.Meta), sectionsKey, &n)
	return n, err
}
