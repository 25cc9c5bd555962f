package fsm

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"laurel/witness"
)

// sums has a machine note the SHA-256 of its snapshot at each seal of a round whose number is
// a multiple of every.
func (m *Machine) sums(t tester, every uint64) map[witness.Head]witness.Hash {
	sums := map[witness.Head]witness.Hash{}
	m.AtRounds(every, func(round witness.Head, s *Snapshot) {
		defer s.Release()
		var b bytes.Buffer
		if err := s.Write(&b); err != nil {
			t.Fatal(err)
		}
		sums[round] = sha256.Sum256(b.Bytes())
	})
	return sums
}

// However entries come, are committed and are read again, and whether a frontend has begun
// with a snapshot: at a seal all have the same state, byte for byte.
func TestAllCopiesOfALogHaveTheSameSnapshotAtEachRound(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		h := newSwornHistory(rt, root)
		defer func() { h.end() }()
		rt.Repeat(map[string]func(*rapid.T){
			"post 1": h.post, "post 2": h.post, "seal": h.seal, "change": h.change, "restore": h.restore, "kill": h.kill,
		})
		h.seal(rt)
		var machines []*Machine
		defer func() {
			for _, m := range machines {
				m.Close()
			}
		}()
		open := func() *Machine {
			m := openMachine(rt, h.newDir(rt))
			machines = append(machines, m)
			return m
		}
		apply := func(m *Machine, entries []Entry) {
			if len(entries) > 0 {
				if _, err := m.Apply(entries, entries[len(entries)-1].Index); err != nil {
					rt.Fatal(err)
				}
			}
		}
		atOnce, forgetful, restored := open(), open(), open()
		want := atOnce.sums(rt, 1)
		apply(atOnce, h.log)
		if len(want) != len(h.heads) {
			rt.Fatalf("there are snapshots of %d of %d rounds", len(want), len(h.heads))
		}
		again := forgetful.sums(rt, 1)
		for i := range h.log {
			apply(forgetful, h.log[i:i+1])
			forgetful.forget(rt)
		}
		if !maps.Equal(again, want) {
			rt.Fatalf("who reads its records again has %x, want %x", again, want)
		}
		half := rapid.IntRange(1, len(h.log)).Draw(rt, "restored at")
		before := open()
		apply(before, h.log[:half])
		if err := restored.Restore(bytes.NewReader(snapshotOf(rt, before))); err != nil {
			rt.Fatal(err)
		}
		later := restored.sums(rt, 1)
		apply(restored, h.log[half:])
		for round, sum := range later {
			if want[round] != sum {
				rt.Fatalf("who began with a snapshot has %x at round %d, want %x", sum, round.Size, want[round])
			}
		}
	})
}

func TestSnapshotsAreTakenAtTheRoundsOfAPeriodOnly(t *testing.T) {
	m := newSwornMachine(t)
	sums := m.sums(t, 3)
	for number := range uint64(7) {
		sealNow(t, m, number+1)
		sealNow(t, m, number+1) // which makes no round
	}
	for _, head := range m.Rounds().Heads(1) {
		if _, taken := sums[head]; taken != (head.Size%3 == 0) {
			t.Errorf("a snapshot at round %d: %t", head.Size, taken)
		}
	}
	if len(sums) != 2 {
		t.Errorf("there are snapshots of %d rounds", len(sums))
	}
}
