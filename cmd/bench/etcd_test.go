package main

import (
	"os/exec"
	"testing"
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
