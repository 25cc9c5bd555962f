package cluster

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// singer is a bard with a key.
type singer struct {
	t       *testing.T
	private ed25519.PrivateKey
	source  string
	seq     uint64
}

// newSinger makes a bard and has the operator register its key.
func newSinger(t *testing.T, master *node, source string) *singer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	grant := &access.Grant{ID: score.KeyID(public), Name: source, Role: access.RoleBard, Public: public}
	if err := master.member().ChangeAccess(context.Background(), access.Change{By: "operator", Grant: grant}); err != nil {
		t.Fatal(err)
	}
	return &singer{t: t, private: private, source: source}
}

// sings is a signed post, of the bard's next event.
func (s *singer) sings(kind score.Type, data score.Data) score.Post {
	s.t.Helper()
	s.seq++
	p := score.Post{Mode: score.UntilRefused, Events: []score.Event{{ID: fmt.Sprintf("%s-%d", s.source, s.seq), IDGiven: true, Source: s.source, Seq: s.seq,
		Type: kind, Time: time.Date(2026, 2, 9, 10, 0, int(s.seq), 0, time.UTC), TimeGiven: true, ContestID: "OG50BC/final", Data: data}}}
	if err := signing.Sign(s.private, p.Events); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *singer) plays(delta string) score.Post {
	d, err := score.ParseDecimal(delta)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.sings(score.TypeScorePlay, &score.ScorePlay{Competitor: "GAU", Delta: &d})
}

// theFinal is the record as a member shows it.
func theFinal(ctx context.Context, m *Member) ([]byte, error) {
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

// guardedFinal is a secure group in which a bard has sung of a final that stands at 1.
func guardedFinal(t *testing.T) (*group, *singer) {
	t.Helper()
	g := newGroup(t, 3, func(o *Options) { o.Guarded = true })
	bard := newSinger(t, g.master(), "bard/cacofonix")
	mustPost(t, g.master(), bard.sings(score.TypeContestDefine, &score.ContestDefine{Kind: score.HeadToHead, Sport: "hockey", Competitors: []score.Entrant{{Code: "GAU"}, {Code: "ROM"}}}))
	mustPost(t, g.master(), bard.sings(score.TypeContestStatus, &score.ContestStatus{ScheduleStatus: score.Running}))
	mustPost(t, g.master(), bard.plays("1"))
	return g, bard
}

// propose is what a corrupt master can do that no honest one does: bring into the log what it likes.
func propose(t *testing.T, master *node, p score.Post) {
	t.Helper()
	encoded, err := entry.EncodePost(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := master.member().raft.Apply(entry.Encode([]entry.EncodedPost{encoded}), time.Second).(raft.Future).Error(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatACorruptMasterForgesOrAltersNoHonestFrontendShows(t *testing.T) {
	t.Parallel()
	g, bard := guardedFinal(t)
	stranger := newSinger(t, g.master(), "bard/stranger")
	stranger.private = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)) // which nobody registered
	seq := bard.seq
	again := func() *singer { return &singer{t: t, private: bard.private, source: bard.source, seq: seq} }
	ten := score.Data(&score.ScorePlay{Competitor: "GAU", Delta: decimal(t, "10")})
	forgeries := map[string]func() score.Post{
		"an event that nobody signed": func() score.Post {
			p := again().plays("10")
			p.Events[0].Key, p.Events[0].Signature = "", nil
			return p
		},
		"an event by a token that is none": func() score.Post {
			p := again().plays("10")
			p.Events[0].Token, p.Events[0].Key, p.Events[0].Signature = p.Events[0].Key, "", nil
			return p
		},
		"an event altered after it was signed": func() score.Post {
			p := again().plays("1")
			p.Events[0].Data = ten
			return p
		},
		"an event about another contest": func() score.Post {
			p := again().plays("1")
			p.Events[0].ContestID = "OG50BC/other"
			return p
		},
		"the signature of another event": func() score.Post {
			one, p := again().plays("1"), again().plays("10")
			p.Events[0].Signature = one.Events[0].Signature
			return p
		},
		"an old event told anew under the next seq": func() score.Post {
			old := &singer{t: t, private: bard.private, source: bard.source, seq: seq - 1}
			p := old.plays("1")
			p.Events[0].Seq, p.Events[0].ID = seq+1, "anew"
			return p
		},
		"a key that is not registered": func() score.Post {
			s := *stranger
			return s.plays("10")
		},
		"a bard's key for another bard's source": func() score.Post {
			other := newSinger(t, g.master(), "bard/other")
			other.source, other.seq = bard.source, seq
			return other.plays("10")
		},
		"an event out of its order": func() score.Post {
			late := &singer{t: t, private: bard.private, source: bard.source, seq: seq + 1}
			return late.plays("10")
		},
	}
	for what, forge := range forgeries {
		t.Run(what, func(t *testing.T) {
			propose(t, g.master(), forge())
			for _, n := range g.nodes {
				if body, err := theFinal(t.Context(), n.member()); err != nil || !bytes.Contains(body, []byte(`"result":1,`)) {
					t.Errorf("%s shows %s (%v)", n.opts.ID, body, err)
				}
			}
		})
	}
	// What the bard signs is still taken, under the seq that the forgeries were after.
	mustPost(t, g.master(), bard.plays("1"))
	for _, n := range g.nodes {
		if body, err := theFinal(t.Context(), n.member()); err != nil || !bytes.Contains(body, []byte(`"result":2,`)) {
			t.Errorf("%s shows %s (%v) in the end", n.opts.ID, body, err)
		}
	}
}

// The master's pushes go around the log, so nothing of what they say may be shown.
func TestAScoreThatACorruptMasterPushesNoHonestFrontendShows(t *testing.T) {
	t.Parallel()
	g, _ := guardedFinal(t)
	master := g.master()
	for _, n := range g.nodes {
		if _, err := theFinal(t.Context(), n.member()); err != nil { // now it is held everywhere
			t.Fatal(err)
		}
	}
	reign := master.member().elections.elected.Load()
	forged := []byte(`{"contest_id":"OG50BC/final","result":99}` + "\n")
	to := master.member().machine.Revision() + 1
	reign.push.Update(func(m *cache.Master, now time.Duration) {
		m.Push([]cache.Record{{Key: cache.ScoreKey("OG50BC/final"), Revision: to, Body: forged}}, nil, to, now)
	})
	eventually(t, "all have taken the push in", func() error {
		if !reign.push.AwaitReleased(t.Context(), to) {
			return fmt.Errorf("revision %d is not released", to)
		}
		return nil
	})
	for _, n := range g.others(master) {
		// What was pushed names a change that is not in the log, so no answer at all comes here.
		deadline, cancel := context.WithTimeout(t.Context(), time.Second)
		body, err := theFinal(deadline, n.member())
		cancel()
		if err == nil {
			t.Errorf("%s shows %s", n.opts.ID, body)
		}
		if e := n.member().Hit([]byte(cache.ScoreKey("OG50BC/final"))); e != nil {
			t.Errorf("%s has %s in memory", n.opts.ID, e.Body)
		}
	}
}

func decimal(t *testing.T, s string) *score.Decimal {
	t.Helper()
	d, err := score.ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return &d
}
