package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/cluster/batch"
	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/score"
)

// poisoned returns an entry, not checked, with an event that is too large for the keys of the database.
func poisoned(t *testing.T) (post entry.EncodedPost) {
	t.Helper()
	p := score.Post{Events: []score.Event{{
		ID: "p", Source: "bard/p", Seq: 1, Type: score.TypeMedalAward, Time: alerts("bard/p", 1, 1).Events[0].Time,
		ContestID: "OG50BC/final",
		Data:      &score.MedalAward{AwardID: strings.Repeat("x", 33_000), Medal: score.Gold, Organisation: "GAU"},
	}}}
	encoded, err := entry.EncodePost(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := entry.ParsePost(encoded.Bytes()); err == nil {
		t.Fatal("the poison may come from another frontend")
	}
	return encoded
}

func TestPoisonedEntryIsRefusedAndTheGroupGoesOn(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.nodes[0], alerts("bard/a", 1, 3))
	poison, master := poisoned(t), g.master()
	// Forwarded by another member, it is not appended to the log.
	last := master.member().raft.LastIndex()
	body := append(binary.AppendUvarint([]byte{0}, uint64(poison.Size())), poison.Bytes()...)
	var answers []batch.Outcome
	err := g.others(master)[0].member().port.Call(
		t.Context(), master.member().Peer(), http.MethodPost, postsPath, bytes.NewReader(body), &answers)
	if err == nil || len(answers) > 0 || master.member().raft.LastIndex() != last {
		t.Errorf("a poisoned post was answered with %v, %v; the log went from %d to %d",
			answers, err, last, master.member().raft.LastIndex())
	}
	response := g.appendEntry(entry.Encode([]entry.EncodedPost{poison}))
	outcome, ok := response.(fsm.Outcome)
	if !ok || len(outcome) != 1 || len(outcome[0]) != 1 ||
		outcome[0][0].Problem == nil || outcome[0][0].Problem.Field != "data.award_id" {
		t.Errorf("got %+v; want it refused for its award_id", response)
	}
	mustPost(t, g.nodes[1], alerts("bard/a", 4, 1))
	g.agree(4)
	for _, n := range g.nodes {
		n.stop()
	}
	for _, n := range g.nodes {
		n.start()
	}
	g.settle()
	mustPost(t, g.nodes[2], alerts("bard/a", 5, 1))
	g.agree(5)
}

// An entry of a newer version is not a fault of the disk.
func TestUnreadableEntryIsNotAStorageError(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	n := g.nodes[0]
	mustPost(t, n, alerts("bard/a", 1, 1))
	newer := protowire.AppendVarint([]byte{200}, 1)
	n.member().raft.Apply(newer, patient)
	var why error
	eventually(t, "it ends", func() error {
		select {
		case why = <-n.member().Ended():
			return nil
		default:
			return errors.New("it goes on")
		}
	})
	var later *FormatError
	var storage *StorageError
	if !errors.As(why, &later) || later.Format != 198 || errors.As(why, &storage) || !strings.Contains(later.What, "log entry ") {
		t.Errorf("it ended with %v", why)
	}
	if err := n.current.Swap(nil).Close(); errors.As(err, &storage) {
		t.Errorf("closing told %v", err)
	}
}
