package status

import (
	"log/slog"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/score"
)

// The master writes the next entry meanwhile.
func TestEntriesAreReportedAsCommittedBeforeTheyAreApplied(t *testing.T) {
	t.Parallel()
	machine, err := fsm.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	post, err := entry.EncodePost(score.Post{Events: []score.Event{{
		ID: "x-1", Source: "bard/x", Seq: 1, Type: score.TypeAlert, Time: time.Now(), ContestID: "OG50BC/rain",
		Data: &score.Alert{Text: "rain"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	var applied []uint64 // by the calls of Committed
	f := FSM{
		Raft:      fsm.NewRaft(machine, func(err error) { t.Error(err) }),
		Committed: func() { applied = append(applied, machine.Applied()) },
	}
	const entries = 2
	for index := range uint64(entries) {
		data := entry.Encode([]entry.EncodedPost{post})
		f.ApplyBatch([]*raft.Log{{Index: index + 1, Term: 1, Type: raft.LogCommand, Data: data}})
		if n := len(applied); n != int(index)+1 || applied[index] != index || machine.Applied() != index+1 {
			t.Errorf("entry %d: when it was reported, %v had been applied; now %d", index+1, applied, machine.Applied())
		}
	}
}
