package fsm

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/view"
	"laurel/score"
	"laurel/score/eventsig"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// unsignedAlert returns a complete alert that testKey(n) can sign.
func unsignedAlert(n byte, source string, seq uint64, text string) score.Event {
	return score.Event{ID: fmt.Sprintf("%s-%d", source, seq), IDGiven: true, Source: source, Seq: seq,
		Type: score.TypeAlert, Time: accessDay, TimeGiven: true,
		ContestID: "OG50BC/rain", Data: &score.Alert{Text: text}, Key: keyGrant(n, "").ID}
}

// testLineage is the lineage of the stores of tests.
const testLineage = "games50bc"

var setLineage = access.Change{Setting: &access.Setting{Name: access.SettingLineage, Value: testLineage}}

func signEvents(t tester, n byte, events []score.Event) []score.Event {
	t.Helper()
	if err := signing.Sign(testKey(n), testLineage, events); err != nil {
		t.Fatal(err)
	}
	return events
}

// signedAlert returns an alert that is signed alone.
func signedAlert(t tester, n byte, source string, seq uint64, text string) score.Event {
	t.Helper()
	return signEvents(t, n, []score.Event{unsignedAlert(n, source, seq, text)})[0]
}

// guardedMachine returns a machine with a guarded store, where testKey(1) is bard/a,
// testKey(2) is bard/b, and "feed" is a token of bard/f.
func guardedMachine(t testing.TB) *Machine {
	t.Helper()
	m := newMachine(t)
	mustChange(t, m, setLineage, access.Change{Guard: true}, access.Change{Grant: keyGrant(1, "bard/a")},
		access.Change{Grant: keyGrant(2, "bard/b")},
		access.Change{Grant: tokenGrant("feed", "bard/f", access.RoleBard)})
	return m
}

// outcomeOf applies an event and returns the status of its result or the code of its
// problem.
func outcomeOf(t tester, m *Machine, e score.Event) string {
	t.Helper()
	r := applyPosts(t, m, singlePost(e))[0][0]
	if r.Problem != nil {
		return string(r.Problem.Code)
	}
	return r.Status
}

func wantOutcome(t testing.TB, m *Machine, e score.Event, want string) {
	t.Helper()
	if got := outcomeOf(t, m, e); got != want {
		t.Errorf("%q of %s seq %d: got %s, want %s", e.ID, e.Source, e.Seq, got, want)
	}
}

func TestAGuardedStoreRefusesUnauthorizedEvents(t *testing.T) {
	m := guardedMachine(t)
	good := signedAlert(t, 1, "bard/a", 1, "rain")
	before := stateOf(t, m)
	for name, spoil := range map[string]func(e *score.Event){
		"unsigned":            func(e *score.Event) { e.Key, e.Signature = "", nil },
		"no signature":        func(e *score.Event) { e.Signature = nil },
		"truncated signature": func(e *score.Event) { e.Signature = e.Signature[:len(e.Signature)-1] },
		"no key":              func(e *score.Event) { e.Key = "" },
		"other data":          func(e *score.Event) { e.Data = &score.Alert{Text: "sun"} },
		"other contest":       func(e *score.Event) { e.ContestID = "OG50BC/sun" },
		"other time":          func(e *score.Event) { e.Time = e.Time.Add(1) },
		"other id":            func(e *score.Event) { e.ID = "x" },
		"other seq":           func(e *score.Event) { e.Seq = 2 },
		"other source":        func(e *score.Event) { e.Source = "bard/a/2" },
		"other type": func(e *score.Event) {
			e.Type, e.Data = score.TypeCompetitionDefine, &score.CompetitionDefine{}
		},
		"other key":       func(e *score.Event) { e.Key = keyGrant(2, "").ID },
		"unknown key":     func(e *score.Event) { e.Key = keyGrant(9, "").ID },
		"unknown sender":  func(e *score.Event) { *e = signedAlert(t, 9, "bard/a", 1, "rain") },
		"of another bard": func(e *score.Event) { *e = signedAlert(t, 2, "bard/a", 1, "rain") },
		"signature of another event": func(e *score.Event) {
			e.Signature = signedAlert(t, 1, "bard/a", 2, "rain").Signature
		},
		"unknown token":      func(e *score.Event) { e.Key, e.Signature, e.Token = "", nil, "fed" },
		"token of another":   func(e *score.Event) { e.Key, e.Signature, e.Token = "", nil, "feed" },
		"key as a token":     func(e *score.Event) { e.Token, e.Key, e.Signature = e.Key, "", nil },
		"token as a key":     func(e *score.Event) { e.Key, e.Source = "feed", "bard/f" },
		"id of a frontend":   func(e *score.Event) { e.IDGiven = false },
		"time of a frontend": func(e *score.Event) { e.TimeGiven = false },
	} {
		e := good
		spoil(&e)
		r := applyPosts(t, m, singlePost(e))[0][0]
		if r.Problem == nil || r.Problem.Code != score.Unauthorized && r.Problem.Code != score.Forbidden ||
			r.Problem.ID != e.ID {
			t.Errorf("%s: got %+v", name, r)
		}
	}
	if stateOf(t, m) != before {
		t.Error("an event was applied")
	}
	wantOutcome(t, m, good, score.Applied)
	token := unsignedAlert(1, "bard/f", 1, "rain")
	token.Key, token.Token = "", "feed"
	wantOutcome(t, m, token, score.Applied)
}

func TestAnAlteredSignedEventIsRefusedInAnUnguardedStoreToo(t *testing.T) {
	m := newMachine(t)
	mustChange(t, m, setLineage)
	good := signedAlert(t, 1, "bard/a", 1, "rain")
	wantOutcome(t, m, good, string(score.Unauthorized)) // the key is unknown
	mustChange(t, m, access.Change{Grant: keyGrant(1, "bard/a")})
	bad := good
	bad.Data = &score.Alert{Text: "sun"}
	wantOutcome(t, m, bad, string(score.Unauthorized))
	wantOutcome(t, m, good, score.Applied)
	unsigned := unsignedAlert(1, "bard/a", 2, "rain")
	unsigned.Key = ""
	wantOutcome(t, m, unsigned, score.Applied)
}

func TestARevocationTakesEffectAtItsPlaceInTheLog(t *testing.T) {
	var log []Entry
	add := func(b []byte) { log = append(log, Entry{uint64(len(log)) + 1, b}) }
	event := func(seq uint64) []byte { return encodeEntry(t, singlePost(signedAlert(t, 1, "bard/a", seq, "rain"))) }
	add(encodeChange(t, setLineage))
	add(encodeChange(t, access.Change{Guard: true}))
	add(event(1))
	add(encodeChange(t, access.Change{Grant: keyGrant(1, "bard/a")}))
	add(event(1))
	add(encodeChange(t, access.Change{Revoke: keyGrant(1, "").ID}))
	add(event(2))
	add(event(1)) // a duplicate
	for _, atOnce := range []int{1, 3, len(log)} {
		m := newMachine(t)
		var got []string
		for part := range slices.Chunk(log, atOnce) {
			outcome, err := m.Apply(part, part[len(part)-1].Index)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range outcome {
				if p := o[0][0].Problem; p != nil {
					got = append(got, string(p.Code))
				} else {
					got = append(got, o[0][0].Status)
				}
			}
		}
		want := "applied applied unauthorized applied applied applied unauthorized duplicate"
		if strings.Join(got, " ") != want {
			t.Errorf("%d at once: %s, want %s", atOnce, got, want)
		}
	}
}

func TestARepeatedEventIsADuplicateWhateverItsSignature(t *testing.T) {
	m := guardedMachine(t)
	events := signEvents(t, 1, []score.Event{unsignedAlert(1, "bard/a", 1, "rain"),
		unsignedAlert(1, "bard/a", 2, "hail")})
	wantOutcome(t, m, events[0], score.Applied)
	alone := signedAlert(t, 1, "bard/a", 1, "rain") // in another batch, with another signature
	if bytes.Equal(alone.Signature, events[0].Signature) {
		t.Fatal("the test is wrong: the signatures are equal")
	}
	wantOutcome(t, m, alone, score.Duplicate)
	// The key is revoked. The bard repeats the events without a result, signed with its
	// next key.
	mustChange(t, m, access.Change{Grant: keyGrant(3, "bard/a")}, access.Change{Revoke: keyGrant(1, "").ID})
	wantOutcome(t, m, signedAlert(t, 3, "bard/a", 1, "rain"), score.Duplicate)
	wantOutcome(t, m, signedAlert(t, 3, "bard/a", 2, "hail"), score.Applied)
	unsigned := events[0]
	unsigned.Key, unsigned.Signature = "", nil
	wantOutcome(t, m, unsigned, score.Duplicate)
}

func TestAnUnauthorizedSenderLearnsOnlyThat(t *testing.T) {
	m := guardedMachine(t)
	wantOutcome(t, m, signedAlert(t, 1, "bard/a", 1, "rain"), score.Applied)
	for seq, text := range map[uint64]string{1: "sun", 2: "sun", 7: "sun"} {
		unsigned := unsignedAlert(1, "bard/a", seq, text)
		unsigned.Key = ""
		wantOutcome(t, m, unsigned, string(score.Unauthorized))
		wantOutcome(t, m, signedAlert(t, 2, "bard/a", seq, text), string(score.Forbidden))
	}
	wantOutcome(t, m, signedAlert(t, 1, "bard/a", 1, "sun"), string(score.IDConflict))
	wantOutcome(t, m, signedAlert(t, 1, "bard/a", 7, "sun"), string(score.SeqGap))
}

func TestAnArrayWithAnUnauthorizedEventIsRefusedAsAWhole(t *testing.T) {
	m := guardedMachine(t)
	events := signEvents(t, 1, []score.Event{unsignedAlert(1, "bard/a", 1, "one"),
		unsignedAlert(1, "bard/a", 2, "two"), unsignedAlert(1, "bard/a", 3, "three")})
	events[1].Data = &score.Alert{Text: "altered"}
	before := stateOf(t, m)
	r := applyPosts(t, m, score.Post{Events: events})[0]
	if len(r) != 1 || r[0].Problem == nil || r[0].Problem.Code != score.Unauthorized || *r[0].Problem.Index != 1 ||
		stateOf(t, m) != before {
		t.Errorf("got %+v", r)
	}
	r = applyPosts(t, m, score.Post{Events: events, Mode: score.UntilRefused})[0]
	if len(r) != 2 || r[0].Status != score.Applied || r[1].Problem == nil || m.Revision() != 1 {
		t.Errorf("got %+v", r)
	}
}

// encodeRawEvent encodes an entry that a corrupt master could write: its event may have
// any data.
func encodeRawEvent(e *score.Event, data string) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 0)
	b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), encodeEvent(e, []byte(data)))
	return protowire.AppendBytes(protowire.AppendTag([]byte{3}, 1, protowire.BytesType), b)
}

func TestAMasterCannotRewriteSignedData(t *testing.T) {
	m := guardedMachine(t)
	e := unsignedAlert(1, "bard/a", 1, "")
	e.Data = &score.Alert{Text: "rain", Comment: "heavy"}
	e = signEvents(t, 1, []score.Event{e})[0]
	play := e
	for _, data := range []string{`{"comment":"heavy","text":"rain"}`, `{"text":"rain", "comment":"heavy"}`,
		`{"text":"rain","comment":"\u0068eavy"}`, `{"text":"rain"}`} {
		index := m.Applied() + 1
		outcome, err := m.Apply([]Entry{{index, encodeRawEvent(&play, data)}}, index)
		if err != nil || outcome[0][0][0].Problem == nil || outcome[0][0][0].Problem.Code != score.Unauthorized {
			t.Errorf("%s: got %+v, %v", data, outcome, err)
		}
	}
	odd := e
	odd.Time = e.Time.In(time.FixedZone("", 30)) // has the text form of a UTC time
	index := m.Applied() + 1
	outcome, err := m.Apply([]Entry{{index, encodeRawEvent(&odd, `{"text":"rain","comment":"heavy"}`)}}, index)
	if err != nil || outcome[0][0][0].Problem == nil {
		t.Errorf("a time with another offset: %+v, %v", outcome, err)
	}
	wantOutcome(t, m, e, score.Applied)
}

// The timeline has everything that is needed to verify an event, even if the event is
// voided.
func TestTheTimelineShowsTheKeyOrTokenOfEachEvent(t *testing.T) {
	m := guardedMachine(t)
	signed := signedAlert(t, 1, "bard/a", 1, "rain")
	signed.Token = "feed" // added by a frontend; the signature identifies the sender
	wantOutcome(t, m, signed, score.Applied)
	token := unsignedAlert(1, "bard/f", 1, "hail")
	token.Key, token.Token = "", "feed"
	wantOutcome(t, m, token, score.Applied)
	void := unsignedAlert(1, "bard/a", 2, "")
	void.Type, void.Data = score.TypeEventVoid, &score.EventVoid{Voids: signed.ID, Reason: "sun"}
	wantOutcome(t, m, signEvents(t, 1, []score.Event{void})[0], score.Applied)
	restored := newMachine(t)
	if err := restored.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
		t.Fatal(err)
	}
	err := restored.View(func(v *view.View) error {
		list, _, err := v.Timeline("OG50BC/rain", 0, 10)
		if err != nil {
			return err
		}
		if len(list) != 3 || list[0].VoidedBy != list[2].Revision || list[0].Token != "" || list[1].Token != "feed" ||
			list[1].Key != "" || list[1].Signature != nil {
			t.Errorf("the timeline is %+v", list)
		}
		for _, at := range []int{0, 2} {
			l := list[at]
			form, err := signing.FormOf(&score.Event{ID: l.ID, Source: l.Source, Seq: l.Seq, Type: l.Type,
				Time: l.Time, ContestID: l.ContestID, Key: l.Key}, l.Data)
			if err != nil || !new(signing.Verifier).Verify(restored.Access().Grants[l.Key].Public, testLineage, form, l.Signature) {
				t.Errorf("event %d cannot be verified: %+v, %v", at, l, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSignedEntriesKeepTheFormatOfVersion3(t *testing.T) {
	events := signEvents(t, 1, []score.Event{unsignedAlert(1, "bard/a", 1, "rain"),
		unsignedAlert(1, "bard/a", 2, "hail")})
	token := unsignedAlert(1, "bard/f", 1, "snow")
	token.Key, token.Token = "", "feed"
	data := golden(t, "entry-signed-v3.hex", encodeEntry(t, score.Post{Events: events}, singlePost(token)))
	m := guardedMachine(t)
	outcome, err := m.Apply([]Entry{{m.Applied() + 1, data}}, m.Applied()+1)
	if err != nil || outcome[0][0][1].Revision != 2 || outcome[0][1][0].Revision != 3 {
		t.Errorf("got %+v, %v", outcome, err)
	}
	golden(t, "snapshot-signed-v3.hex", snapshotOf(t, m))
}

func TestCheckingSignaturesInParallelGivesTheSameResult(t *testing.T) {
	var events []score.Event
	for seq := range uint64(200) {
		events = append(events, unsignedAlert(1, "bard/a", seq+1, "rain"))
	}
	for tree := range slices.Chunk(events, 7) {
		signEvents(t, 1, tree)
	}
	altered := slices.Clone(events)
	altered[150].Data = &score.Alert{Text: "sun"}
	data := encodeEntry(t, score.Post{Events: altered, Mode: score.UntilRefused},
		score.Post{Events: events[140:], Mode: score.UntilRefused})
	var snapshots [][]byte
	for _, processors := range []int{1, 2, 5, 64} {
		m := guardedMachine(t)
		was := runtime.GOMAXPROCS(processors)
		outcome, err := m.Apply([]Entry{{m.Applied() + 1, data}}, m.Applied()+1)
		runtime.GOMAXPROCS(was)
		if err != nil {
			t.Fatal(err)
		}
		if first := outcome[0][0]; len(first) != 151 || first[149].Status != score.Applied ||
			first[150].Problem == nil || m.Revision() != 200 {
			t.Errorf("with %d processors: %d results, revision %d", processors, len(first), m.Revision())
		}
		if snapshots = append(snapshots, snapshotOf(t, m)); !bytes.Equal(snapshots[0], snapshots[len(snapshots)-1]) {
			t.Errorf("with %d processors the snapshot is different", processors)
		}
	}
}

// The frontend that takes a post has verified its signatures before the state machine does,
// and trees are not signed for the entries, or for the processors that share the work.
func TestEachTreeIsCheckedOnceAtEachFrontend(t *testing.T) {
	var events []score.Event
	for seq := range uint64(700) {
		events = append(events, unsignedAlert(1, "bard/a", seq+1, "rain"))
	}
	signEvents(t, 1, events[:100])
	trees := 1
	for tree := range slices.Chunk(events[100:], eventsig.MaxTree) {
		signEvents(t, 1, tree)
		trees++
	}
	for _, processors := range []int{1, 2, 5} {
		m := guardedMachine(t)
		for i := range events[:200] {
			public := m.Access().Grants[events[i].Key].Public
			if p := m.Verifier().VerifyEvent(public, testLineage, &events[i]); p != nil {
				t.Fatal(p)
			}
		}
		was := runtime.GOMAXPROCS(processors)
		for _, part := range [][]score.Event{events[:300], events[300:500], events[500:]} {
			applyPosts(t, m, score.Post{Events: part, Mode: score.UntilRefused})
		}
		runtime.GOMAXPROCS(was)
		if n := m.Verifier().Checks(); n != trees || m.Revision() != uint64(len(events)) {
			t.Errorf("with %d processors: %d signatures were checked for %d trees; revision %d", processors, n, trees, m.Revision())
		}
	}
}

// One key may be granted in many stores: a rehearsal and the Games, or a group begun anew.
func TestAnEventSignedForAnotherStoreIsRefused(t *testing.T) {
	m := guardedMachine(t)
	rehearsal := []score.Event{unsignedAlert(1, "bard/a", 1, "rain")}
	if err := signing.Sign(testKey(1), "rehearsal", rehearsal); err != nil {
		t.Fatal(err)
	}
	replayed := rehearsal[0]
	for _, lineage := range []string{"rehearsal", testLineage, ""} { // the log does not have it, so it may say anything
		replayed.Lineage = lineage
		p := applyPosts(t, m, singlePost(replayed))[0][0].Problem
		if p == nil || p.Code != score.Unauthorized || !strings.Contains(p.Detail, "for the store "+testLineage) {
			t.Errorf("got %v", p)
		}
	}
	wantOutcome(t, m, signedAlert(t, 1, "bard/a", 1, "rain"), score.Applied)
}

// Nobody can sign for a store without a lineage, so a replay there is refused, too.
func TestASignedEventIsRefusedBeforeTheStoreHasALineage(t *testing.T) {
	m := newMachine(t)
	mustChange(t, m, access.Change{Grant: keyGrant(1, "bard/a")})
	wantOutcome(t, m, signedAlert(t, 1, "bard/a", 1, "rain"), string(score.Unauthorized))
	mustChange(t, m, setLineage)
	wantOutcome(t, m, signedAlert(t, 1, "bard/a", 1, "rain"), score.Applied)
}
