package backup

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// File is what the name of a backup says: laurel-STORE-REVISION-UTC.snap.gz. Each backup has
// a name of its own, so that nothing need be overwritten.
type File struct {
	Store    string // the lineage
	Revision uint64
	Time     time.Time // in UTC, to the second
}

const (
	nameBegin  = "laurel-"
	nameEnd    = ".snap.gz"
	timeLayout = "20060102T150405Z"
)

// Name returns the name of the file.
func (f File) Name() string {
	return fmt.Sprintf("%s%d-%s%s", storeBegin(f.Store), f.Revision, f.Time.UTC().Format(timeLayout), nameEnd)
}

// storeBegin returns the beginning of the names of a store's backups.
func storeBegin(store string) string { return nameBegin + store + "-" }

// parseName returns what a name says. ok is false if it is not the name of a backup.
func parseName(name string) (f File, ok bool) {
	rest, begins := strings.CutPrefix(name, nameBegin)
	rest, ends := strings.CutSuffix(rest, nameEnd)
	parts := strings.Split(rest, "-")
	if !begins || !ends || len(parts) != 3 {
		return f, false
	}
	f.Store = parts[0]
	var err1, err2 error
	f.Revision, err1 = strconv.ParseUint(parts[1], 10, 64)
	f.Time, err2 = time.Parse(timeLayout, parts[2])
	return f, err1 == nil && err2 == nil && f.Name() == name
}

// ofStore returns the backups of a store among names, the newest first.
func ofStore(names []string, store string) (files []File) {
	for _, name := range names {
		if f, ok := parseName(name); ok && f.Store == store {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b File) int { return b.Time.Compare(a.Time) })
	return files
}

// lifeRevisions is more than the revisions that one incarnation of a store gets. A restore and
// a recovery add twice as many, see package incarnation.
const lifeRevisions = 500_000_000

// surplus returns the files that go if keep of a store's files stay. A file goes if keep
// others are newer by their time and not older by their revision. The two differ if a clock
// was wrong, and then nothing that may be the newest is deleted. What was saved before a
// restore or a recovery stays: if that was a mistake, there is nothing else.
func surplus(files []File, keep int) (old []File) {
	for _, f := range files {
		newer := 0
		for _, g := range files {
			if g.Time.After(f.Time) && g.Revision >= f.Revision && g.Revision-f.Revision < lifeRevisions {
				newer++
			}
		}
		if newer >= keep {
			old = append(old, f)
		}
	}
	return old
}
