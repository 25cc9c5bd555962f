package cluster

import (
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

var errFull = syscall.ENOSPC

func storageError(t *testing.T, n *node) {
	t.Helper()
	why := ended(t, n)
	var e *StorageError
	if !errors.As(why, &e) || e.Dir != n.opts.Dir {
		t.Errorf("%s ended with %v", n.opts.ID, why)
	}
}

func TestADiskThatFailsEndsTheMemberAndNothingAckedIsLost(t *testing.T) {
	for _, at := range []string{"master", "follower"} {
		t.Run("at the "+at, func(t *testing.T) {
			gates := map[string]*gate{}
			g := newGroup(t, 3, func(o *Options) {
				gates[o.ID] = new(gate)
				gates[o.ID].behind(o)
			})
			over := make(chan struct{})
			acked := make([]uint64, 3)
			var posters sync.WaitGroup
			for i, n := range g.nodes {
				posters.Go(func() {
					for ; ; acked[i]++ {
						select {
						case <-over:
							return
						default:
							mustPost(t, n, alerts("bard/"+n.opts.ID, acked[i]+1, 1))
						}
					}
				})
			}
			bad := g.master()
			if at == "follower" {
				bad = g.others(bad)[0]
			}
			gates[bad.opts.ID].fail(errFull)
			storageError(t, bad)
			mustPost(t, g.master(), alerts("bard/meanwhile", 1, 1))
			gates[bad.opts.ID].fail(nil)
			bad.start()
			g.settle()
			close(over)
			posters.Wait()
			g.agree(acked[0] + acked[1] + acked[2] + 1)
		})
	}
}

func TestADiskThatFailsAtTheStartStopsIt(t *testing.T) {
	var g gate
	g.fail(errFull)
	n := newNode(t, "f1", g.behind, func(o *Options) { o.Bootstrap = true })
	_, err := Start(n.again())
	var e *StorageError
	if !errors.As(err, &e) || !errors.Is(err, errFull) {
		t.Fatalf("got %v", err)
	}
	g.fail(nil)
	eventually(t, "it starts when there is room", func() error {
		m, err := Start(n.again())
		if err == nil {
			m.ServeForwarded(n.handler(false), nil)
			n.current.Store(m)
		}
		return err
	})
}

func TestAWriteThatHangsEndsTheMember(t *testing.T) {
	var slow gate
	g := newGroup(t, 1, slow.behind, func(o *Options) { o.TimeScale = 0.2 })
	n := g.nodes[0]
	slow.close()
	go n.member().Post(t.Context(), alerts("bard/a", 1, 1))
	<-slow.held
	var why error
	eventually(t, "it ends", func() error {
		select {
		case why = <-n.member().Ended():
			return nil
		default:
			return errors.New("it goes on")
		}
	})
	var e *StorageError
	if !errors.As(why, &e) {
		t.Errorf("it ended with %v", why)
	}
	slow.open()
}

// idle is a store whose writes do nothing.
type idle struct{ store }

func (idle) StoreLogs([]*raft.Log) error { return nil }

func TestAWriteThatHangsIsSeenBesideOthersThatDoNot(t *testing.T) {
	failed := make(chan error, 100)
	stuck := &gate{store: idle{}, held: make(chan struct{}, 1)}
	stuck.close()
	d := newDisk(stuck, Options{TimeScale: 0.01}, newMetrics(nil), func(err error) {
		select {
		case failed <- err:
		default:
		}
	})
	var running sync.WaitGroup
	running.Go(d.watch)
	running.Go(func() { d.StoreLogs(nil) })
	<-stuck.held
	stop := make(chan struct{})
	running.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				d.write("pass", func() error { return nil })
			}
		}
	})
	select {
	case <-failed:
	case <-time.After(patient):
		t.Error("nothing was said of it")
	}
	close(stop)
	stuck.open()
	d.release()
	running.Wait()
}

func TestAfterAnErrorTheDiskAnswersNothing(t *testing.T) {
	broken := &gate{store: idle{}}
	broken.fail(errFull)
	failed := make(chan error, 1)
	d := newDisk(broken, Options{TimeScale: 1}, newMetrics(nil), func(err error) { failed <- err })
	ended := make(chan bool)
	go func() {
		returned := false
		defer func() { ended <- returned }()
		d.StoreLogs(nil)
		returned = true
	}()
	if err := <-failed; !errors.Is(err, errFull) {
		t.Errorf("it failed with %v", err)
	}
	select {
	case <-ended:
		t.Error("it did not wait for the member to close")
	default:
	}
	d.release()
	if <-ended {
		t.Error("the write came back")
	}
}

// stableCuts is a stable store that a crash can cut off.
type stableCuts struct {
	store
	left int // writes that are done before the crash
}

func (s *stableCuts) cut() bool { s.left--; return s.left < 0 }

func (s *stableCuts) Set(k, v []byte) error {
	if s.cut() {
		return nil
	}
	return s.store.Set(k, v)
}

func (s *stableCuts) SetUint64(k []byte, v uint64) error {
	if s.cut() {
		return nil
	}
	return s.store.SetUint64(k, v)
}

// Raft stores the term of a vote and then its candidate (hashicorp/raft#661).
func TestACrashWithinAVoteLeavesNoOlderCandidate(t *testing.T) {
	for left := range 4 {
		o := Options{ID: "f1", Dir: t.TempDir(), Bootstrap: true, TimeScale: 1, Logger: testLog(t)}
		s, err := openStorage(o, o.Logger, newMetrics(nil), func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		vote := func(term uint64, candidate string) {
			s.disk.SetUint64([]byte(voteTermKey), term)
			s.disk.Set([]byte(voteCandidateKey), []byte(candidate))
		}
		vote(4, "old")
		s.disk.store = &stableCuts{s.disk.store, left}
		vote(5, "new")
		term, err := s.votes.GetUint64([]byte(voteTermKey))
		if err != nil {
			t.Fatal(err)
		}
		candidate, err := s.votes.Get([]byte(voteCandidateKey))
		if err != nil {
			t.Fatal(err)
		}
		if term == 5 && string(candidate) == "old" {
			t.Errorf("cut off after %d writes, the vote of term 5 is for the candidate of term 4", left)
		}
		if left == 3 && (term != 5 || string(candidate) != "new") {
			t.Errorf("the vote is for %q in term %d", candidate, term)
		}
		s.Close()
	}
}
