package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/raftlog"
	"laurel/score"
)

// TestPowerLoss runs this test binary under strace, once for each phase. A phase is a
// process with three members, which kills itself at its end or ends cleanly.
const (
	powerDirEnv   = "LAUREL_POWER_DIR"   // of the members and the marks
	powerStateEnv = "LAUREL_POWER_STATE" // a file with the addresses and counts for the next phase
	powerPhaseEnv = "LAUREL_POWER_PHASE"

	powerMarks   = "marks"
	powerSegment = 16 << 10
	powerPosts   = 500 // at most, by each member, until the process is killed in a write
	powerEntries = 12  // between snapshots
)

// powerState is passed from one phase to the next.
type powerState struct {
	Peers []string `json:"peers"`
	Next  uint64   `json:"next"` // the next seq of the source that posts
}

// powerRun is one phase.
type powerRun struct {
	*group
	marker *marker
	seq    uint64
	path   string
}

// powerOptions are the options of each member.
func powerOptions(o *Options) {
	o.SnapshotEntries = powerEntries
	o.hooks.logBounds = func(b *raftlog.Bounds) { b.Segment = powerSegment }
	o.hooks.raftConfig = func(c *raft.Config) { c.SnapshotInterval = 100 * time.Millisecond }
}

func runPowerPhase(t *testing.T, dir string) {
	file, err := os.OpenFile(filepath.Join(dir, powerMarks), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	r := &powerRun{group: &group{t: t}, marker: &marker{file: file}, path: os.Getenv(powerStateEnv)}
	state := powerState{Next: 1}
	if b, err := os.ReadFile(r.path); err == nil {
		if err := json.Unmarshal(b, &state); err != nil {
			t.Fatal(err)
		}
	}
	r.seq = state.Next
	phase := 0
	fmt.Sscan(os.Getenv(powerPhaseEnv), &phase)
	r.marker.calls.Store(int64(phase) << 32)
	for range 3 {
		n := r.add(powerOptions, func(o *Options) {
			o.Dir = filepath.Join(dir, o.ID)
		})
		if i := len(r.nodes) - 1; i < len(state.Peers) {
			n.opts.Peer = state.Peers[i]
		}
		id, dir := n.opts.ID, n.opts.Dir
		n.opts.hooks.wrapBackend = func(b raftlog.Backend) raftlog.Backend {
			return (&markingStore{b, r.marker, id, dir}).markOpened()
		}
	}
	for _, n := range r.nodes {
		n.start()
	}
	r.settle()
	switch phase {
	case 0:
		r.grow()
	case 1, 2, 3:
		r.stage("after a kill")
		r.posts(3 * powerEntries)
	default:
		r.posts(10)
		r.restarts()
	}
	if phase < len(powerKillList) {
		r.killItself(powerKillList[phase])
	}
	master := r.master()
	revision := master.member().machine.Revision()
	r.agree(revision)
}

func (r *powerRun) stage(name string) { r.marker.mark(powerMark{Kind: markStage, ID: name}) }

// saveState writes the state for the next phase. It knows the seqs of the posts that are
// under way when this process is killed.
func (r *powerRun) saveState() {
	state := powerState{Next: r.seq}
	for _, n := range r.nodes {
		state.Peers = append(state.Peers, n.opts.Peer)
	}
	b, err := json.Marshal(state)
	if err == nil {
		err = os.WriteFile(r.path, b, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// posts posts events of several types, to one member after the other.
func (r *powerRun) posts(count int) {
	r.t.Helper()
	for range count {
		up := r.running()
		r.markAcked(mustPost(r.t, up[int(r.seq)%len(up)], r.next()))
	}
}

// next returns the next post, of one to three events. The first ones define and start a
// contest.
func (r *powerRun) next() score.Post {
	p := score.Post{Mode: score.UntilRefused}
	for range 1 + r.seq%3 {
		e := score.Event{
			ID: fmt.Sprintf("power-%d", r.seq), IDGiven: true, Source: "bard/power", Seq: r.seq,
			Time: time.Now(), ContestID: "OG50BC/final",
		}
		switch {
		case r.seq == 1:
			e.Type, e.Data = score.TypeContestDefine, &score.ContestDefine{
				Kind: score.HeadToHead, Sport: "hockey", Competitors: []score.Entrant{{Code: "GAU"}, {Code: "ROM"}},
			}
		case r.seq == 2:
			e.Type, e.Data = score.TypeContestStatus, &score.ContestStatus{ScheduleStatus: score.Running}
		case r.seq%2 == 0:
			e.Type, e.Data = score.TypeScorePlay, &score.ScorePlay{Competitor: "GAU", Delta: decimal(r.t, "1")}
		default:
			e.Type, e.Data = score.TypeAlert, &score.Alert{Text: fmt.Sprintf("it rains for the %d. time", r.seq)}
		}
		p.Events = append(p.Events, e)
		r.seq++
	}
	return p
}

func (r *powerRun) markAcked(results []score.Result) {
	for _, e := range results {
		r.marker.mark(powerMark{Kind: markAcked, ID: e.ID, From: e.Revision})
	}
}

// grow makes the log long enough for snapshots, full segments and removed ones, lets a
// follower fall behind a snapshot, and changes the master.
func (r *powerRun) grow() {
	r.posts(2 * powerEntries)
	late := r.others(r.master())[0]
	r.stage("a follower stops")
	late.stop()
	behind := r.master().member().raft.LastIndex()
	eventually(r.t, "the log begins after the entries that the follower has", func() error {
		r.posts(powerEntries / 2)
		first, err := r.master().member().storage.Log.FirstIndex()
		if err == nil && first <= behind+1 {
			err = fmt.Errorf("it begins with entry %d", first)
		}
		return err
	})
	r.stage("the follower gets a snapshot")
	late.start()
	r.settle()
	r.agree(r.master().member().machine.Revision())
	r.stage("the master changes")
	r.restarts()
	r.posts(powerEntries)
}

// restarts hands over, and stops and starts the next master.
func (r *powerRun) restarts() {
	master := r.master()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	master.member().HandOver(ctx)
	r.posts(4)
	next := r.master()
	next.stop()
	r.posts(powerEntries)
	next.start()
	r.settle()
	r.posts(4)
}

// killItself kills the process in a write, while all members take posts. A change of the
// master makes them vote.
func (r *powerRun) killItself(kill powerKill) {
	r.stage("before the kill")
	r.posts(2)
	r.saveState()
	var all sync.WaitGroup
	for i, n := range r.nodes {
		all.Go(func() {
			for seq := uint64(1); seq <= powerPosts; seq++ {
				p := alerts(fmt.Sprintf("bard/killed-%d-%d", r.seq, i), seq, 1)
				results, err := n.member().Post(context.Background(), p)
				if err == nil {
					r.markAcked(results)
				}
				if seq == 3 && i == 0 {
					r.marker.kill.Store(&kill)
					all.Go(func() { r.master().member().HandOver(context.Background()) })
				}
			}
		})
	}
	all.Wait()
	syscall.Kill(os.Getpid(), syscall.SIGKILL) // there was no such write
}
