package cluster

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/score/mark"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// bardClient is a bard with a key.
type bardClient struct {
	t       *testing.T
	private ed25519.PrivateKey
	lineage string // of the store for which it signs
	source  string
	seq     uint64
}

// newBardClient returns a bard whose key the operator has registered.
func newBardClient(t *testing.T, g *group, source string) *bardClient {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	grant := &access.Grant{ID: score.KeyID(public), Name: source, Role: access.RoleBard, Public: public}
	mustChangeAccess(t, g, access.Change{By: "operator", Grant: grant})
	return &bardClient{t: t, private: private, lineage: g.master().member().Lineage(), source: source}
}

// signedPost returns a signed post of the bard's next event.
func (s *bardClient) signedPost(kind score.Type, data score.Data) score.Post {
	s.t.Helper()
	s.seq++
	p := score.Post{Mode: score.UntilRefused, Events: []score.Event{{
		ID: fmt.Sprintf("%s-%d", s.source, s.seq), IDGiven: true, Source: s.source, Seq: s.seq,
		Type: kind, Time: time.Date(2026, 2, 9, 10, 0, int(s.seq), 0, time.UTC), TimeGiven: true,
		ContestID: "OG50BC/final", Data: data,
	}}}
	if err := signing.Sign(s.private, s.lineage, p.Events); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *bardClient) scorePost(delta string) score.Post {
	d, err := mark.ParseDecimal(delta)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.signedPost(score.TypeScorePlay, &score.ScorePlay{Competitor: "GAU", Delta: &d})
}

// finalRecord returns the record of the final as a member shows it.
func finalRecord(ctx context.Context, m *Member) ([]byte, error) {
	e, _, err := m.Answer(ctx, cache.ScoreKey("OG50BC/final"), "", func(v queries.View) ([]byte, uint64, error) {
		rec, ok, err := v.Contest("OG50BC/final")
		if err != nil || !ok {
			return nil, 0, err
		}
		body, err := queries.Encode(rec)
		return body, rec.Revision, err
	})
	if err != nil {
		return nil, err
	}
	return e.Body, nil
}

// newFinalGroup returns a guarded group in which a bard has posted a final with the score 1.
func newFinalGroup(t *testing.T) (*group, *bardClient) {
	t.Helper()
	g := newGroup(t, 3, func(o *Options) { o.Guarded = true })
	bard := newBardClient(t, g, "bard/cacofonix")
	mustPost(t, g.master(), bard.signedPost(score.TypeContestDefine, &score.ContestDefine{
		Kind: score.HeadToHead, Sport: "hockey", Competitors: []score.Entrant{{Code: "GAU"}, {Code: "ROM"}},
	}))
	running := &score.ContestStatus{ScheduleStatus: score.Running}
	mustPost(t, g.master(), bard.signedPost(score.TypeContestStatus, running))
	mustPost(t, g.master(), bard.scorePost("1"))
	return g, bard
}

// propose appends any post to the log, as only a corrupt master can.
func propose(t *testing.T, g *group, p score.Post) {
	t.Helper()
	encoded, err := entry.EncodePost(p)
	if err != nil {
		t.Fatal(err)
	}
	g.appendEntry(entry.Encode([]entry.EncodedPost{encoded}))
}

func TestHonestFrontendsShowNothingThatACorruptMasterForges(t *testing.T) {
	t.Parallel()
	g, bard := newFinalGroup(t)
	impostor := newBardClient(t, g, "bard/impostor")
	impostor.private = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)) // which nobody registered
	seq := bard.seq
	again := func() *bardClient {
		again := *bard
		again.seq = seq
		return &again
	}
	ten := score.Data(&score.ScorePlay{Competitor: "GAU", Delta: decimal(t, "10")})
	forgeries := map[string]func() score.Post{
		"an event that nobody signed": func() score.Post {
			p := again().scorePost("10")
			p.Events[0].Key, p.Events[0].Signature = "", nil
			return p
		},
		"an event by a token that is none": func() score.Post {
			p := again().scorePost("10")
			p.Events[0].Token, p.Events[0].Key, p.Events[0].Signature = p.Events[0].Key, "", nil
			return p
		},
		"an event altered after it was signed": func() score.Post {
			p := again().scorePost("1")
			p.Events[0].Data = ten
			return p
		},
		"an event about another contest": func() score.Post {
			p := again().scorePost("1")
			p.Events[0].ContestID = "OG50BC/other"
			return p
		},
		"the signature of another event": func() score.Post {
			one, p := again().scorePost("1"), again().scorePost("10")
			p.Events[0].Signature = one.Events[0].Signature
			return p
		},
		"an old event told anew under the next seq": func() score.Post {
			old := again()
			old.seq--
			p := old.scorePost("1")
			p.Events[0].Seq, p.Events[0].ID = seq+1, "anew"
			return p
		},
		"an event that the bard signed for another store": func() score.Post {
			rehearsal := again()
			rehearsal.lineage = "rehearsal"
			return rehearsal.scorePost("10")
		},
		"a key that is not registered": func() score.Post {
			s := *impostor
			return s.scorePost("10")
		},
		"a bard's key for another bard's source": func() score.Post {
			other := newBardClient(t, g, "bard/other")
			other.source, other.seq = bard.source, seq
			return other.scorePost("10")
		},
		"an event out of its order": func() score.Post {
			late := again()
			late.seq++
			return late.scorePost("10")
		},
	}
	for what, forge := range forgeries {
		t.Run(what, func(t *testing.T) {
			propose(t, g, forge())
			for _, n := range g.nodes {
				checkFinal(t, n, `"result":1,`)
			}
		})
	}
	// The signed event of the bard is still accepted, with the seq that the forgeries used.
	mustPost(t, g.master(), bard.scorePost("1"))
	for _, n := range g.nodes {
		checkFinal(t, n, `"result":2,`)
	}
}

// checkFinal checks what a frontend shows of the final. On a busy machine the frontend may have
// no lease for a moment.
func checkFinal(t *testing.T, n *node, want string) {
	t.Helper()
	eventually(t, n.opts.ID+" has a lease", func() error {
		body, err := finalRecord(t.Context(), n.member())
		if errors.Is(err, cache.ErrNotLeased) {
			return err
		}
		if err != nil || !bytes.Contains(body, []byte(want)) {
			t.Errorf("%s shows %s (%v); want %s", n.opts.ID, body, err, want)
		}
		return nil
	})
}

// The master's pushes bypass the log, so their values must not be shown.
func TestHonestFrontendsShowNoScoreThatACorruptMasterPushes(t *testing.T) {
	t.Parallel()
	g, _ := newFinalGroup(t)
	forged := []byte(`{"contest_id":"OG50BC/final","result":99}` + "\n")
	// On a busy machine the master may lose its office, and with it what it has pushed.
	eventually(t, "all have taken in the push of one master", func() error {
		master := g.master()
		for _, n := range g.nodes {
			if _, err := finalRecord(t.Context(), n.member()); err != nil { // now it is held everywhere
				return err
			}
		}
		lead := master.member().leadership()
		if lead == nil {
			return errors.New("the master has lost its office")
		}
		to := master.member().machine.Revision() + 1
		lead.push.Update(func(m *cache.Master, now time.Duration) {
			m.Push([]cache.Record{{Key: cache.ScoreKey("OG50BC/final"), Revision: to, Body: forged}}, nil, to, now)
		})
		if !lead.push.AwaitReleased(t.Context(), to) {
			return fmt.Errorf("revision %d is not released", to)
		}
		for _, n := range g.others(master) {
			// The push names a change that is not in the log, so there is no answer.
			deadline, cancel := context.WithTimeout(t.Context(), time.Second)
			body, err := finalRecord(deadline, n.member())
			cancel()
			e, lease := n.member().Find([]byte(cache.ScoreKey("OG50BC/final")))
			inMemory := e != nil && lease.Visible(e.Revision)
			leads := master.member().leadership() == lead
			if err == nil && (leads || bytes.Equal(body, forged)) {
				t.Errorf("%s shows %s", n.opts.ID, body)
			}
			if inMemory && (leads || bytes.Equal(e.Body, forged)) {
				t.Errorf("%s has %s in memory", n.opts.ID, e.Body)
			}
			if !leads {
				return errors.New("the master has lost its office")
			}
		}
		return nil
	})
}

// Applying it ends a frontend at each start, so no honest one may take it.
func TestACorruptMasterEndsNobodyByAnEntryThatCannotBeParsed(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	r := g.reader()
	bard := g.swornBard("bard/a")
	bard.post(g)
	g.agree(1)
	liar := g.master()
	round := expectProof(t, r, liar, "bards/bard/a", 1).Number
	honest := g.others(liar)
	eventually(t, "the master has such an entry", func() error {
		g.makeMaster(liar) // a busy machine may have taken that away
		if err := liar.member().raft.Apply([]byte{200, 1}, patient).Error(); errors.Is(err, raft.ErrNotLeader) {
			return err
		}
		return nil
	})
	eventually(t, "another one is the master", func() error {
		for _, n := range honest {
			if n.member().Master() {
				return nil
			}
		}
		return errors.New("none is")
	})
	again := honest[0]
	again.stop()
	again.start()
	mustPost(t, again, bard.signedPost(score.TypeAlert, &score.Alert{Text: "rain"}))
	g.agree(bard.seq)
	refused := 0
	for _, n := range honest {
		expectProof(t, r, n, "bards/bard/a", round+1)
		// One may have been sent no such entry before the others left the master, or since it was
		// started again.
		if metric(t, n, "laurel_raft_refused_total", "unreadable") == 0 {
			continue
		}
		refused++
		if got, want := n.countsPutOut(), liar.opts.ID+" unreadable"; got != want {
			t.Errorf("%s has put out %q; want %q", n.opts.ID, got, want)
		}
	}
	if refused == 0 {
		t.Error("nobody counts a refusal")
	}
	for _, n := range g.nodes {
		select {
		case err := <-n.member().Ended():
			t.Errorf("%s has ended: %v", n.opts.ID, err)
		default:
		}
	}
}

func TestAMasterProposesNoEntryThatCannotBeParsed(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	m := g.master().member()
	last := entries(m)
	_, err := m.proposer.propose(t.Context(), []byte{200, 1}, nil)
	if !errors.Is(err, entry.ErrFormat) || entries(m) != last {
		t.Errorf("it was proposed: %v; the log went from %d to %d", err, last, entries(m))
	}
}

func decimal(t *testing.T, s string) *mark.Decimal {
	t.Helper()
	d, err := mark.ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return &d
}
