package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"laurel/cluster/peer"
	"laurel/cluster/raftlog"
	"laurel/cluster/standing"
	"laurel/fsm"
	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/witness"
)

// putOutBy has a node put another one out, because of a verdict.
func (n *node) putOutBy(by *node, v witness.Verdict) {
	by.member().enforcer.Keeper.Weigh(standing.Bench{
		Self: by.opts.ID, Now: time.Now(), Verdicts: append(by.member().Certifier().Verdicts(), v),
		Key: by.member().Access().KeyOf, Culprit: n.opts.ID,
	})
}

// countsPutOut returns the labels of laurel_member_put_out.
func (n *node) countsPutOut() (list string) {
	families, err := n.registry.Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "laurel_member_put_out" {
					list += " " + l.GetValue()
				}
			}
		}
	}
	return strings.TrimSpace(list)
}

func TestAMasterThatIsPutOutIsFollowedNoMoreButSentWhatItMisses(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	bard := g.swornBard("bard/a")
	bard.post(g)
	g.agree(1)
	out := g.master()
	honest := g.others(out)
	for _, n := range honest {
		out.putOutBy(n, witness.Verdict{Fault: witness.Split, Size: 1})
	}
	eventually(t, "another one is the master", func() error {
		for _, n := range honest {
			if n.member().Master() {
				return nil
			}
		}
		return errors.New("none is")
	})
	for range 3 {
		mustPost(t, honest[0], bard.signedPost(score.TypeAlert, &score.Alert{Text: "rain"}))
	}
	eventually(t, "it has what was posted, and no lease", func() error {
		m := out.member()
		if got := m.machine.Revision(); got != bard.seq || m.frontend.State().Lease > 0 || m.Master() {
			return fmt.Errorf("revision %d, lease %v, master %t", got, m.frontend.State().Lease, m.Master())
		}
		return nil
	})
	for _, n := range honest {
		for _, f := range n.member().Frontends().Frontends {
			if (f.ID == out.opts.ID) != (f.PutOut != nil) {
				t.Errorf("%s shows %s put out like this: %+v", n.opts.ID, f.ID, f.PutOut)
			}
		}
		if got := n.countsPutOut(); got != out.opts.ID+" split" {
			t.Errorf("the metric of %s has %q", n.opts.ID, got)
		}
	}
}

func TestAConvictedFrontendIsSpokenWithByNobody(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	bard := g.swornBard("bard/a")
	out := g.others(g.master())[0]
	honest := g.others(out)
	for _, n := range honest {
		out.putOutBy(n, witness.Verdict{Frontend: out.opts.ID, Fault: witness.Convicted})
	}
	eventually(t, "it has no master", func() error {
		if id := out.member().followed(); id != "" {
			return fmt.Errorf("it follows %s", id)
		}
		return nil
	})
	before := out.member().machine.Revision()
	again := honest[0]
	again.stop() // who is convicted stays so, also while the state is rebuilt
	if err := os.Remove(filepath.Join(again.opts.Dir, fsm.File)); err != nil {
		t.Fatal(err)
	}
	again.start()
	for range 3 {
		mustPost(t, again, bard.signedPost(score.TypeAlert, &score.Alert{Text: "rain"}))
	}
	if got := out.member().machine.Revision(); got != before {
		t.Errorf("it has revision %d after %d", got, before)
	}
	for _, n := range honest {
		if err := out.member().port.Call(t.Context(), n.member().Peer(), "GET", "/peer/v1/status", nil, nil); err == nil {
			t.Errorf("%s answers it", n.opts.ID)
		}
	}
}

// mislead gives a node, which is stopped, the entries that another one has and it lacks, but
// with another post in the place of the first one. So a lying master does.
func mislead(t *testing.T, n, like *node, lie score.Post) {
	t.Helper()
	s, err := raftlog.Open(raftlog.Options{
		Dir: n.opts.Dir, ID: n.opts.ID, Logger: testLog(t), Fatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	last, err := s.Log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := entry.EncodePost(lie)
	if err != nil {
		t.Fatal(err)
	}
	lied := false
	for index := last + 1; ; index++ {
		e := new(raft.Log)
		if err := like.member().storage.Log.GetLog(index, e); err != nil {
			break
		}
		if kind, err := entry.Decode(e.Data); !lied && e.Type == raft.LogCommand && err == nil && len(kind.Posts) > 0 {
			e.Data, lied = entry.Encode([]entry.EncodedPost{encoded}), true
		}
		if err := s.Log.StoreLog(e); err != nil {
			t.Fatal(err)
		}
	}
	if !lied {
		t.Fatal("there is no post to replace")
	}
}

func TestAFrontendThatWasMisledGoesBackAndIsCertifiedAgain(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	r := g.reader()
	bard := g.swornBard("bard/a")
	bard.post(g)
	misled := g.others(g.master())[0]
	round := expectProof(t, r, misled, "bards/bard/a", 1).Number
	misled.stop()
	lie := *bard
	mustPost(t, g.master(), bard.signedPost(score.TypeAlert, &score.Alert{Text: "rain"}))
	round = expectProof(t, r, g.master(), "bards/bard/a", round+1).Number
	mislead(t, misled, g.master(), lie.signedPost(score.TypeAlert, &score.Alert{Text: "sun"}))
	misled.start()
	select {
	case err := <-misled.member().Ended():
		if back, ok := errors.AsType[*GoBackError](err); !ok || back.Index == 0 {
			t.Fatalf("it has ended with %v", err)
		}
	case <-time.After(patient):
		t.Fatal("it goes on")
	}
	misled.stop()
	misled.start()
	g.settle()
	bard.post(g)
	g.agree(bard.seq)
	for _, n := range g.nodes {
		expectProof(t, r, n, "bards/bard/a", round+1)
		eventually(t, "nobody is put out", func() error {
			for _, f := range n.member().Frontends().Frontends {
				if f.PutOut != nil {
					return fmt.Errorf("%s: %s is, %+v", n.opts.ID, f.ID, f.PutOut)
				}
			}
			return nil
		})
	}
	eventually(t, "its return is settled", func() error {
		if r := misled.member().storage.Return(); !r.Settled {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}

// What it finds until it ends is in the history that it leaves anyway.
func TestAFrontendThatGoesBackForTwoReasonsBlamesNobody(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	n := g.others(g.master())[0]
	expectProof(t, g.reader(), n, "roster", 1)
	for _, reason := range []string{"one reason", "another one"} {
		err := n.member().enforcer.Unproven(reason)
		if back, ok := errors.AsType[*GoBackError](err); !ok || back.Index == 0 {
			t.Fatalf("because of %s it ends with %v", reason, err)
		}
	}
	for _, f := range n.member().Frontends().Frontends {
		if f.PutOut != nil {
			t.Errorf("%s is put out: %+v", f.ID, f.PutOut)
		}
	}
	n.stop()
	n.start()
	g.settle()
}

func TestAFrontendWhoseMasterRemovesWhatItAppliedGoesBack(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	n := g.others(g.master())[0]
	expectProof(t, g.reader(), n, "roster", 1)
	m := n.member()
	go m.storage.Log.DeleteRange(m.machine.Applied(), entries(m)) // does not return
	if back, ok := errors.AsType[*GoBackError](<-m.Ended()); !ok || back.Index == 0 {
		t.Fatalf("it has ended with %v", back)
	}
	n.stop()
	n.start()
	g.settle()
}

// flipRecord changes a record in the state of a node, which is stopped. The checksums are
// right.
func flipRecord(t *testing.T, n *node, name, key []byte, old, changed string) {
	t.Helper()
	path := filepath.Join(n.opts.Dir, fsm.File)
	db, err := database.Open(path, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(name)
		record, err := database.Unseal(key, bucket.Get(key))
		if err != nil {
			return err
		}
		flipped := bytes.Replace(record, []byte(old), []byte(changed), 1)
		if bytes.Equal(flipped, record) {
			return fmt.Errorf("the record is %s", record)
		}
		return bucket.Put(key, database.Seal(key, flipped))
	})
	if err := errors.Join(err, database.Close(path, db, nil)); err != nil {
		t.Fatal(err)
	}
}

func TestAFrontendWhoseRecordsAreFlippedAtRestGoesBack(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	bard := g.swornBard("bard/a")
	bard.post(g)
	n := g.others(g.master())[0]
	expectProof(t, g.reader(), n, "bards/bard/a", 1)
	n.stop()
	flipRecord(t, n, database.Sources, []byte("bard/a"), `"last_seq":1`, `"last_seq":3`)
	m := n.start()
	select {
	case err := <-m.Ended():
		back, ok := errors.AsType[*GoBackError](err)
		if !ok || back.Index == 0 || !strings.Contains(back.Reason, "bards/bard/a") {
			t.Fatalf("it has ended with %v", err)
		}
	case <-time.After(patient):
		t.Fatal("it goes on")
	}
	n.stop()
	n.start()
	g.settle()
	g.agree(1)
	answer, err := n.member().machine.Answer("bards/bard/a")
	if err != nil || !bytes.Contains(answer, []byte(`"last_seq":1`)) {
		t.Errorf("the answer is %s, %v", answer, err)
	}
}

// A corrupt master can give each of the others another history. Then each hears from all
// that they have another state, which nobody has signed.
func TestWhatVotersSayUnsignedMakesNoFrontendForgetWhatWasCertified(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4, steady)
	r := g.reader()
	bard := g.swornBard("bard/a")
	bard.post(g)
	n := g.others(g.master())[0]
	for _, distrusted := range []bool{false, true} { // the master that makes it go back again
		expectProof(t, r, n, "bards/bard/a", 1)
		master := peer.MemberID(n.member().followed())
		m := n.member()
		m.end(m.diverged("the majority of the voters has another state"))
		if back, ok := errors.AsType[*GoBackError](<-m.Ended()); !ok || back.Index == 0 {
			t.Fatalf("it has ended with %v", back)
		}
		n.stop()
		n.start()
		if err := n.member().enforcer.Keeper.Distrusts(master); (err != nil) != distrusted {
			t.Fatalf("of the master %s: %v", master, err)
		}
	}
}
