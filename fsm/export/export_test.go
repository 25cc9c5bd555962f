package export

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/fsm/incarnation"
	"laurel/score"
	"laurel/testdata/games"
	"laurel/trust/access"
	"laurel/trust/signing"
)

var began = time.Date(2026, 2, 9, 10, 16, 40, 0, time.UTC)

// keyOf returns the private key of a bard.
func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// store is a state machine, to which events are applied without a group.
type store struct {
	*fsm.Machine
	t testing.TB
}

// newStore returns a new store with a lineage, in which the bards have keys and an operator
// has a token.
func newStore(t testing.TB, lineage string, bards ...string) store {
	t.Helper()
	m, err := fsm.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	s := store{m, t}
	changes := []access.Change{
		{Guard: true},
		{Setting: &access.Setting{Name: access.SettingLineage, Value: lineage}},
		{Setting: &access.Setting{Name: access.SettingIncarnation, Value: "first"}},
		{Grant: &access.Grant{ID: "t1", Name: "chief", Role: access.RoleOperator, Hash: make([]byte, 32)}},
	}
	for _, b := range bards {
		public := keyOf(b).Public().(ed25519.PublicKey)
		changes = append(changes, access.Change{
			Grant: &access.Grant{ID: score.KeyID(public), Name: b, Role: access.RoleBard, Public: public},
		})
	}
	for _, c := range changes {
		c.At, c.By = began, "f1"
		encoded, err := entry.EncodeChange(c)
		if err != nil {
			t.Fatal(err)
		}
		if p := s.apply(encoded); p != nil {
			t.Fatal(p)
		}
	}
	return s
}

// apply applies one entry, and returns the first problem.
func (s store) apply(data []byte) *score.Problem {
	s.t.Helper()
	index := s.Applied() + 1
	outcome, err := s.Apply([]fsm.Entry{{Index: index, Data: data}}, index)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, results := range outcome[0] {
		for _, r := range results {
			if r.Problem != nil {
				return r.Problem
			}
		}
	}
	return nil
}

// post posts events, 100 at once. Those that are not signed come with the operator's token.
func (s store) post(events []score.Event) *score.Problem {
	s.t.Helper()
	for part := range slices.Chunk(events, 100) {
		part = slices.Clone(part)
		for i := range part {
			if part[i].Key == "" {
				part[i].Token = "t1"
			}
		}
		encoded, err := entry.EncodePost(score.Post{Events: part, Mode: score.UntilRefused})
		if err != nil {
			s.t.Fatal(err)
		}
		if p := s.apply(entry.Encode([]entry.EncodedPost{encoded})); p != nil {
			return p
		}
	}
	return nil
}

// snapshot returns a snapshot.
func (s store) snapshot() []byte {
	s.t.Helper()
	snapshot, err := s.Snapshot()
	if err != nil {
		s.t.Fatal(err)
	}
	defer snapshot.Release()
	var b bytes.Buffer
	if err := snapshot.Write(&b); err != nil {
		s.t.Fatal(err)
	}
	return b.Bytes()
}

// export returns what is exported, decoded, and the header and the signers.
func (s store) export(competition string) (h score.ExportHeader, events []score.Event, signers []Signer) {
	s.t.Helper()
	out, err := Open(bytes.NewReader(s.snapshot()), competition)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	var b bytes.Buffer
	if err := out.Write(&b); err != nil {
		s.t.Fatal(err)
	}
	first, rest, _ := bytes.Cut(b.Bytes(), []byte{'\n'})
	if h, err = score.ParseExportHeader(first); err != nil || !score.IsExportHeader(first) || h != out.Header() {
		s.t.Fatalf("the first line is %s: %v", first, err)
	}
	events = decodeLines(s.t, bytes.NewReader(rest))
	if uint64(len(events)) != h.Events {
		s.t.Fatalf("%d events follow a header of %d", len(events), h.Events)
	}
	return h, events, out.Signers()
}

func decodeLines(t testing.TB, r io.Reader) (events []score.Event) {
	t.Helper()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, score.MaxEventBytes+2)
	for lines.Scan() {
		e, p := score.Decode(lines.Bytes())
		if p != nil {
			t.Fatalf("%s: %v", lines.Bytes(), p)
		}
		events = append(events, e)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}

// numbered gives events an identity, and a time, that have none.
func numbered(events []score.Event) []score.Event {
	seqs := map[string]uint64{}
	for i := range events {
		e := &events[i]
		if e.Source == "" {
			e.Source = "bard/games"
		}
		seqs[e.Source]++
		e.Seq = seqs[e.Source]
		if e.ID == "" {
			e.ID = fmt.Sprint("made-", i)
		}
		if e.Time.IsZero() {
			e.Time = began
		}
		e.IDGiven, e.TimeGiven = true, true
	}
	return events
}

// sign signs those of every second post for a store, each with the key of its source, and
// returns the sources.
func sign(t testing.TB, lineage string, events []score.Event) (bards []string) {
	t.Helper()
	number := 0
	for part := range slices.Chunk(events, 70) {
		if number++; number%2 == 0 {
			continue
		}
		for i := range part {
			if !slices.Contains(bards, part[i].Source) {
				bards = append(bards, part[i].Source)
			}
			if err := signing.Sign(keyOf(part[i].Source), lineage, part[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return bards
}

// streams returns the streams of the test: the demo's Games, and the beginnings of the real
// ones if they are here.
func streams(t testing.TB) map[string][]score.Event {
	t.Helper()
	all := map[string][]score.Event{"og50bc": decodeLines(t, bytes.NewReader(games.OG50BC))}
	dir := os.Getenv("LAUREL_GAMES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "events.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		most := int64(200 << 10)
		if os.Getenv("LAUREL_LONG") == "1" {
			most = 1 << 40
		}
		text, err := io.ReadAll(io.LimitReader(z, most))
		if err != nil {
			t.Fatal(err)
		}
		text = text[:bytes.LastIndexByte(text, '\n')+1]
		all[filepath.Base(filepath.Dir(path))] = decodeLines(t, bytes.NewReader(text))
	}
	return all
}

func TestAnExportMakesTheSameStoreAgain(t *testing.T) {
	for name, events := range streams(t) {
		t.Run(name, func(t *testing.T) {
			events := numbered(events)
			bards := sign(t, "gaul", events)
			first := newStore(t, "gaul", bards...)
			if p := first.post(events); p != nil {
				t.Fatal(p)
			}
			h, exported, signers := first.export("")
			if h.Lineage != "gaul" || h.Incomplete != "" || h.Revision != uint64(len(events)) || h.Signed == 0 ||
				len(signers) != len(bards) {
				t.Fatalf("the header is %+v, of %d signers", h, len(signers))
			}
			for _, e := range exported {
				if e.Key != "" && e.Lineage != "gaul" {
					t.Fatalf("a signed event is for the store %q", e.Lineage)
				}
			}
			second := newStore(t, "gaul", bards...)
			if p := second.post(exported); p != nil {
				t.Fatal(p)
			}
			if !bytes.Equal(first.snapshot(), second.snapshot()) {
				t.Error("the snapshots differ")
			}
		})
	}
}

// alerts returns n alerts of a source, for a contest.
func alerts(source, contest string, first, n uint64) (events []score.Event) {
	for seq := first; seq < first+n; seq++ {
		events = append(events, score.Event{
			ID: fmt.Sprint(source, "-", seq), Source: source, Seq: seq, Type: score.TypeAlert, Time: began,
			ContestID: contest, Data: &score.Alert{Text: "rain"}, IDGiven: true, TimeGiven: true,
		})
	}
	return events
}

func void(source string, seq uint64, contest string, v score.EventVoid) score.Event {
	e := alerts(source, contest, seq, 1)[0]
	v.Reason = "wrong"
	e.Type, e.Data = score.TypeEventVoid, &v
	return e
}

func TestOtherSignaturesOrAnotherStoreRefuseAnExport(t *testing.T) {
	events := alerts("bard/a", "G/1", 1, 150)
	bards := sign(t, "gaul", events)
	first := newStore(t, "gaul", bards...)
	if p := first.post(events); p != nil {
		t.Fatal(p)
	}
	_, exported, _ := first.export("")
	for what, s := range map[string]store{"of another lineage": newStore(t, "rome", bards...), "without the key": newStore(t, "gaul")} {
		if p := s.post(exported); p == nil || p.Code != score.Unauthorized {
			t.Errorf("a store %s: %v", what, p)
		}
	}
}

func TestAnExportOfOneCompetitionHasItsEventsAndSaysWhatIsMissing(t *testing.T) {
	s := newStore(t, "gaul")
	events := slices.Concat(
		alerts("bard/other", "H/1", 1, 2), alerts("bard/a", "G/1", 1, 3), alerts("bard/a", "G", 4, 1),
		alerts("bard/other", "H", 3, 1), alerts("bard/a", "G/2", 5, 1), alerts("bard/other", "G2/1", 4, 1),
	)
	if p := s.post(events); p != nil {
		t.Fatal(p)
	}
	h, exported, _ := s.export("G")
	if h.Competition != "G" || h.Incomplete != "" || len(exported) != 5 || exported[0].Seq != 1 || exported[4].Seq != 5 {
		t.Errorf("%+v: %v", h, exported)
	}
	if p := newStore(t, "gaul").post(exported); p != nil {
		t.Error(p)
	}
	h, exported, _ = s.export("H")
	if h.Incomplete != "" || len(exported) != 3 {
		t.Errorf("%+v: %v", h, exported)
	}
	h, exported, _ = s.export("G2")
	if !strings.Contains(h.Incomplete, "bard/other") || len(exported) != 1 {
		t.Errorf("a source with a gap: %+v", h)
	}
	if p := newStore(t, "gaul").post(exported); p == nil || p.Code != score.SeqGap {
		t.Errorf("a gap was taken: %v", p)
	}
	if h, exported, _ = s.export("none"); h.Events != 0 || len(exported) != 0 {
		t.Errorf("no competition has %+v", h)
	}
}

func TestVoidsNameTheSameEventWhereRevisionsAreOthers(t *testing.T) {
	s := newStore(t, "gaul")
	events := slices.Concat(
		alerts("bard/other", "H/1", 1, 5), alerts("bard/a", "G/1", 1, 3),
		[]score.Event{void("bard/a", 4, "G/1", score.EventVoid{VoidsRevision: 7})},
		[]score.Event{void("bard/a", 5, "G/1", score.EventVoid{Voids: "bard/a-3"})},
	)
	if p := s.post(events); p != nil {
		t.Fatal(p)
	}
	if _, all, _ := s.export(""); all[8].Data.(*score.EventVoid).VoidsRevision != 7 {
		t.Errorf("the revisions will be the same, and the void was changed to %+v", all[8].Data)
	}
	h, exported, _ := s.export("G")
	v, untouched := exported[3].Data.(*score.EventVoid), exported[4].Data.(*score.EventVoid)
	if h.Incomplete != "" || v.VoidsRevision != 0 || v.VoidsSource != "bard/a" || v.VoidsSeq != 2 || v.Reason != "wrong" ||
		untouched.Voids != "bard/a-3" || untouched.VoidsSeq != 0 {
		t.Errorf("%+v: the voids are %+v and %+v", h, v, untouched)
	}
	if p := newStore(t, "gaul").post(exported); p != nil {
		t.Error(p)
	}
	// A signature keeps a void as it is.
	signed := slices.Concat(
		alerts("bard/other", "H/1", 1, 5), alerts("bard/a", "G/1", 1, 3),
		[]score.Event{void("bard/a", 4, "G/1", score.EventVoid{VoidsRevision: 7})},
	)
	s = newStore(t, "gaul", sign(t, "gaul", signed)...)
	if p := s.post(signed); p != nil {
		t.Fatal(p)
	}
	h, exported, _ = s.export("G")
	if v := exported[3].Data.(*score.EventVoid); !strings.Contains(h.Incomplete, "1 voids are signed") || v.VoidsRevision != 7 {
		t.Errorf("a signed void that names a revision: %+v, %+v", h, v)
	}
}

func TestAStoreThatWasRestoredIsExportedWhole(t *testing.T) {
	first := newStore(t, "gaul")
	if p := first.post(alerts("bard/a", "G/1", 1, 3)); p != nil {
		t.Fatal(p)
	}
	var rewritten bytes.Buffer
	if _, err := incarnation.Rewrite(&rewritten, bytes.NewReader(first.snapshot()), &incarnation.Change{
		Incarnation: access.Incarnation{Name: "second", At: began}, By: "test", What: "restored it",
	}); err != nil {
		t.Fatal(err)
	}
	restored := newStore(t, "gaul")
	if err := restored.Restore(&rewritten); err != nil {
		t.Fatal(err)
	}
	revision := restored.Revision() + 1
	events := slices.Concat(alerts("bard/a", "G/1", 4, 1),
		[]score.Event{void("bard/a", 5, "G/1", score.EventVoid{VoidsRevision: revision})})
	if p := restored.post(events); p != nil {
		t.Fatal(p)
	}
	h, exported, _ := restored.export("")
	if h.Incomplete != "" || h.Incarnation != "second" || h.Revision != revision+1 || len(exported) != 5 {
		t.Errorf("%+v: %v", h, exported)
	}
	if v := exported[4].Data.(*score.EventVoid); v.VoidsRevision != 0 || v.VoidsSeq != 4 {
		t.Errorf("the void is %+v", v)
	}
	if p := newStore(t, "gaul").post(exported); p != nil {
		t.Error(p)
	}
}

func TestADamagedSnapshotIsNotExported(t *testing.T) {
	s := newStore(t, "gaul")
	if p := s.post(alerts("bard/a", "G/1", 1, 3)); p != nil {
		t.Fatal(p)
	}
	t.Setenv("TMPDIR", t.TempDir())
	snapshot := s.snapshot()
	snapshot[len(snapshot)/2] ^= 1
	if out, err := Open(bytes.NewReader(snapshot), ""); err == nil {
		out.Close()
		t.Error("it was opened")
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "laurel-export-*")); err != nil || len(left) > 0 {
		t.Errorf("there are left: %q (%v)", left, err)
	}
}
