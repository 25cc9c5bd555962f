package e2e

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
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
	if err := syscall.Mount("tmpfs", f.data, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		skipOrFail(t, "mounting a small disk needs root, or CAP_SYS_ADMIN: %v", err)
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

var ofTheDisk = regexp.MustCompile(`(?i)no space left on device`)

func TestAFrontendWithAFullDiskReportsItAndRecoversWhenThereIsSpace(t *testing.T) {
	fullDisk(t, func(g *group) []*frontend { return []*frontend{g.follower()} })
}

func TestAMasterWithAFullDiskReportsItAndRecoversWhenThereIsSpace(t *testing.T) {
	fullDisk(t, func(g *group) []*frontend { return []*frontend{g.master()} })
}

func TestNothingAckedIsLostWhenTheDisksOfAMajorityAreFull(t *testing.T) {
	fullDisk(t, func(g *group) []*frontend { return []*frontend{g.master(), g.follower()} })
}

// fullDisk fills the disks of some frontends while real Games are posted, and frees the
// space: at once if the others are too few to continue, otherwise when everything was
// posted.
func fullDisk(t *testing.T, choose func(*group) []*frontend) {
	needsProcesses(t)
	t.Parallel()
	all := load(t, fewGames("paris2024", "cricket")...)
	g := &group{t: t, dir: t.TempDir(), logs: logs(t)}
	for range 3 {
		f := g.add()
		f.smallDisk(t, 96)
		f.start().waitReady()
	}
	// Slow enough that the disk is full before the end on any machine, and that not
	// everything is acknowledged by then.
	bards := g.startBards(all, func(s *stream) string {
		return s.speed(byForm(4*time.Second, 8*time.Second,
			8*time.Second))
	})
	eventually(t, "the bards have begun", func() error {
		if g.frontends[0].revision(t) == 0 {
			return errors.New("revision 0")
		}
		return nil
	})
	poor := choose(g)
	var empty []func()
	for _, f := range poor {
		empty = append(empty, f.fill(t))
	}
	for _, f := range poor {
		if code := f.exit(t); code != 4 {
			t.Errorf("%s, whose disk is full, ended with exit code %d; want 4", f.id, code)
		}
		if !ofTheDisk.MatchString(f.output(t)) {
			t.Errorf("%s does not log that its disk is full", f.id)
		}
	}
	goOn := len(g.running()) > len(poor)
	if goOn {
		awaitBards(t, bards)
		for _, f := range g.running() {
			for _, s := range all {
				s.expectTruth(t, f)
			}
		}
	}
	for i, f := range poor {
		empty[i]()
		f.start()
	}
	for _, f := range poor {
		f.waitReady()
	}
	if !goOn {
		awaitBards(t, bards)
	}
	g.expectRevision(sum(all))
	g.expectTruthInEachDatabase(all)
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
