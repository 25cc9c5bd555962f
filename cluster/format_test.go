package cluster

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/status"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
)

// limited makes a node one that takes part in the first format only, as a version before formats does.
func limited(o *Options) { o.MaxFormat = access.OldestFormat }

// raisesSoon makes a node raise the format as soon as all members read a later one.
func raisesSoon(o *Options) { o.hooks.raiseAfter = time.Millisecond }

// hasFormat returns an error unless all nodes that run have a format.
func (g *group) hasFormat(want uint64) error {
	for _, n := range g.running() {
		if got := n.member().Access().Settings.Format(); got != want {
			return fmt.Errorf("%s has format %d; want %d", n.opts.ID, got, want)
		}
	}
	return nil
}

func TestAGroupIsRaisedWhenItsLastMemberIsUpdated(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, limited, raisesSoon)
	if err := g.hasFormat(1); err != nil {
		t.Fatal(err)
	}
	raise := access.Change{By: "getafix", Setting: &access.Setting{Name: access.SettingFormat, Value: "2"}}
	hold := access.Change{By: "getafix", Setting: &access.Setting{Name: access.SettingFormatHold, Value: "true"}}
	for i, n := range g.nodes {
		mustPost(t, n, alerts("bard/a", uint64(i)+1, 1))
		g.askMaster("it refuses to leave a member behind", func(m *Member) error {
			for _, c := range []access.Change{raise, hold} {
				err := m.ChangeAccess(context.Background(), c)
				if score.CodeOf(err) == score.NoMaster {
					return err
				}
				refused(t, err, score.UnsupportedFormat)
			}
			return nil
		})
		if err := g.hasFormat(1); err != nil {
			t.Error(err)
		}
		n.stop()
		n.opts.MaxFormat = 0
		n.start()
		g.settle()
	}
	eventually(t, "the format is raised", func() error { return g.hasFormat(2) })
	mustPost(t, g.nodes[0], alerts("bard/a", 4, 1))
	g.agree(4)
	g.askMaster("it can be held", func(m *Member) error { return m.ChangeAccess(context.Background(), hold) })
}

func TestAFrontendThatDoesNotReadTheFormatIsNotAdmitted(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	g.expectRefused(newNode(t, "late", limited), `"late" reads formats 1 to 1`)
}

func TestAFrontendThatSpeaksNoVersionOfTheMastersIsNotAdmitted(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	n := newNode(t, "late")
	n.changeStatus = func(s *status.Status, _ raft.ServerID) { s.OldestProtocol, s.NewestProtocol = 7, 8 }
	g.expectRefused(n, "it speaks the versions 7 to 8")
}

// expectRefused starts a node that asks the only member of a group to join, and expects it to end
// because that refuses it with some words.
func (g *group) expectRefused(n *node, words string) {
	t := g.t
	t.Helper()
	n.opts.Join = []string{g.nodes[0].server.URL}
	n.start()
	var why error
	eventually(t, "it ends", func() error {
		select {
		case why = <-n.member().Ended():
			return nil
		default:
			return errors.New("it goes on")
		}
	})
	if score.CodeOf(why) != score.UnsupportedFormat || !strings.Contains(why.Error(), words) {
		t.Errorf("it ended with %v", why)
	}
	if list := g.nodes[0].member().Frontends().Frontends; len(list) != 1 {
		t.Errorf("the group has %+v", list)
	}
}

func TestAMemberThatDoesNotReadTheFormatOfItsDataDoesNotStart(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	n := g.nodes[0]
	mustPost(t, n, alerts("bard/a", 1, 1))
	n.stop()
	o := n.again()
	limited(&o)
	m, err := Start(o)
	if m != nil {
		m.Close()
	}
	later := new(FormatError)
	if !errors.As(err, &later) || later.Format != 2 || later.Newest != 1 {
		t.Fatalf("it starts: %v", err)
	}
	n.start()
	g.settle()
	mustPost(t, n, alerts("bard/a", 2, 1))
}

func TestMembersReportTheirVersionsAndTheFormatsThatTheyRead(t *testing.T) {
	t.Parallel()
	versions := []string{"v1", "v2"}
	g := newGroup(t, 2, limited, func(o *Options) { o.Version, versions = versions[0], versions[1:] })
	eventually(t, "both are known", func() error {
		f := g.nodes[0].member().Frontends()
		if got := fmt.Sprint(f.Versions()); got != "[v1 v2]" || f.Format != 1 {
			return fmt.Errorf("the versions are %s, the format %d", got, f.Format)
		}
		for _, m := range f.Frontends {
			if m.OldestFormat != 1 || m.NewestFormat != 1 {
				return fmt.Errorf("%+v", m)
			}
		}
		return nil
	})
}

func TestOnlyAnOperatorRaisesTheFormatOfASwornGroup(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 1, limited, raisesSoon)
	n := g.nodes[0]
	n.stop()
	n.opts.MaxFormat = 0
	n.start()
	g.settle()
	raise := access.Change{
		At: time.Now().UTC(), By: "getafix", Setting: &access.Setting{Name: access.SettingFormat, Value: "2"},
	}
	refused(t, g.master().member().ChangeAccess(context.Background(), raise), score.Unsigned)
	data, err := entry.EncodeChange(raise)
	if err != nil {
		t.Fatal(err)
	}
	if p := g.proposeEntry(entry.InFormat(data, 2)); p == nil || p.Code != score.Unsigned {
		t.Errorf("a corrupt master raises the format: %v", p)
	}
	if err := g.hasFormat(1); err != nil {
		t.Error(err)
	}
	g.mustSign(raise)
	if err := g.hasFormat(2); err != nil {
		t.Error(err)
	}
	bard := g.swornBard("bard/cacofonix")
	mustPost(t, g.master(), bard.signedPost(score.TypeAlert, &score.Alert{Text: "rain"}))
}

// A damaged snapshot would be set aside.
func TestASnapshotOfALaterFormatIsLeftAsItIsAndTheMemberDoesNotStart(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, func(o *Options) { o.SnapshotEntries = 5 })
	n := g.nodes[0]
	postUntilSnapshots(t, n, "bard/a", 1)
	m := n.member()
	n.stop()
	list, err := m.storage.Snapshots.List()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(n.opts.Dir, snapshotDir, list[0].ID)
	setVersion := func(add int) {
		t.Helper()
		state := filepath.Join(dir, "state.bin")
		b, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		b[len("LAURELSN")] += byte(add)
		sum := crc64.New(crc64.MakeTable(crc64.ECMA))
		sum.Write(b)
		meta := filepath.Join(dir, "meta.json")
		text, err := os.ReadFile(meta)
		if err != nil {
			t.Fatal(err)
		}
		text = regexp.MustCompile(`"CRC":"[^"]*"`).ReplaceAll(text,
			fmt.Appendf(nil, `"CRC":"%s"`, base64.StdEncoding.EncodeToString(sum.Sum(nil))))
		if err := errors.Join(os.WriteFile(state, b, 0o600), os.WriteFile(meta, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	setVersion(2)
	loseState(t, n)
	later := new(FormatError)
	if _, err := Start(n.again()); !errors.As(err, &later) || later.Format != access.NewestFormat+1 {
		t.Fatalf("it starts: %v", err)
	}
	setVersion(-2)
	n.start()
	g.settle()
	if n.member().machine.Applied() < list[0].Index {
		t.Error("the snapshot was not used")
	}
}
