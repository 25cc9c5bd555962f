package e2e

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a small file system for the frontend's data.
func (f *frontend) smallDisk(t testing.TB, megabytes int) {
	t.Helper()
	if err := os.MkdirAll(f.data, 0o755); err != nil {
		t.Fatal(err)
	}
	if !f.loopDisk(t, megabytes) {
		if err := syscall.Mount("tmpfs", f.data, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
			skipOrFail(t, "mounting a small disk needs root, or CAP_SYS_ADMIN: %v", err)
		}
	}
	t.Cleanup(func() {
		if f.process != nil {
			f.Kill()
		}
		if err := syscall.Unmount(f.data, 0); err != nil {
			t.Errorf("unmounting %s: %v", f.data, err)
		}
	})
}

// loopDisk mounts a file with ext4, which has a journal as the disks of frontends have. It
// returns false where that is not possible.
func (f *frontend) loopDisk(t testing.TB, megabytes int) bool {
	t.Helper()
	image := f.data + ".img"
	file, err := os.Create(image)
	if err == nil {
		err = errors.Join(file.Truncate(int64(megabytes)<<20), file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, f.data}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Logf("a disk of %s is in memory: %v: %v %s", f.id, args, err, out)
			return false
		}
	}
	return true
}

// fill fills the frontend's disk, and returns a function that frees the space.
func (f *frontend) fill(t testing.TB) (empty func()) {
	t.Helper()
	ballast := filepath.Join(f.data, "ballast")
	b, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := io.Copy(b, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk of %s: %v", f.id, err)
	}
	return func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
}

// zeros is an endless reader of zeros.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// fullDisk is the size of the disks that are filled, in megabytes: it has the room that
// posts need, and what is kept aside.
const fullDisk = 256

func TestAFrontendWithAFullDiskGoesOnWithTheGroup(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g, all, bards := groupOnSmallDisks(t)
	poor := g.master()
	empty := poor.fill(t)
	awaitBards(t, bards)
	for _, f := range g.running() {
		for _, s := range all {
			s.expectTruth(t, f)
		}
	}
	eventually(t, poor.id+" logs that its disk is full", func() error {
		if !strings.Contains(poor.output(t), "the disk has too little room for posts") {
			return errors.New("it has not")
		}
		return nil
	})
	empty()
	g.expectRevision(sum(all))
	g.expectTruthInEachDatabase(all)
}

// TestAGroupWithFullDisksRefusesPostsReadsOnAndStartsAgain fills the disks of all frontends
// while real Games are posted, kills them, starts them again, and frees the room.
func TestAGroupWithFullDisksRefusesPostsReadsOnAndStartsAgain(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g, all, bards := groupOnSmallDisks(t)
	var empty []func()
	for _, f := range g.frontends {
		empty = append(empty, f.fill(t))
	}
	g.expectNoSpace()
	before := g.master().revision(t)
	for _, f := range g.frontends {
		f.Kill()
	}
	for _, f := range g.frontends {
		f.start()
	}
	for _, f := range g.frontends {
		f.waitReady()
	}
	g.expectNoSpace()
	if got := g.master().revision(t); got != before {
		t.Errorf("revision %d after the kill; want %d as before", got, before)
	}
	for _, empty := range empty {
		empty()
	}
	awaitBards(t, bards)
	g.expectRevision(sum(all))
	g.expectTruthInEachDatabase(all)
}

// groupOnSmallDisks returns a group whose frontends have small disks, and bards that have
// begun to post, slowly enough that the disks are full before they end.
func groupOnSmallDisks(t *testing.T) (g *group, all []*stream, bards []*process) {
	all = load(t, fewGames("paris2024", "cricket")...)
	g = &group{t: t, dir: t.TempDir(), logs: logs(t)}
	for range 3 {
		f := g.add()
		f.smallDisk(t, fullDisk)
		f.start().waitReady()
	}
	bards = g.startBards(all, func(s *stream) string { return s.speed(byForm(4*time.Second, 8*time.Second, 8*time.Second)) })
	eventually(t, "the bards have begun", func() error {
		if g.frontends[0].revision(t) == 0 {
			return errors.New("revision 0")
		}
		return nil
	})
	return g, all, bards
}

// unknownContest is an event that changes nothing if it is not refused for lack of room.
const unknownContest = `{"type":"contest.status","contest_id":"OG50BC/NOWHERE","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`

// expectNoSpace waits until each frontend refuses posts for lack of room, and expects all
// to run and to answer reads.
func (g *group) expectNoSpace() {
	g.t.Helper()
	for _, f := range g.frontends {
		eventually(g.t, f.id+" refuses posts", func() error {
			a, err := ask("POST", f.url+"/v1/events", unknownContest, "Content-Type", "application/json")
			if err == nil && (a.status != http.StatusInsufficientStorage || !strings.Contains(a.body, `"no_space"`) ||
				a.header.Get("Retry-After") == "") {
				err = fmt.Errorf("a post was answered with %d %s, Retry-After %q", a.status, a.body, a.header.Get("Retry-After"))
			}
			return err
		})
	}
	if running := g.running(); len(running) != len(g.frontends) {
		g.t.Fatalf("%d of %d frontends are left", len(running), len(g.frontends))
	}
	for _, f := range g.frontends {
		f.revision(g.t)
	}
}

// revision returns the revision of the store according to f.
func (f *frontend) revision(t testing.TB) (n uint64) {
	t.Helper()
	a := get(t, f.url+"/v1/scores?limit=1")
	if _, err := fmt.Sscan(a.header.Get("Laurel-Revision"), &n); err != nil {
		t.Fatalf("Laurel-Revision %q: %v", a.header.Get("Laurel-Revision"), err)
	}
	return n
}

func TestADamagedDatabaseIsRebuiltFromSnapshotAndLog(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	all := load(t, fewGames("cricket", "tokyo2020para")...)
	g := newGroup(t, 3, soonSnapshots)
	awaitBards(t, g.startBards(all, atFullSpeed))
	g.expectRevision(sum(all))
	before := g.frontends[0].answers(all)

	const page = 4096
	for _, damage := range []struct {
		what string
		stop func(f *frontend)
		do   func(t testing.TB, file *os.File, size int64)
	}{
		{"its first pages are zeros", (*frontend).stop,
			func(t testing.TB, file *os.File, size int64) { write(t, file, 0, make([]byte, 4*page)) }},
		{"its second half is cut off", (*frontend).stop, func(t testing.TB, file *os.File, size int64) {
			if err := file.Truncate(size / 2); err != nil {
				t.Fatal(err)
			}
		}},
		{"its pages are noise but for the first two", (*frontend).stop, func(t testing.TB, file *os.File, size int64) {
			noise := make([]byte, size-2*page)
			_, _ = rand.Read(noise) // never fails
			write(t, file, 2*page, noise)
		}},
		{"it is empty, after SIGKILL", (*frontend).Kill, func(t testing.TB, file *os.File, size int64) {
			if err := file.Truncate(0); err != nil {
				t.Fatal(err)
			}
		}},
		{"its first pages are noise, after SIGKILL", (*frontend).Kill, func(t testing.TB, file *os.File, size int64) {
			noise := make([]byte, 2*page)
			_, _ = rand.Read(noise) // never fails
			write(t, file, 0, noise)
		}},
	} {
		f := g.follower()
		t.Logf("%s: %s", f.id, damage.what)
		damage.stop(f)
		file, err := os.OpenFile(filepath.Join(f.data, "state.db"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		size, err := file.Seek(0, io.SeekEnd)
		if err != nil {
			t.Fatal(err)
		}
		damage.do(t, file, size)
		file.Close()
		f.start().waitReady()
		if !regexp.MustCompile(`will be rebuilt`).MatchString(f.output(t)) {
			t.Errorf("%s does not log that it rebuilds its database", f.id)
		}
		g.expectRevision(sum(all))
		f.becomeMaster()
		before.expect(f, all)
	}
}

func write(t testing.TB, file *os.File, at int64, b []byte) {
	t.Helper()
	if _, err := file.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

func TestAFrontendWhoseDirectoryContradictsTheGroupExplainsWhatToDo(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 1)
	f := g.frontends[0]
	apply(t, f, define)
	f.stop()
	if err := os.Remove(filepath.Join(f.data, "raft.db")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if code := f.start().exit(t); code != 6 {
			t.Errorf("without its vote it ended with exit code %d; want 6", code)
		}
		if output := f.output(t); !strings.Contains(output, "leave the group, empty the directory and join again") ||
			!strings.Contains(output, f.data) {
			t.Errorf("it does not explain what to do with which directory: %s", output)
		}
	}
}

// TestASwornGroupStartsAgainOnAFullDisk has four frontends on one disk, which others fill.
func TestASwornGroupStartsAgainOnAFullDisk(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	shared := &frontend{id: "all", data: t.TempDir()}
	shared.smallDisk(t, 2*fullDisk)
	g := swear(&group{t: t, dir: shared.data, logs: logs(t)})
	t.Cleanup(func() {
		for _, f := range g.frontends {
			f.Kill()
		}
	})
	revision := g.master().revision(t)
	empty := shared.fill(t)
	g.awaitRoom(0)
	for _, f := range g.frontends {
		f.Kill()
	}
	for _, f := range g.frontends {
		f.start()
	}
	for _, f := range g.frontends {
		f.waitReady()
	}
	g.awaitRoom(0)
	for _, f := range g.frontends {
		if got := f.revision(t); got != revision {
			t.Errorf("%s has revision %d; want %d", f.id, got, revision)
		}
	}
	empty()
	g.awaitRoom(1)
}

// awaitRoom waits until all frontends report whether they have room for posts.
func (g *group) awaitRoom(want int) {
	g.t.Helper()
	for _, f := range g.frontends {
		eventually(g.t, f.id+" reports its room", func() error {
			if f.Ended() {
				g.t.Fatalf("%s has ended", f.id)
			}
			a, err := ask("GET", f.url+"/metrics", "")
			if err == nil && !strings.Contains(a.body, fmt.Sprint("\nlaurel_disk_room ", want, "\n")) {
				err = fmt.Errorf("laurel_disk_room is not %d", want)
			}
			return err
		})
	}
}
