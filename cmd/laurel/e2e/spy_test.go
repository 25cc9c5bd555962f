//go:build spy

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	laurel "laurel/client"
	"laurel/client/verify"
	"laurel/internal/cli"
	"laurel/score"
	"laurel/score/mark"
	"laurel/witness"
)

// spiedGroup is a group in which every frontend has a spy, and one of them takes orders. It
// is the same one in all rows: one of four may be corrupt.
type spiedGroup struct {
	*vouchedGroup
	liar      *frontend
	honest    []*frontend
	bard      *laurel.Client // of an honest frontend
	seq       uint64
	now       *verify.Reader
	certified *verify.Certified
	token     string // of an operator
}

func newSpiedGroup(t testing.TB) *spiedGroup {
	t.Helper()
	g := &spiedGroup{vouchedGroup: vouch(swear(&group{t: t, dir: t.TempDir(), logs: logs(t), spied: true}))}
	g.liar, g.honest = g.frontends[0], g.frontends[1:]
	g.bard = g.client(g.honest[0].url)
	g.token = g.cli(0, g.key, "access", "grant", "desk", "--role", "operator")
	readers := g.client(g.urls()...) // the liar first
	g.now, g.certified = verify.New(readers, g.policy), verify.NewCertified(readers, g.policy, "")
	return g
}

// order tells the spy in a frontend what to do.
func (f *frontend) order(t testing.TB, lie map[string]any) {
	t.Helper()
	body, err := json.Marshal(lie)
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.Post("http://"+f.debug+"/spy", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if text, _ := io.ReadAll(a.Body); a.StatusCode != http.StatusOK {
		t.Fatalf("the spy does not obey %v: %s", lie, text)
	}
}

// verdicts returns whom a frontend names.
func (f *frontend) verdicts() (list []witness.Verdict, err error) {
	a, err := http.Get("http://" + f.debug + "/spy")
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	return list, json.UnmarshalRead(a.Body, &list)
}

// say posts the next event about a contest.
func (g *spiedGroup) say(contest, kind, data string) {
	g.t.Helper()
	line := fmt.Sprintf(`{"type":%q,"contest_id":%q,"data":%s}`, kind, contest, data)
	e, p := score.Decode([]byte(line))
	if p != nil {
		g.t.Fatal(p)
	}
	e.Source, e.Seq = "bard/desk", g.seq+1
	g.vouchedGroup.post(g.bard, e)
	g.seq++
}

const twoTeams = `{"kind":"head_to_head","sport":"stone-curling","competitors":[{"code":"GAU"},{"code":"ROM"}]}`

// begin posts a contest in which Gaul leads by 2 to 0.
func (g *spiedGroup) begin(contest string) {
	g.t.Helper()
	g.say(contest, "contest.define", twoTeams)
	g.say(contest, "contest.status", `{"schedule_status":"RUNNING","result_status":"LIVE"}`)
	g.goal(contest, 2)
}

func (g *spiedGroup) goal(contest string, points int64) {
	g.t.Helper()
	g.say(contest, "score.play", fmt.Sprintf(`{"competitor":"GAU","delta":%s}`, mark.Points(points)))
}

// spyRow is one lie, and what comes of it.
type spyRow struct {
	what  string
	lie   map[string]any // the contest is added
	quick bool           // it is in the short form
	// master is true if only a master can tell the lie.
	master bool
	// objects is true if a reader who asks all names the liar.
	objects bool
	// putOut is true if all honest frontends then put the liar out.
	putOut bool
	// goesBack is true if the spy is gone as soon as it has lied, so that the frontend finds
	// by itself that its history is another one.
	goesBack bool
	// fault is the verdict of all honest frontends; "" for none.
	fault witness.Fault
	// stops is true if there may be no certificates meanwhile.
	stops bool
	// dropped is true if the next event is said to be applied and is not.
	dropped bool
}

var spyRows = []spyRow{
	{what: "another result in memory", lie: map[string]any{"lie": "result", "competitor": "ROM", "points": 10},
		quick: true, master: true, objects: true, fault: witness.Diverged, putOut: true},
	{what: "another result in memory of a follower", lie: map[string]any{"lie": "result", "competitor": "ROM", "points": 10},
		objects: true, fault: witness.Diverged, putOut: true},
	{what: "another result, of which the frontend knows nothing",
		lie: map[string]any{"lie": "result", "competitor": "ROM", "points": 10}, quick: true, goesBack: true},
	{what: "another record, of which the frontend knows nothing",
		lie: map[string]any{"lie": "record", "competitor": "ROM", "points": 9}, goesBack: true},
	{what: "another record with a right checksum", lie: map[string]any{"lie": "record", "competitor": "ROM", "points": 9},
		quick: true, objects: true},
	{what: "an event dropped, and said to be applied", lie: map[string]any{"lie": "drop"}, quick: true, master: true,
		dropped: true},
	{what: "an event that nobody signed",
		lie:   map[string]any{"lie": "forge", "source": "bard/spy", "competitor": "ROM", "points": 5},
		quick: true, master: true},
	{what: "a key granted by nobody", lie: map[string]any{"lie": "grant"}, quick: true, master: true},
	{what: "nothing said about rounds", lie: map[string]any{"lie": "mute"}, quick: true, fault: witness.Silent},
	{what: "old notes again and again", lie: map[string]any{"lie": "replay"}, fault: witness.Silent},
	{what: "junk for notes", lie: map[string]any{"lie": "junk"}, quick: true, fault: witness.Silent},
	{what: "no seals", lie: map[string]any{"lie": "noseal"}, quick: true, master: true, stops: true},
	{what: "seals out of turn", lie: map[string]any{"lie": "seals"}, master: true},
	{what: "cosignatures of the future", lie: map[string]any{"lie": "future"}, quick: true},
	// A frontend that is convicted stays so.
	{what: "two rounds of one number", lie: map[string]any{"lie": "equivocate"}, quick: true, fault: witness.Convicted,
		putOut: true},
	{what: "a cosignature of what nobody has proven", lie: map[string]any{"lie": "cosign"}, fault: witness.Convicted,
		putOut: true},
}

func TestNoSpyInAFrontendHasAReaderAcceptAWrongAnswer(t *testing.T) {
	needsProcesses(t)
	all := byForm(false, false, true) // with LAUREL_LONG=1
	t.Parallel()
	g := newSpiedGroup(t)
	g.begin("OG50BC/LOAD")
	for i, row := range spyRows {
		if !row.quick && !all {
			continue
		}
		t.Logf("%s ...", row.what)
		g.row(&row, fmt.Sprintf("OG50BC/ROW-%d", i))
	}
}

// row has the spy lie, and reads meanwhile.
func (g *spiedGroup) row(row *spyRow, contest string) {
	t := g.t
	t.Helper()
	if row.master {
		g.lead(g.liar)
	} else {
		g.lead(g.honest[0])
	}
	g.begin(contest)
	path := laurel.ScorePath(contest)
	truth := g.settled(path)
	g.readCertified(path, truth, false)

	lie := map[string]any{"contest_id": contest}
	for k, v := range row.lie {
		lie[k] = v
	}
	told := time.Now()
	if row.objects {
		g.liar.order(t, map[string]any{"lie": "stay"})
	}
	g.liar.order(t, lie)
	g.goal("OG50BC/LOAD", 1)
	if row.dropped {
		g.seq-- // it is not
	}
	if row.goesBack {
		if code := g.liar.exit(t); code != cli.ExitGoBack {
			t.Fatalf("%s ended with exit code %d; want %d", g.liar.id, code, cli.ExitGoBack)
		}
		g.liar.start().waitReady()
		if body := get(t, g.liar.url+path).body; body != truth {
			t.Fatalf("%s is back with\n%s\nand it is\n%s", g.liar.id, body, truth)
		}
	}
	g.readNow(row, path, truth)
	if row.fault != "" {
		for _, f := range g.honest {
			eventually(t, f.id+" names the liar", func() error {
				g.goal("OG50BC/LOAD", 1) // a frontend is silent only while others are not
				return names(f, g.liar, row.fault)
			})
		}
		if row.putOut {
			g.expectPutOut(row.fault)
		}
		t.Logf("%s: named by all after %.1f s", row.what, time.Since(told).Seconds())
	}
	g.readCertified(path, truth, row.stops)
	g.readNow(row, laurel.ScorePath("OG50BC/LOAD"), g.settled(laurel.ScorePath("OG50BC/LOAD")))
	g.readByCommand(contest, truth, row.stops)

	g.liar.order(t, map[string]any{"lie": ""})
	if row.objects { // its state is false, and is made anew from the log
		g.liar.Kill()
		g.liar.start().waitReady()
	}
	g.goal("OG50BC/LOAD", 1)
	g.readNow(&spyRow{}, path, truth)
	g.readCertified(laurel.ScorePath("OG50BC/LOAD"), g.settled(laurel.ScorePath("OG50BC/LOAD")), false)
}

// expectPutOut waits until the honest frontends have put the liar out, and have a master.
func (g *spiedGroup) expectPutOut(fault witness.Fault) {
	g.t.Helper()
	for _, f := range g.honest {
		eventually(g.t, f.id+" puts the liar out", func() error {
			s, err := f.status()
			if err != nil {
				return err
			}
			for _, m := range s.Frontends {
				switch {
				case m.ID != g.liar.id && m.PutOut != nil:
					g.t.Fatalf("%s puts %s out: %+v", f.id, m.ID, m.PutOut)
				case m.ID == g.liar.id && (m.PutOut == nil || m.PutOut.Reason != string(fault)):
					return fmt.Errorf("it is %+v", m.PutOut)
				}
			}
			if s.Master == "" || s.Master == g.liar.id {
				return fmt.Errorf("its master is %q", s.Master)
			}
			return nil
		})
	}
}

// lead makes a frontend the master.
func (g *spiedGroup) lead(f *frontend) {
	g.t.Helper()
	eventually(g.t, "mastership goes to "+f.id, func() error {
		if g.master() == f {
			return nil
		}
		o := commandEnv(g.t, []string{"LAUREL_TOKEN=" + g.token, "LAUREL_URL=" + strings.Join(g.urls(), ",")},
			"laurel", "cluster", "transfer", f.id)
		if o.code != 0 {
			return errors.New(o.String())
		}
		return nil
	})
	f.waitReady()
}

// settled returns the answer that the honest frontends give alike.
func (g *spiedGroup) settled(path string) (body string) {
	g.t.Helper()
	eventually(g.t, "the honest frontends answer alike", func() error {
		var bodies []string
		for _, f := range g.honest {
			a, err := ask("GET", f.url+path, "")
			if err != nil || a.status != http.StatusOK {
				return fmt.Errorf("%s: %v %v", f.id, a, err)
			}
			bodies = append(bodies, a.body)
		}
		if body = bodies[0]; len(slices.Compact(bodies)) != 1 {
			return fmt.Errorf("they say %q", bodies)
		}
		return nil
	})
	return body
}

// readNow asks all.
func (g *spiedGroup) readNow(row *spyRow, path, truth string) {
	g.t.Helper()
	objects := row.objects && !strings.HasSuffix(path, "LOAD")
	eventually(g.t, path+" is answered by a quorum", func() error {
		a, err := g.now.Get(g.t.Context(), path, nil)
		switch {
		case err != nil:
			return err
		case string(a.Body) != truth:
			g.t.Fatalf("a reader accepted\n%s\nand it is\n%s", a.Body, truth)
		case objects && (len(a.Objectors) != 1 || a.Objectors[0].Frontend != g.liar.id ||
			!errors.Is(a.Objectors[0].Err, verify.ErrDiffers)):
			return fmt.Errorf("it names %v", a.Objectors)
		}
		return nil
	})
}

// readCertified reads by certificate.
func (g *spiedGroup) readCertified(path, truth string, stops bool) {
	g.t.Helper()
	patience := patience
	if stops {
		patience = 3 * time.Second
	}
	err := poll(patience, func() error {
		ctx, cancel := context.WithTimeout(g.t.Context(), 3*time.Second)
		defer cancel()
		a, err := g.certified.Get(ctx, path, nil)
		switch {
		case err != nil:
			return err
		case string(a.Body) != truth && !isOlder(string(a.Body), truth):
			g.t.Fatalf("a reader accepted by certificate\n%s\nand it is\n%s", a.Body, truth)
		case string(a.Body) != truth:
			return errors.New("it is not certified yet")
		}
		return nil
	})
	if err != nil && !stops {
		g.t.Fatalf("%s by certificate: %v", path, err)
	}
}

// isOlder reports whether an answer is of an earlier revision, and has fewer points.
func isOlder(body, truth string) bool {
	var a, b score.Record
	if json.Unmarshal([]byte(body), &a) != nil || json.Unmarshal([]byte(truth), &b) != nil || a.Revision >= b.Revision {
		return false
	}
	for _, c := range a.Competitors {
		if c.Code == "ROM" && c.Result != nil && *c.Result != 0 {
			return false // Rome has none anywhere
		}
	}
	return true
}

// readByCommand reads by the command, both ways.
func (g *spiedGroup) readByCommand(contest, truth string, stops bool) {
	g.t.Helper()
	env := []string{
		"LAUREL_URL=" + strings.Join(g.urls(), ","), "LAUREL_POLICY=" + g.policyFile, "XDG_CACHE_HOME=" + g.dir,
	}
	for _, how := range []string{"--verify=now", "--verify"} {
		args := []string{"scores", contest, how, "--json", "--patience", "3s", "--policy-key", g.policyKey}
		read := func() error {
			o := commandEnv(g.t, env, "laurel", args...)
			switch {
			case o.code == 3: // nothing that can be verified
				return errors.New(o.String())
			case o.code != 0 || o.out != truth:
				g.t.Fatalf("laurel %s: %s\nand it is\n%s", strings.Join(args, " "), o, truth)
			}
			return nil
		}
		if stops && how == "--verify" {
			_ = read() // there may be nothing
			continue
		}
		eventually(g.t, "laurel scores "+how, read)
	}
}

// names returns an error unless f has a verdict on the liar, and none on anybody else.
func names(f, liar *frontend, fault witness.Fault) error {
	list, err := f.verdicts()
	if err != nil {
		return err
	}
	found := false
	for _, v := range list {
		found = found || v.Frontend == liar.id && v.Fault == fault
		if v.Frontend != liar.id && v.Frontend != "" {
			return fmt.Errorf("it names %s as well: %+v", v.Frontend, list)
		}
	}
	if !found {
		return errors.New("its verdicts are " + strconv.Quote(fmt.Sprintf("%+v", list)))
	}
	return nil
}
