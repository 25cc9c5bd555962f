package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"laurel/score"
	"laurel/score/mark"
)

const (
	define = `{"type":"contest.define","contest_id":"OG50BC/CUR-M-GPA-01","data":{"kind":"head_to_head","sport":"stone-curling","title":"GAU vs ROM",
 "competitors":[{"code":"GAU","name":"Gaul","organisation":"GAU","order":1},{"code":"ROM","name":"Rome","organisation":"ROM","order":2}]}}`
	running = `{"type":"contest.status","contest_id":"OG50BC/CUR-M-GPA-01","data":{"schedule_status":"RUNNING","result_status":"LIVE","period":"END1"}}`
	contest = "/v1/scores/OG50BC/CUR-M-GPA-01"
)

// play returns a play of GAU with an id.
func play(id string, delta int) string {
	return fmt.Sprintf(`{"id":%q,"type":"score.play","contest_id":"OG50BC/CUR-M-GPA-01","data":{"competitor":"GAU","delta":%d}}`, id, delta)
}

// stop sends SIGTERM, and waits until the process has ended with exit code 0. The
// frontend stays a member.
func (f *frontend) stop() {
	t := f.group.t
	t.Helper()
	f.signal(t, syscall.SIGTERM)
	if code := f.exit(t); code != 0 {
		t.Fatalf("%s ended with exit code %d after SIGTERM; want 0\n%s", f.id, code, f.output(t))
	}
}

// expectGaul compares Gaul's score at every frontend.
func (g *group) expectGaul(want int64) {
	g.t.Helper()
	for _, f := range g.running() {
		r := decode[score.Record](g.t, get(g.t, f.url+contest))
		if len(r.Competitors) != 2 || r.Competitors[0].Code != "GAU" || *r.Competitors[0].Result != mark.Points(want) {
			g.t.Errorf("%s: the competitors are %+v; want GAU first with %d", f.id, r.Competitors, want)
		}
	}
}

func TestAMasterThatIsTerminatedHandsOverAndStaysAMember(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	apply(t, g.frontends[0], define)
	apply(t, g.frontends[0], running)

	old := g.master()
	old.stop()
	// Leadership was transferred before the process ended.
	for i, f := range g.running() {
		apply(t, f, play(fmt.Sprintf("after-%d", i), 1))
	}
	if m := g.master(); m == old {
		t.Errorf("%s is still the master", old.id)
	}
	for _, f := range g.running() {
		eventually(t, "the others see that it does not answer, and is a member", func() error {
			m, err := f.member(old.id)
			if err == nil && (!m.Voter || m.State != score.Unreachable) {
				err = fmt.Errorf("%s sees %+v", f.id, m)
			}
			return err
		})
	}
	old.start().waitReady()
	g.expectRevision(4)
	g.expectGaul(2)
}

func TestLeadershipIsTransferredToTheNamedFrontendOrToAny(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	for _, f := range []*frontend{g.frontends[1], g.frontends[2], g.frontends[0]} {
		f.becomeMaster() // by a transfer to f
	}
	// On a busy machine a transfer may be refused, and another master may be elected after it.
	eventually(t, "another frontend is the master after a transfer to any", func() error {
		before := g.master()
		if o := command(t, "laurel", "cluster", "transfer", "--to", before.url); o.code != 0 {
			return errors.New(o.String())
		}
		if g.master() == before {
			return errors.New(before.id + " is still the master")
		}
		return nil
	})
	refusesCommand(t, "nobody", "cluster", "transfer", "nobody", "--to", urls(g.frontends))
}

// refusesCommand runs a command of laurel that must be refused with exit code 1 and a word. It
// repeats what is refused for another reason: there may be no master for a moment.
func refusesCommand(t testing.TB, word string, args ...string) {
	t.Helper()
	eventually(t, "laurel "+strings.Join(args, " ")+" is refused", func() error {
		o := command(t, "laurel", args...)
		if o.code == 0 {
			t.Fatalf("laurel %s: %v; want exit code 1", strings.Join(args, " "), o)
		}
		if o.code != 1 || !strings.Contains(o.err, word) {
			return fmt.Errorf("%v; want exit code 1 and %q", o, word)
		}
		return nil
	})
}

// leave removes f from the group by a command. On a busy machine the others may answer too late
// for that, or there may be no answer that tells of the removal.
func (f *frontend) leave(to string, more ...string) {
	t := f.group.t
	t.Helper()
	tries := 0
	eventually(t, f.id+" leaves", func() error {
		tries++
		o := command(t, "laurel", append([]string{"cluster", "leave", f.id, "--to", to}, more...)...)
		if o.code != 0 && (tries == 1 || !strings.Contains(o.err, string(score.NotFound))) {
			return errors.New(o.String())
		}
		return nil
	})
}

func TestAJoinerWithATakenIDIsRefusedWithTheReason(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 2)
	apply(t, g.frontends[0], define)
	other := g.add()
	taken := g.frontends[1]
	g.frontends = g.frontends[:2]
	imposter := start(t, g.logs, "imposter", nil, program(t, "laurel"), "frontend", "--id", taken.id,
		"--data", filepath.Join(g.dir, "imposter"),
		"--http", other.http, "--peer", other.peer, "--join", urls(g.frontends), "--insecure")
	if code := imposter.exit(t); code != 1 {
		t.Errorf("exit code %d; want 1\n%s", code, imposter.output(t))
	}
	if output := imposter.output(t); !strings.Contains(output, taken.id) || !strings.Contains(output, "id_conflict") {
		t.Errorf("the joiner does not log that %s is taken:\n%s", taken.id, output)
	}
	// The frontend with this id is not affected.
	g.expectRevision(1)
	taken.becomeMaster()
	if m, err := taken.member(taken.id); err != nil || m.URL != taken.url || m.Peer != taken.peer {
		t.Errorf("the rightful %s is %+v, %v", taken.id, m, err)
	}
}

func TestAMemberThatComesBackAtOtherAddressesIsFoundThere(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	apply(t, g.frontends[0], define)
	apply(t, g.frontends[0], running)
	// Not the first frontend: it was started with --bootstrap and knows no other to
	// announce itself to.
	mover := g.frontends[1]
	for _, stop := range []func(*frontend){(*frontend).stop, (*frontend).Kill} {
		was := mover.revision(t)
		stop(mover)
		apply(t, g.frontends[0], play(fmt.Sprintf("while-away-%d", was), 1))
		mover.move(freePort(t), freePort(t))
		mover.entry = []string{"--join", urls([]*frontend{g.frontends[0], g.frontends[2]})}
		mover.start().waitReady()
		for _, f := range g.frontends {
			eventually(t, "all know the new addresses", func() error {
				m, err := f.member(mover.id)
				if err == nil && (m.URL != mover.url || m.Peer != mover.peer || m.State != score.Serving) {
					err = fmt.Errorf("%s sees %+v; want it serving at %s and %s", f.id, m, mover.url, mover.peer)
				}
				return err
			})
		}
		g.expectRevision(was + 1)
		mover.becomeMaster()
		g.frontends[0].becomeMaster()
	}
	g.expectGaul(2)
}

func TestLeavingTheLastButOneNeedsForce(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	apply(t, g.frontends[0], define)
	apply(t, g.frontends[0], running)
	to := g.frontends[0].url

	g.frontends[2].leave(to)
	if code := g.frontends[2].exit(t); code != 5 {
		t.Errorf("f3 ended with exit code %d; want 5", code)
	}
	refusesCommand(t, "use force", "cluster", "leave", "f2", "--to", to)
	apply(t, g.frontends[1], play("still-two", 1))
	g.expectGaul(1)

	g.frontends[1].leave(to, "--force")
	if code := g.frontends[1].exit(t); code != 5 {
		t.Errorf("f2 ended with exit code %d; want 5", code)
	}
	g.frontends[0].waitReady()
	apply(t, g.frontends[0], play("alone", 1))
	g.expectGaul(2)

	refusesCommand(t, "last voter", "cluster", "leave", "f1", "--to", to)
}

func TestAFrontendThatWasRemovedDoesNotComeBackByItself(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	apply(t, g.frontends[0], define)
	gone := g.frontends[2]
	gone.leave(g.frontends[0].url)
	if code := gone.exit(t); code != 5 {
		t.Fatalf("exit code %d; want 5", code)
	}
	gone.entry = nil
	// On a busy machine the leadership may move without it, but not each time.
	eventually(t, "the master stays while a removed frontend is started again", func() error {
		master := g.frontends[0].awaitMasterID()
		gone.start()
		if code := gone.exit(t); code != 5 || !strings.Contains(gone.output(t), "entry ") ||
			!strings.Contains(gone.output(t), "empty data directory") {
			t.Errorf("started again, it ended with exit code %d; want 5, the entry that removed it, and what to do\n%s",
				code, gone.output(t))
		}
		if now := g.frontends[0].awaitMasterID(); now != master {
			return fmt.Errorf("it was %s and is %s", master, now)
		}
		return nil
	})
	apply(t, g.frontends[1], running)
}

// awaitMasterID waits until f knows a master, and returns its id.
func (f *frontend) awaitMasterID() (id string) {
	f.group.t.Helper()
	eventually(f.group.t, f.id+" knows a master", func() error {
		s, err := f.status()
		if id = s.Master; err == nil && id == "" {
			err = errors.New("none")
		}
		return err
	})
	return id
}

func TestANonvoterAnswersAndNeverBecomesMaster(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 1)
	apply(t, g.frontends[0], define)
	apply(t, g.frontends[0], running)
	reader := g.add()
	reader.entry = append(reader.entry, "--nonvoter")
	reader.start().waitReady()
	apply(t, reader, play("through-a-nonvoter", 3))
	g.expectRevision(3)
	g.expectGaul(3)
	if m, err := g.frontends[0].member(reader.id); err != nil || m.Voter {
		t.Errorf("the nonvoter is %+v, %v", m, err)
	}
	refusesCommand(t, reader.id, "cluster", "transfer", reader.id, "--to", g.frontends[0].url)
	// A majority does not need it.
	reader.Kill()
	apply(t, g.frontends[0], play("without-it", 1))
	g.expectGaul(4)
}
