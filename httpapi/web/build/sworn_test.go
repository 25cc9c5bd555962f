package main

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"laurel/client"
	"laurel/cluster"
	"laurel/cluster/sworn"
	"laurel/httpapi/web"
	"laurel/internal/address"
	"laurel/internal/frontend"
	"laurel/internal/testwitness"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
	"laurel/witness"
)

// swornSite is a sworn group of frontends in this process, which certify what they answer.
type swornSite struct {
	t              testing.TB
	operator, bard ed25519.PrivateKey
	number         uint64 // of the operator's last change
	frontends      []*frontend.Frontend
	kill           []func() // ends one as the death of its process would
	policy         *witness.Policy
	seq            uint64
}

func seeded(n byte) (private ed25519.PrivateKey, public ed25519.PublicKey) {
	private = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
	return private, private.Public().(ed25519.PublicKey)
}

func newSwornSite(t testing.TB, size int) *swornSite {
	t.Helper()
	needBrowser(t)
	s := &swornSite{t: t, policy: &witness.Policy{Version: 1, Until: time.Now().Add(time.Hour).Truncate(time.Second)}}
	operator, public := seeded(100)
	bard, bardPublic := seeded(101)
	s.operator, s.bard = operator, bard
	var founder *pki.Identity
	for i := range size {
		id, dir := fmt.Sprint("f", i+1), t.TempDir()
		key, err := sworn.WitnessKey(dir)
		if err != nil {
			t.Fatal(err)
		}
		entry := access.RosterEntry{Name: id, Key: key.Public().(ed25519.PublicKey)}
		s.policy.Frontends = append(s.policy.Frontends, witness.Frontend{Name: id, Public: entry.Key})
		o := cluster.Options{ID: id, Dir: dir, Peer: "127.0.0.1:0", Guarded: true, Logger: slog.New(slog.DiscardHandler)}
		identity := s.identity(&o, founder)
		if o.Identity = identity; founder == nil {
			founder, o.Bootstrap, o.Sworn = identity, true, sworn.Group{Operator: public, Name: "getafix"}
		} else {
			o.Join = []string{s.url(0)}
			s.change(access.Change{Sworn: &access.SwornChange{Frontend: &entry}})
		}
		s.start(o)
	}
	s.policy.Store, s.policy.Quorum = s.frontends[0].Member().Lineage(), witness.LeastQuorum(size)
	s.change(access.Change{Grant: &access.Grant{
		ID: score.KeyID(bardPublic), Name: "bard", Role: access.RoleBard, Public: bardPublic,
	}})
	return s
}

func (s *swornSite) start(o cluster.Options) {
	s.t.Helper()
	options := frontend.Options{HTTP: "127.0.0.1:0", Member: o}
	options.API.Limits.LateDelay = time.Hour // a busy machine refuses nothing
	f, err := frontend.Start(options)
	if err != nil {
		s.t.Fatal(err)
	}
	kill := sync.OnceFunc(func() { _ = f.Kill() }) // an error changes nothing
	s.t.Cleanup(kill)
	s.frontends, s.kill = append(s.frontends, f), append(s.kill, kill)
	eventually(s.t, o.ID+" is ready", func() bool { return f.Member().Ready(s.t.Context()) == nil })
}

// url returns the URL of frontend i, from 0, on this machine.
func (s *swornSite) url(i int) string { return "http://" + s.frontends[i].Addr() }

// identity returns the certificate of a frontend, from the founder if there is one.
func (s *swornSite) identity(o *cluster.Options, founder *pki.Identity) *pki.Identity {
	s.t.Helper()
	member, err := cluster.ServerID(o.Dir, o.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	options := pki.Options{Dir: filepath.Join(o.Dir, "trust"), Member: member, Hosts: []string{"127.0.0.1", "localhost"}}
	if founder == nil {
		identity, err := pki.Bootstrap(options)
		if err != nil {
			s.t.Fatal(err)
		}
		return identity
	}
	token := pki.NewJoinToken(founder.IssuedBy())
	s.change(access.Change{JoinToken: &access.JoinToken{
		ID: token.ID, Hash: token.Hash(), Expires: time.Now().Add(time.Hour).UTC(), Uses: 1,
	}})
	key, csr, err := pki.NewRequest(member, options.Hosts)
	if err != nil {
		s.t.Fatal(err)
	}
	var identity *pki.Identity
	eventually(s.t, "a certificate for "+member, func() bool {
		issued, err := pki.Enroll(s.t.Context(), "https://"+s.frontends[0].Addr(), token, options, csr)
		if err == nil {
			identity, err = pki.NewIdentity(options, key, issued)
		}
		return err == nil
	})
	return identity
}

// change makes a change that the operator signs.
func (s *swornSite) change(c access.Change) {
	s.t.Helper()
	s.number++
	c.At, c.By = time.Now().UTC(), "getafix"
	signed, err := access.Sign(s.operator, s.frontends[0].Member().Lineage(), s.number, c)
	if err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the change is made", func() bool {
		for _, f := range s.frontends {
			if f.Member().ChangeSigned(s.t.Context(), signed) == nil {
				return true
			}
		}
		return false
	})
}

// post posts events that the bard signs.
func (s *swornSite) post(lines ...string) {
	s.t.Helper()
	c, err := client.New([]string{s.url(0), s.url(1)}, client.Options{Key: s.bard, Lineage: s.policy.Store})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	for _, line := range lines {
		e, p := score.Decode([]byte(line))
		if p != nil {
			s.t.Fatal(p)
		}
		s.seq++
		e.Source, e.Seq = "bard/desk", s.seq
		eventually(s.t, "an event is applied", func() bool {
			_, err := c.Post(s.t.Context(), []score.Event{e})
			return err == nil
		})
	}
}

// openFile opens a page in a file, as laurel page prints it, at a view.
func (s *swornSite) openFile(b *tab, view string) *tab {
	s.t.Helper()
	policy, err := s.policy.Sign(testwitness.Key(s.t, "getafix", 100))
	if err != nil {
		s.t.Fatal(err)
	}
	var urls []address.URL
	for i := range s.frontends {
		u, err := address.Parse(s.url(i))
		if err != nil {
			s.t.Fatal(err)
		}
		urls = append(urls, u)
	}
	var page bytes.Buffer
	if err := web.Write(&page, string(policy), urls); err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.t.TempDir(), "scores.html")
	if err := os.WriteFile(path, page.Bytes(), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return b.open("file://" + path + strings.TrimPrefix(view, "/")).live()
}

func TestAWrittenPageMarksWhatASwornGroupCertifies(t *testing.T) {
	t.Parallel()
	s := newSwornSite(t, 4)
	s.post(defineMatch(match)...)
	s.post(`{"type":"medal.award","contest_id":"OG50BC/JUD","data":{"award_id":"1","medal":"GOLD","organisation":"GAU"}}`)
	b := s.openFile(newTab(t, desktop, nil), matchView)
	b.until("the mark", certifiedMark)
	s.post(play(match, "GAU", 3))
	b.until("the score and its mark", boardScore+` === '3' && `+certifiedMark)
	b.do(`location.hash = '#/medals/OG50BC'`)
	b.until("the mark of the medals", certifiedMark)
	b.do(`location.hash = '#/contest/` + match + `'`)
	s.kill[3]()
	s.post(play(match, "GAU", 2))
	b.until("the score without a frontend, and its mark", boardScore+` === '5' && `+certifiedMark)
}
