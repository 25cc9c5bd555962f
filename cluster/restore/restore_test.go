package restore

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/raftlog"
	"laurel/fsm"
	"laurel/fsm/archive"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

var day = time.Date(2026, 2, 9, 10, 0, 0, 0, time.UTC)

// fileOf writes a snapshot file of a store that has the changes and an event.
func fileOf(t *testing.T, changes ...access.Change) string {
	t.Helper()
	m, err := fsm.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	apply := func(data []byte, err error) {
		t.Helper()
		index := m.Applied() + 1
		if err == nil {
			_, err = m.Apply([]fsm.Entry{{Index: index, Data: data}}, index)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range append(changes,
		access.Change{Grant: &access.Grant{ID: "feed", Name: "bard", Role: access.RoleBard, Hash: make([]byte, 32)}},
		access.Change{Setting: &access.Setting{Name: access.SettingLineage, Value: "og50bc"}},
		access.Change{Setting: &access.Setting{Name: access.SettingIncarnation, Value: "first"}},
	) {
		c.At, c.By = day, "f1"
		apply(entry.EncodeChange(c))
	}
	post, err := entry.EncodePost(score.Post{Events: []score.Event{{
		ID: "a", Source: "bard", Seq: 1, Type: score.TypeAlert, Time: day, ContestID: "G", Token: "feed", Data: &score.Alert{Text: "rain"},
	}}})
	apply(entry.Encode([]entry.EncodedPost{post}), err)
	if m.Revision() != 1 {
		t.Fatal("the event was refused")
	}
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	var b bytes.Buffer
	if err := archive.Write(&b, day, s.Write); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "store.snap.gz")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func options(file, dir string) Options {
	return Options{File: file, Dir: dir, ID: "f9", Peer: "127.0.0.1:9009", Now: day.AddDate(0, 0, 1)}
}

// opened opens what was restored, as the start of a frontend does.
func opened(t *testing.T, dir string) (*raftlog.Store, *fsm.Machine) {
	t.Helper()
	s, err := raftlog.Open(raftlog.Options{Dir: dir, ID: "f9", Logger: slog.New(slog.DiscardHandler), Fatal: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	m, err := s.OpenMachine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return s, m
}

func TestWhatIsRestoredIsAGroupOfOneFrontendWithTheStore(t *testing.T) {
	for name, secure := range map[string]bool{"secure": true, "insecure": false} {
		dir := filepath.Join(t.TempDir(), "data")
		var changes []access.Change
		if secure {
			changes = append(changes, access.Change{Guard: true})
		}
		made, err := Run(options(fileOf(t, changes...), dir))
		if err != nil {
			t.Fatal(err)
		}
		s, m := opened(t, dir)
		c, err := s.Configuration()
		if err != nil || len(c.Servers) != 1 || c.Servers[0].ID != s.ServerID() || c.Servers[0].Address != "127.0.0.1:9009" ||
			c.Servers[0].Suffrage != raft.Voter || !s.Existing || !s.Joined() {
			t.Errorf("%s: the configuration is %v (%v), existing %v, joined %v", name, c, err, s.Existing, s.Joined())
		}
		state := m.Access()
		if m.Revision() != made.NewRevision || m.Incarnation() != made.NewIncarnation || m.Lineage() != "og50bc" || state.Grants["feed"] == nil {
			t.Errorf("%s: restored is revision %d in %q of %q; want %+v", name, m.Revision(), m.Incarnation(), m.Lineage(), made)
		}
		i, err := pki.Open(pki.Options{Dir: filepath.Join(dir, "trust"), Member: string(s.ServerID())})
		token, err2 := os.ReadFile(filepath.Join(dir, pki.OperatorFile))
		if !secure {
			if !errors.Is(err, os.ErrNotExist) || !errors.Is(err2, os.ErrNotExist) || len(state.Grants) != 1 {
				t.Errorf("%s: %v, %v, %d grants", name, err, err2, len(state.Grants))
			}
			continue
		}
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if len(state.Authorities) != 1 || access.Fingerprint(state.Authorities[0]) != i.IssuedBy() || i.Authority(i.IssuedBy()) == nil ||
			i.Holder().Role != pki.Voter {
			t.Errorf("%s: the certificate is by %s, for %v; the group trusts %d authorities", name, i.IssuedBy(), i.Holder(), len(state.Authorities))
		}
		bearer, err := access.ParseBearerToken(string(token))
		if err != nil {
			t.Fatal(err)
		}
		if g, err := state.Authenticate(bearer, day); err != nil || g.Role != access.RoleOperator {
			t.Errorf("%s: the token in the file is that of %+v, %v", name, g, err)
		}
	}
}

func TestTheAuthorityThatWasMadeBeforeIsTheGroupsAndSoAreItsTokens(t *testing.T) {
	a, err := pki.NewAuthority(nil, day)
	if err != nil {
		t.Fatal(err)
	}
	operator, join := access.NewBearerToken(), pki.NewJoinToken(a.Fingerprint())
	founding := &pki.Founding{Authority: a, Operator: pki.HashedToken{ID: operator.ID, Hash: operator.Hash()},
		Join: pki.HashedJoining{HashedToken: pki.HashedToken{ID: join.ID, Hash: join.Hash()}, Expires: day.AddDate(1, 0, 0), Uses: 3}}
	guard := access.Change{Guard: true}
	founded := access.Change{Grant: &access.Grant{ID: operator.ID, Name: "operator", Role: access.RoleOperator, Hash: operator.Hash()}}
	for what, file := range map[string]string{
		"another group":  fileOf(t, guard),
		"the same group": fileOf(t, guard, founded),
	} {
		o := options(file, filepath.Join(t.TempDir(), "data"))
		o.Founding = founding
		made, err := Run(o)
		if err != nil {
			t.Fatal(what, err)
		}
		_, m := opened(t, o.Dir)
		if g, err := m.Access().Authenticate(operator, day); err != nil || g.Role != access.RoleOperator {
			t.Errorf("%s: the operator's token: %v, %v", what, g, err)
		}
		if token := m.Access().JoinTokens[join.ID]; token == nil || token.Uses != 3 || made.Authority != a.Fingerprint() || made.OperatorFile != "" {
			t.Errorf("%s: the join token is %+v, made was %+v", what, token, made)
		}
	}
}

func TestNothingIsOverwrittenAndNothingIsLeft(t *testing.T) {
	file := fileOf(t, access.Change{Guard: true})
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(damaged, good[:len(good)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "notes.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(options(file, full)); err == nil || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("a directory with a file: %v", err)
	}
	if list, _ := os.ReadDir(full); len(list) != 1 {
		t.Errorf("the directory has now %v", list)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for what, o := range map[string]Options{
		"a damaged file":                    options(damaged, missing),
		"no file":                           options(missing+".gz", missing),
		"an authority for none":             {File: fileOf(t), Dir: missing, ID: "f9", Peer: "127.0.0.1:9009", Founding: new(pki.Founding)},
		"an id that cannot be a frontend's": {File: file, Dir: missing, ID: "f 9", Peer: "127.0.0.1:9009", Now: day},
	} {
		if _, err := Run(o); err == nil {
			t.Errorf("%s: no error", what)
		}
		if _, err := os.Lstat(missing); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: something is left: %v", what, err)
		}
	}
	disk := t.TempDir()
	if err := os.Mkdir(filepath.Join(disk, lostAndFound), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(options(file, disk)); err != nil {
		t.Errorf("the root of a file system: %v", err)
	}
	if _, err := Run(options(file, disk)); err == nil {
		t.Error("a snapshot was restored over another one")
	}
}

func TestAnInterruptedRestoreIsNeverStarted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if _, err := begin(dir); err != nil {
		t.Fatal(err)
	}
	if err := raftlog.CheckEnded(dir); !errors.Is(err, raftlog.ErrRestoring) {
		t.Errorf("the start of a frontend: %v", err)
	}
	if _, err := raftlog.Open(raftlog.Options{Dir: dir, ID: "f9", Bootstrap: true, Logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, raftlog.ErrRestoring) {
		t.Errorf("with --bootstrap: %v", err)
	}
	if _, err := Run(options(fileOf(t), dir)); err == nil {
		t.Error("a snapshot was restored into what another restore has left")
	}
	if err := raftlog.EndRestore(dir); err != nil || raftlog.CheckEnded(dir) != nil {
		t.Errorf("after the end: %v, %v", err, raftlog.CheckEnded(dir))
	}
}

// A file that is replaced between the check and the use must not get through.
func TestAFileThatChangesWhileItIsReadIsRefused(t *testing.T) {
	r := &restoring{Options: options(fileOf(t, access.Change{Guard: true}), t.TempDir())}
	var err error
	if r.Info, err = inspect(fileOf(t)); err != nil {
		t.Fatal(err)
	}
	r.NewIncarnation = "second"
	r.group = access.NewGroup{Founder: "f9", Authority: []byte("der")}
	if err := r.write(io.Discard); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("got %v", err)
	}
}
