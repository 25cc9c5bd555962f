package frontend

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"laurel/cluster"
	"laurel/httpapi"
	"laurel/httpapi/admission"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// seed is what every world has been told before the first request of a script.
var seed = []string{
	`{"id":"e1","source":"bard/cacofonix","seq":1,"type":"competition.define","time":"0704-06-21T08:00:00Z","contest_id":"OG50BC","data":{"name":"Games of 50 BC","neutral":["NEU"]}}`,
	`{"id":"e2","source":"bard/cacofonix","seq":2,"type":"contest.define","time":"0704-06-21T08:01:00Z","contest_id":"OG50BC/CUR-M-GPA-01","data":{"kind":"head_to_head","sport":"stone-curling","title":"Gaul \u003c Rome \u0026 Égypte","tiebreak_periods":["EXTRA"],"competitors":[{"code":"GAU","name":"Gaul","organisation":"GAU","order":1},{"code":"ROM","name":"Rome","organisation":"ROM","order":2}]}}`,
	`{"id":"e3","source":"bard/cacofonix","seq":3,"type":"contest.status","time":"0704-06-21T08:02:00Z","contest_id":"OG50BC/CUR-M-GPA-01","data":{"schedule_status":"RUNNING","result_status":"LIVE","period":"END1"}}`,
	`{"id":"e4","source":"bard/cacofonix","seq":4,"type":"score.play","time":"0704-06-21T08:03:00Z","contest_id":"OG50BC/CUR-M-GPA-01","data":{"competitor":"GAU","delta":2,"period":"END1"}}`,
	`{"id":"e5","source":"bard/cacofonix","seq":5,"type":"score.play","time":"0704-06-21T08:04:00Z","contest_id":"OG50BC/CUR-M-GPA-01","data":{"competitor":"ROM","delta":1.5,"period":"END2"}}`,
	`{"id":"e6","source":"bard/cacofonix","seq":6,"type":"score.play","time":"0704-06-21T08:05:00Z","contest_id":"OG50BC/CUR-M-GPA-01","data":{"competitor":"ROM","delta":1,"period":"END2"}}`,
	`{"id":"e7","source":"bard/cacofonix","seq":7,"type":"event.void","time":"0704-06-21T08:06:00Z","contest_id":"OG50BC/CUR-M-GPA-01","data":{"voids":"e6","reason":"counted twice"}}`,
	`{"id":"e8","source":"bard/cacofonix","seq":8,"type":"alert","time":"0704-06-21T08:07:00Z","contest_id":"OG50BC/CUR-M-GPA-01","data":{"text":"The stone has left the sheet."}}`,
	`{"id":"m1","source":"bard/sopranus","seq":1,"type":"contest.define","time":"0704-06-21T09:00:00Z","contest_id":"OG50BC/MAR","data":{"kind":"ranked","sport":"marathon","title":"Marathon","result_type":"TIME","unit":"s","sort":"asc","splits":["10 km","finish"],"competitors":[{"code":"2888","name":"Obelix","organisation":"GAU"},{"code":"31","name":"Tremensdelirious","organisation":"ROM"},{"code":"7","organisation":"GAU"},{"code":"99"}]}}`,
	`{"id":"m2","source":"bard/sopranus","seq":2,"type":"contest.status","time":"0704-06-21T09:01:00Z","contest_id":"OG50BC/MAR","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`,
	`{"id":"m3","source":"bard/sopranus","seq":3,"type":"result.set","time":"0704-06-21T09:02:00Z","contest_id":"OG50BC/MAR","data":{"competitor":"2888","split":"10 km","mark":1900,"category":"M","organisation":"GAU"}}`,
	`{"id":"m4","source":"bard/sopranus","seq":4,"type":"result.set","time":"0704-06-21T09:03:00Z","contest_id":"OG50BC/MAR","data":{"competitor":"31","split":"10 km","mark":1910.5,"category":"W","organisation":"ROM"}}`,
	`{"id":"m5","source":"bard/sopranus","seq":5,"type":"result.set","time":"0704-06-21T09:04:00Z","contest_id":"OG50BC/MAR","data":{"competitor":"2888","split":"finish","mark":8000,"category":"M","organisation":"GAU"}}`,
	`{"id":"m6","source":"bard/sopranus","seq":6,"type":"result.set","time":"0704-06-21T09:05:00Z","contest_id":"OG50BC/MAR","data":{"competitor":"31","split":"finish","mark":8000,"category":"W","organisation":"ROM"}}`,
	`{"id":"m7","source":"bard/sopranus","seq":7,"type":"result.set","time":"0704-06-21T09:06:00Z","contest_id":"OG50BC/MAR","data":{"competitor":"7","split":"finish","mark":8012.25,"category":"M","organisation":"GAU"}}`,
	`{"id":"m8","source":"bard/sopranus","seq":8,"type":"result.set","time":"0704-06-21T09:07:00Z","contest_id":"OG50BC/MAR","data":{"competitor":"99","split":"finish","irm":"DNF"}}`,
	`{"id":"a1","source":"bard/sopranus","seq":9,"type":"medal.award","time":"0704-06-21T10:00:00Z","contest_id":"OG50BC/MAR","data":{"award_id":"g1","medal":"GOLD","organisation":"GAU"}}`,
	`{"id":"a2","source":"bard/sopranus","seq":10,"type":"medal.award","time":"0704-06-21T10:01:00Z","contest_id":"OG50BC/MAR","data":{"award_id":"s1","medal":"SILVER","organisation":"ROM"}}`,
	`{"id":"a3","source":"bard/sopranus","seq":11,"type":"medal.award","time":"0704-06-21T10:02:00Z","contest_id":"OG50BC/MAR","data":{"award_id":"b1","medal":"BRONZE","organisation":"NEU"}}`,
	`{"id":"a4","source":"bard/sopranus","seq":12,"type":"medal.award","time":"0704-06-21T10:03:00Z","contest_id":"OG50BC/MAR","data":{"award_id":"s2","medal":"SILVER","organisation":"Britain/of the east?"}}`,
}

// The tokens of a guarded world. Only their ids stand in the golden files.
var worldTokens = map[string]access.BearerToken{
	"operator": worldToken(1), "bard": worldToken(2), "reader": worldToken(3), "revoked": worldToken(4),
	"expired": worldToken(5), "slow": worldToken(6), "unknown": worldToken(7),
}

func worldToken(n int) access.BearerToken {
	secret := sha256.Sum256(fmt.Append(nil, "token ", n))
	return access.BearerToken{ID: fmt.Sprintf("%016x", n), Secret: base64.RawURLEncoding.EncodeToString(secret[:])}
}

// worldKey is the key of the bard that signs.
func worldKey() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("a bard's key"))
	return ed25519.NewKeyFromSeed(seed[:])
}

func startWorldFrontend(t *testing.T, n int, o cluster.Options, public httpapi.Options) (f *Frontend, kill func()) {
	t.Helper()
	o.ID, o.Peer, o.Logger = fmt.Sprintf("f%d", n), "127.0.0.1:0", slog.New(slog.DiscardHandler)
	// A busy machine loses no master, refuses nothing, and ends no connection on which the test is slow.
	o.TimeScale, public.Limits.LateDelay, public.Limits.HeaderTimeout = 3, time.Hour, patience
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	f, err := Start(Options{HTTP: "127.0.0.1:0", Member: o, API: public})
	if err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() { _ = f.Kill() })
	t.Cleanup(kill)
	eventually(t, func() error { return f.member.Ready(t.Context()) })
	return f, kill
}

// sow posts what every world has been told. A token is taken in the clear on this machine.
func sow(t *testing.T, f *Frontend, authorization string) {
	t.Helper()
	body := strings.NewReader("[" + strings.Join(seed, ",") + "]")
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+f.addr+"/v1/events", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", res.StatusCode, answer)
	}
}

// patience bounds the wait for what must happen.
const patience = 2 * time.Minute

// eventually polls until f returns nil.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for err := f(); err != nil; err = f() {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func leased(f *Frontend, want bool) error {
	if f.member.Leased() != want {
		return fmt.Errorf("%s: want a lease: %t", f.options.URL, want)
	}
	return nil
}

func startOpenWorld(t *testing.T, fast bool) *answerWorld {
	f, _ := startWorldFrontend(t, 1, cluster.Options{Bootstrap: true}, httpapi.Options{})
	eventually(t, func() error { return leased(f, true) })
	sow(t, f, "")
	return serveWorld(t, f, fast)
}

func startPullWorld(t *testing.T, fast bool) *answerWorld {
	f, _ := startWorldFrontend(t, 1, cluster.Options{Bootstrap: true}, httpapi.Options{})
	sow(t, f, "")
	pull := access.Setting{Name: access.SettingCacheMode, Value: string(score.Pull)}
	if err := f.member.ChangeAccess(t.Context(), access.Change{By: "getafix", Setting: &pull}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return leased(f, false) })
	return serveWorld(t, f, fast)
}

// secureOptions are those of the first frontend of a group with certificates.
func secureOptions(t *testing.T, dir string) cluster.Options {
	t.Helper()
	member, err := cluster.ServerID(dir, "f1")
	if err != nil {
		t.Fatal(err)
	}
	identity, err := pki.Bootstrap(pki.Options{Dir: filepath.Join(dir, "trust"), Member: member, Hosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	return cluster.Options{Dir: dir, Bootstrap: true, Guarded: true, Identity: identity}
}

// startGuardedWorld starts a private frontend with certificates, and makes the grants of
// worldTokens and of worldKey.
func startGuardedWorld(t *testing.T, fast bool) *answerWorld {
	o := secureOptions(t, t.TempDir())
	o.Private = true
	public := httpapi.Options{
		Options: admission.Options{Limits: admission.Limits{MaxBodyBytes: 20_000}},
		Origins: []string{"https://scores.example"},
	}
	f, _ := startWorldFrontend(t, 1, o, public)
	eventually(t, func() error { return leased(f, true) })
	eventually(t, func() error {
		if len(f.member.Access().View().Authorities) == 0 {
			return fmt.Errorf("the group does not know its authority")
		}
		return nil
	})
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	grant := func(name string, g access.Grant) access.Change {
		token := worldTokens[name]
		g.ID, g.Hash, g.Created = token.ID, token.Hash(), start
		return access.Change{Grant: &g}
	}
	public25519 := worldKey().Public().(ed25519.PublicKey)
	for _, change := range []access.Change{
		grant("operator", access.Grant{Name: "caesar", Role: access.RoleOperator}),
		grant("bard", access.Grant{Name: "bard/cacofonix", Role: access.RoleBard, Competitions: []string{"OG50BC"}}),
		grant("reader", access.Grant{Name: "spectator", Role: access.RoleReader}),
		grant("revoked", access.Grant{Name: "bard/fired", Role: access.RoleBard}),
		grant("expired", access.Grant{Name: "bard/old", Role: access.RoleBard, Expires: start.Add(time.Hour)}),
		grant("slow", access.Grant{Name: "bard/slow", Role: access.RoleBard, Rate: 0.001}),
		{Revoke: worldTokens["revoked"].ID},
		{Grant: &access.Grant{ID: score.KeyID(public25519), Name: "bard/assurancetourix", Role: access.RoleBard, Public: public25519, Types: []score.Type{score.TypeAlert}, Created: start}},
	} {
		change.At, change.By = start, "caesar"
		if err := f.member.ChangeAccess(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	sow(t, f, "Bearer "+worldTokens["operator"].Text())
	return serveWorld(t, f, fast)
}

// startLostWorld is the second of two frontends whose master is gone.
func startLostWorld(t *testing.T, fast bool) *answerWorld {
	first, kill := startWorldFrontend(t, 1, cluster.Options{Bootstrap: true}, httpapi.Options{})
	sow(t, first, "")
	f, _ := startWorldFrontend(t, 2, cluster.Options{Join: []string{first.options.URL}}, httpapi.Options{})
	eventually(t, func() error { return leased(f, true) })
	eventually(t, func() error {
		for _, m := range f.member.Frontends().Frontends {
			if m.ID == "f2" && m.Voter && m.Revision >= uint64(len(seed)) {
				return nil
			}
		}
		return fmt.Errorf("f2 is behind: %+v", f.member.Frontends())
	})
	kill()
	eventually(t, func() error { return leased(f, false) })
	eventually(t, func() error {
		if f.member.Frontends().Master != "" {
			return fmt.Errorf("f2 does not know that the master is gone")
		}
		return nil
	})
	w := serveWorld(t, f, fast)
	w.lost = true
	return w
}
