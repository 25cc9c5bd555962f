package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"go.etcd.io/bbolt"

	"laurel/score"
)

// soonSnapshots makes frontends write a snapshot, and drop the log before it, after this
// many entries. At full speed a bard posts hundreds of events in one entry.
const soonSnapshots = "LAUREL_SNAPSHOT_ENTRIES=8"

// answers is the answers of a frontend to many reads: status, headers and body, by path.
type answers map[string]string

// answers reads everything from f that the streams are about: lists, contests, timelines,
// medals, bards. While nothing is posted, any two frontends must give the same answers.
func (f *frontend) answers(all []*stream) answers {
	t := f.group.t
	t.Helper()
	output := answers{}
	keep := func(path string, a answer) {
		output[path] = fmt.Sprintf("revision %s, etag %s, type %s\n%s", a.header.Get("Laurel-Revision"),
			a.header.Get("ETag"), a.header.Get("Content-Type"), a.body)
	}
	list := func(path string) {
		n := 0
		f.pages(t, path, func(a answer) {
			keep(fmt.Sprintf("%s, page %d", path, n), a)
			n++
		})
	}
	competitions := map[string]bool{}
	for _, s := range all {
		keepOne := func(path string, headers ...string) {
			keep(strings.Join(append([]string{path}, headers...), " "), get(t, f.url+path, headers...))
		}
		keepOne("/v1/bards/" + s.truth.Source)
		keepOne("/v1/bards/" + s.truth.Source + "?limit=1000")
		if s.medalsOf != "" {
			keepOne("/v1/medals/" + s.medalsOf)
			keepOne("/v1/medals/"+s.medalsOf, "Accept", "text/plain")
		}
		// Only some of the contests: all of them are in the lists.
		ids := slices.Sorted(maps.Keys(s.truth.Contests))
		for i, id := range ids {
			competitions[score.CompetitionOf(id)] = true
			if i%(len(ids)/20+1) == 0 {
				keepOne("/v1/scores/" + id)
				keepOne("/v1/scores/"+id, "Accept", "text/plain")
				list("/v1/timeline/" + id + "?limit=50")
				list("/v1/startlist/" + id + "?limit=50")
			}
		}
	}
	for c := range competitions {
		list("/v1/scores?limit=30&competition=" + c)
		for _, section := range score.AllSections {
			list(fmt.Sprintf("/v1/scores?limit=30&competition=%s&section=%s", c, section))
		}
	}
	return output
}

// expect compares the answers of f with earlier ones, perhaps of another frontend.
func (want answers) expect(f *frontend, all []*stream) {
	t := f.group.t
	t.Helper()
	got := f.answers(all)
	if len(got) != len(want) {
		t.Errorf("%s gives %d answers; there were %d", f.id, len(got), len(want))
	}
	differ := 0
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got[path] != want[path] {
			if differ++; differ < 4 {
				t.Errorf("%s answers to %s\n%.2000s\nwant\n%.2000s", f.id, path, got[path], want[path])
			}
		}
	}
	if differ > 0 {
		t.Errorf("%s: %d of %d answers differ", f.id, differ, len(want))
	}
}

// expectEverywhere compares the answers of all running frontends, first of the group as
// it is, then from each one's own database.
func (want answers) expectEverywhere(g *group, all []*stream) {
	g.t.Helper()
	for _, f := range g.running() {
		want.expect(f, all)
	}
	for _, f := range g.running() {
		f.becomeMaster()
		want.expect(f, all)
	}
}

// snapshotCount returns the number of snapshots in the frontend's data directory.
func (f *frontend) snapshotCount() int {
	found, _ := filepath.Glob(filepath.Join(f.data, "snapshots", "*", "meta.json"))
	return len(found)
}

// firstEntry returns the index of the oldest entry in the Raft log of a frontend that is
// down.
func (f *frontend) firstEntry(t testing.TB) (index uint64) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(f.data, "wal", "wal-meta.db"), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var log struct{ Segments []struct{ MinIndex uint64 } }
	if err := db.View(func(tx *bbolt.Tx) error {
		return json.Unmarshal(tx.Bucket([]byte("wal-meta")).Get([]byte("m")), &log)
	}); err != nil {
		t.Fatal(err)
	}
	return log.Segments[0].MinIndex
}

func TestAnswersStayTheSameWhenAllAreKilledANewcomerCatchesUpAndTheOldestLeaves(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	all := load(t, fewGames("cricket", "curling", "tokyo2020para")...)
	g := newGroup(t, 3, soonSnapshots)
	awaitBards(t, g.startBards(all, atFullSpeed))
	g.expectRevision(sum(all))
	for _, f := range g.frontends {
		eventually(t, "a snapshot at "+f.id+", and no log before it", func() error {
			a, err := tryGet(f.url + "/metrics")
			if err != nil {
				return err
			}
			last, err1 := gauge(a.body, "laurel_log_index")
			entries, err2 := gauge(a.body, "laurel_log_entries")
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			if n := f.snapshotCount(); n == 0 || entries >= last {
				return fmt.Errorf("%d snapshots, and %v entries up to %v", n, entries, last)
			}
			return nil
		})
	}
	before := g.frontends[0].answers(all)

	for _, f := range g.frontends {
		f.killNoWait()
	}
	for _, f := range g.frontends {
		f.Kill()
	}
	for _, f := range g.frontends {
		if first := f.firstEntry(t); first <= 1 {
			t.Fatalf("the Raft log of %s still begins at %d, so a newcomer could do without a snapshot", f.id, first)
		}
		f.start()
	}
	for _, f := range g.frontends {
		f.waitReady()
	}
	before.expectEverywhere(g, all)

	newcomer := g.add().start()
	newcomer.waitReady()
	// A frontend is ready as soon as it can answer through the master; its own state may
	// not be complete.
	eventually(t, "the newcomer has a snapshot", func() error {
		if newcomer.snapshotCount() == 0 {
			return os.ErrNotExist
		}
		return nil
	})
	before.expectEverywhere(g, all)

	oldest := g.frontends[0]
	oldest.becomeMaster() // the hardest case: the master leaves
	oldest.leave(urls(g.frontends[1:]))
	if code := oldest.exit(t); code != 5 {
		t.Errorf("the frontend that left ended with exit code %d; want 5\n%s", code, oldest.output(t))
	}
	eventually(t, "the others do not see it any more", func() error {
		for _, f := range g.running() {
			if m, err := f.member(oldest.id); err == nil {
				return fmt.Errorf("%s sees %+v", f.id, m)
			}
		}
		return nil
	})
	before.expectEverywhere(g, all)

	more := load(t, "worldcup2026")
	g.frontends = g.frontends[1:]
	awaitBards(t, g.startBards(more, atFullSpeed))
	all = append(all, more...)
	g.expectRevision(sum(all))
	g.expectTruthInEachDatabase(all)
}

func TestAFrontendThatMissedMoreThanTheLogHoldsCatchesUpBySnapshot(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	all := load(t, "cricket", "tokyo2020para")
	g := newGroup(t, 3, soonSnapshots)
	late := g.follower()
	late.Kill()
	awaitBards(t, g.startBards(all, atFullSpeed))
	late.start().waitReady()
	g.expectRevision(sum(all))
	late.becomeMaster()
	for _, s := range all {
		s.expectTruth(t, late)
	}
}
