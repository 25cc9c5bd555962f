package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"
)

// The environment of TestPowerLoss. A failed run keeps its recording and prints how to
// repeat the cut that failed.
const (
	powerTraceEnv = "LAUREL_POWER_TRACE" // the directory of a recording to use
	powerCutEnv   = "LAUREL_POWER_CUT"   // the only cut to make
	powerCutsEnv  = "LAUREL_POWER_CUTS"  // how many to make

	powerCuts     = 20
	powerCutsFull = 300  // with LAUREL_CI=full
	powerCutsLong = 1000 // with LAUREL_LONG=1
)

// TestPowerLoss records three members under strace while they take posts and snapshots,
// change the master, and are stopped and killed. From the recording it computes disks as
// a loss of power can leave them: changes that were not synced are there, or not, or in
// part, in any order. It opens each disk as a frontend does. The disk must open, with
// everything that its member has relied on; the state must be that of the log; and every
// event acked to a client must be on two of three disks.
func TestPowerLoss(t *testing.T) {
	if dir := os.Getenv(powerDirEnv); dir != "" {
		runPowerPhase(t, dir)
		return
	}
	if testing.Short() {
		t.Skip("it runs processes")
	}
	t.Parallel()
	dir, live := os.Getenv(powerTraceEnv), false
	if dir == "" {
		dir, live = recordPower(t), true
	}
	r, err := readPower(dir)
	if err != nil {
		t.Fatalf("read the recording in %s: %v", dir, err)
	}
	reference, err := newPowerReference(t, r)
	if err != nil {
		t.Fatalf("replay the log of the recording in %s: %v", dir, err)
	}
	t.Logf("recorded %d operations on %d kinds of files, %d marks, %d entries, %d acked events",
		r.disk.last, len(r.kinds), len(r.marks), len(reference.log), len(reference.acked))
	for _, id := range []string{"f1", "f2", "f3"} {
		if err := errors.Join(r.checkNames(id), r.checkSynced(id)); err != nil {
			t.Error(err)
		}
	}
	first, count := 0, powerCuts
	switch {
	case os.Getenv("LAUREL_LONG") != "":
		count = powerCutsLong
	case os.Getenv("LAUREL_CI") == "full":
		count = powerCutsFull
	}
	if s := os.Getenv(powerCutsEnv); s != "" {
		count, _ = strconv.Atoi(s)
	}
	if s := os.Getenv(powerCutEnv); s != "" {
		first, _ = strconv.Atoi(s)
		count = 1
	}
	next, failed := atomic.Int64{}, atomic.Int64{}
	next.Store(int64(first))
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for n := int(next.Add(1) - 1); n < first+count && failed.Load() < 10; n = int(next.Add(1) - 1) {
				if err := reference.check(r, n, powerTemp(t)); err != nil {
					failed.Add(1)
					t.Errorf("cut %d: %v\n"+
						"to repeat it: %s=%s %s=%d go test ./cluster -run '^TestPowerLoss$' -count=1 -v",
						n, err, powerTraceEnv, dir, powerCutEnv, n)
				}
			}
		})
	}
	workers.Wait()
	if live && !t.Failed() {
		os.RemoveAll(dir)
	}
}

// powerTemp returns a new directory, in memory if possible, because there are many disks.
func powerTemp(t *testing.T) string {
	if dir, err := os.MkdirTemp("/dev/shm", "laurel-power-"); err == nil {
		return dir
	}
	dir, err := os.MkdirTemp("", "laurel-power-")
	if err != nil {
		t.Error(err)
	}
	return dir
}

func phaseFile(dir string, phase int) string {
	return filepath.Join(dir, fmt.Sprintf("phase-%d", phase))
}

// recordPower runs the phases under strace and returns the directory of the recording.
func recordPower(t *testing.T) (dir string) {
	t.Helper()
	skip := func(format string, args ...any) {
		t.Helper()
		if os.Getenv("LAUREL_CI") == "full" {
			t.Fatalf("LAUREL_CI=full: "+format, args...)
		}
		t.Skipf(format, args...)
	}
	if runtime.GOOS != "linux" || strings.Contains(runtime.GOARCH, "386") {
		skip("it records system calls as Linux has them with 64 bits")
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		skip("it records with strace: %v", err)
	}
	out, err := exec.Command(strace, "-f", "--seccomp-bpf", "-e", "trace=fsync", "true").CombinedOutput()
	if err != nil {
		skip("strace does not work here: %v: %s", err, out)
	}
	dir, err = os.MkdirTemp("", "laurel-power-loss-")
	if err != nil {
		t.Fatal(err)
	}
	members, temp := filepath.Join(dir, "members"), filepath.Join(dir, "tmp")
	if err := errors.Join(os.Mkdir(members, 0o700), os.Mkdir(temp, 0o700)); err != nil {
		t.Fatal(err)
	}
	for phase := range len(powerKillList) + 1 {
		args := []string{
			"-f", "--seccomp-bpf", "-qq", "-xx", "-s", strconv.Itoa(16 << 20),
			"-e", "signal=none", "-e", "trace=" + tracedCalls, "-o", phaseFile(dir, phase),
			os.Args[0], "-test.run=^TestPowerLoss$", "-test.timeout=2m",
		}
		run := exec.CommandContext(t.Context(), strace, args...)
		run.Env = append(os.Environ(), powerDirEnv+"="+members, powerStateEnv+"="+filepath.Join(dir, "state"),
			powerPhaseEnv+"="+strconv.Itoa(phase), "TMPDIR="+temp, "LAUREL_CI=")
		out, err := run.CombinedOutput()
		killed := phase < len(powerKillList)
		if killed && strings.Contains(string(out), "FAIL") || !killed && err != nil {
			t.Fatalf("phase %d: %v\n%s", phase, err, out)
		}
		if err := settlePhase(dir, phase); err != nil {
			t.Fatalf("phase %d: %v; the recording is in %s", phase, err, dir)
		}
	}
	return dir
}

// settlePhase completes the recording of a phase that has just ended, and checks that the
// recording explains every byte of the directories.
func settlePhase(dir string, phase int) error {
	r := newPowerRecording(dir)
	if err := r.readPhases(dir, phase+1); err != nil {
		return err
	}
	lines, err := r.trace.settle()
	for _, line := range lines {
		r.disk.last++
		err = errors.Join(err, r.trace.line(line))
	}
	if err == nil {
		err = r.disk.compare(powerMarks)
	}
	if err != nil || len(lines) == 0 {
		return err
	}
	f, err := os.OpenFile(phaseFile(dir, phase), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
	return errors.Join(err, f.Close())
}

// powerRecording is the operations of all phases, and the marks of their members.
type powerRecording struct {
	disk   *recordedDisk
	trace  *powerTrace
	marks  []powerMark
	begins []int // of the phases
	kinds  []string
	syncs  map[string][][]int // when fsyncs began, by kind of file and file
}

func newPowerRecording(dir string) *powerRecording {
	r := &powerRecording{disk: newRecordedDisk(filepath.Join(dir, "members"))}
	r.trace = &powerTrace{disk: r.disk, marks: powerMarks, onMark: func(at int, line []byte) error {
		var m powerMark
		if err := json.Unmarshal(bytes.TrimSpace(line), &m); err != nil {
			return err
		}
		m.at = at
		r.marks = append(r.marks, m)
		return nil
	}}
	return r
}

func (r *powerRecording) readPhases(dir string, count int) error {
	for phase := range count {
		f, err := os.Open(phaseFile(dir, phase))
		if err != nil {
			return err
		}
		r.begins = append(r.begins, r.disk.last)
		err = r.trace.read(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("phase %d: %w", phase, err)
		}
	}
	return nil
}

// readPower reads a recording.
func readPower(dir string) (*powerRecording, error) {
	r := newPowerRecording(dir)
	err := r.readPhases(dir, len(powerKillList)+1)
	r.syncs = map[string][][]int{}
	seen := map[*inode]bool{}
	var look func(p *inode)
	look = func(p *inode) {
		for _, c := range p.changes {
			if in := c.newInode; in != nil && !seen[in] {
				seen[in] = true
				look(in)
			}
		}
		var begins []int
		for _, s := range p.syncs {
			begins = append(begins, s.begin)
		}
		if kind := digits.ReplaceAllString(filepath.Base(p.path), "0"); len(begins) > 0 {
			r.syncs[kind] = append(r.syncs[kind], begins)
		}
	}
	look(r.disk.root)
	r.kinds = slices.Sorted(maps.Keys(r.syncs))
	return r, err
}

// digits matches the part of a file name that differs between files of one kind.
var digits = regexp.MustCompile("[0-9a-f]*[0-9]+[0-9a-f]*")

// openTimes returns the times at which members had opened their logs.
func (r *powerRecording) openTimes() (at []int) {
	for _, m := range r.marks {
		if m.Kind == markOpened || m.Kind == markHolds && m.Key == voteTermKey {
			at = append(at, m.at)
		}
	}
	return at
}

// checkNames checks that the names of a member's files and directories are on the disk
// before Raft stores anything, and that the vote file got its name when it was complete.
func (r *powerRecording) checkNames(id string) error {
	for _, c := range r.disk.root.names[id].changes {
		if c.named != voteFile {
			continue
		}
		if certain, open := c.newInode.changesAt(c.begin); len(certain) == 0 || len(open) > 0 {
			return fmt.Errorf("%s of %s has its name and is not complete on the disk", voteFile, id)
		}
	}
	for _, m := range r.marks {
		if m.Member != id || m.Kind != markSetting && m.Kind != markStoring {
			continue
		}
		disk := &powerCut{at: m.at, fixed: lossAll}
		in := disk.names(r.disk.root)[id]
		if in == nil {
			return fmt.Errorf("the directory of %s is not on the disk when it first stores something", id)
		}
		names := disk.names(in)
		for _, name := range []string{identityFile, voteFile, logDir, snapshotDir} {
			if names[name] == nil {
				return fmt.Errorf("%s has no %s on the disk when it first stores something", id, name)
			}
		}
		break
	}
	return nil
}

// checkSynced checks that in each phase a member syncs the data that the phase before may
// have left in the kernel, before it stores anything itself: from then on it may have
// acknowledged that data.
func (r *powerRecording) checkSynced(id string) error {
	root := r.disk.root.names[id]
	log := root.names[logDir]
	for phase, begin := range r.begins[1:] {
		first := slices.IndexFunc(r.marks, func(m powerMark) bool {
			return m.at > begin && m.Member == id && (m.Kind == markStoring || m.Kind == markSetting)
		})
		end := r.marks[first].at
		for what, syncs := range map[string][]span{
			"its vote":                 root.names[voteFile].syncs,
			"its list of segments":     log.names["wal-meta.db"].syncs,
			"its log's directory":      log.syncs,
			"its snapshots' directory": root.names[snapshotDir].syncs,
			"its directory":            root.syncs,
		} {
			if !slices.ContainsFunc(syncs, func(s span) bool { return s.begin > begin && s.end < end }) {
				return fmt.Errorf("%s has not synced %s when it first stores something in phase %d", id, what, phase+1)
			}
		}
		if name := log.unsynced(begin, end); name != "" {
			return fmt.Errorf("%s has not synced the segment %s when it first stores something in phase %d",
				id, name, phase+1)
		}
	}
	return nil
}

// unsynced returns the name of a segment that a directory has at a time, with changes of
// before that are not certain to be on the disk at end; "" if there is none. A kill can
// come between raft-wal's list of segments and the new segment that the list has, and so
// leave no segment that needs a sync: the one before it was synced when it became full.
func (p *inode) unsynced(before, end int) string {
	for name, in := range (&powerCut{at: end, fixed: lossNone}).names(p) {
		if !strings.HasSuffix(name, ".wal") {
			continue
		}
		_, pending := in.changesAt(end)
		if slices.ContainsFunc(pending, func(c diskChange) bool { return c.begin <= before }) {
			return name
		}
	}
	return ""
}

func TestOnlySegmentsOfBeforeAKillNeedASync(t *testing.T) {
	const killed, stores = 20, 40
	file := func(wrote int, syncs ...span) *inode {
		return &inode{changes: []diskChange{{span: span{wrote, wrote}, data: []byte("x")}}, syncs: syncs}
	}
	for what, c := range map[string]struct {
		name string
		in   *inode
		bad  bool
	}{
		"synced before the kill":            {"1.wal", file(10, span{11, 12}), false},
		"not synced":                        {"1.wal", file(10), true},
		"synced by a call before the write": {"1.wal", file(10, span{9, 12}), true},
		"synced after the kill":             {"1.wal", file(10, span{21, 22}), false},
		"synced too late":                   {"1.wal", file(10, span{30, 41}), true},
		"made after the kill":               {"1.wal", file(25), false},
		"no segment":                        {"other", file(10), false},
	} {
		log := &inode{dir: true, names: map[string]*inode{}}
		log.add(span{5, 5}, c.name, c.in)
		if got := log.unsynced(killed, stores); (got != "") != c.bad {
			t.Errorf("%s: %q is not synced; want one: %t", what, got, c.bad)
		}
		log.remove(span{35, 35}, c.name)
		if got := log.unsynced(killed, stores); got != "" {
			t.Errorf("%s: %q is removed and needs no sync", what, got)
		}
	}
}
