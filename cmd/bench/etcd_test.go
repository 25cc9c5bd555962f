package main

import (
	"os/exec"
	"testing"
	"time"
)

func TestEtcdHasEveryEventThatItsWritersSayIsAcked(t *testing.T) {
	program, err := exec.LookPath("etcd")
	required(t, err)
	g, err := startEtcd(t.Context(), program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer g.stop()
	for to, n := range map[string]int{toMaster: 1, toAll: 20} {
		list, err := g.writers(t.Context(), newRun(), to, n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := closedLoop(t.Context(), list, shortly(), g.cpu); err != nil {
			t.Fatal(err)
		}
		for _, w := range list {
			if err := verify(t.Context(), g.lastSeq, w.source(), w.lastSeq()); err != nil || w.lastSeq() == 0 {
				t.Errorf("to %s: %d acked, %v", to, w.lastSeq(), err)
			}
		}
		closeAll(list)
	}
}

func TestEveryPutOfManyWritersUnderOneKeyIsCounted(t *testing.T) {
	program, err := exec.LookPath("etcd")
	required(t, err)
	g, err := startEtcd(t.Context(), program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer g.stop()
	targets := map[string]target{}
	if err := g.hotTargets(t.Context(), t.TempDir(), []byte("a value"), targets); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		list, err := targets[etcdLeader].hot(t.Context(), 8)
		if err != nil {
			t.Fatal(err)
		}
		ctx, l := startLoad(t.Context(), list, 400)
		time.Sleep(300 * time.Millisecond)
		if err := l.stop(ctx, g.lastSeq); err != nil || l.acked.Load() < 8 {
			t.Errorf("%d acked, %v", l.acked.Load(), err)
		}
		closeAll(list)
	}
}
