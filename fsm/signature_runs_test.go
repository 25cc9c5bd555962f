package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/database"
	"laurel/fsm/view"
	"laurel/score"
	"laurel/trust/signing"
)

// signedAlerts returns n alerts of bard/a beginning with a seq, signed in trees of a
// size.
func signedAlerts(t tester, from uint64, n, tree int) []score.Event {
	t.Helper()
	var events []score.Event
	for seq := range uint64(n) {
		events = append(events, unsignedAlert(1, "bard/a", from+seq, fmt.Sprint("rain ", from+seq)))
	}
	for part := range slices.Chunk(events, tree) {
		signEvents(t, 1, part)
	}
	return events
}

// timelineOf returns the timeline of a contest, read in pages of a size.
func timelineOf(t tester, m *Machine, contest string, page int) (all []score.TimelineEvent) {
	t.Helper()
	err := m.View(func(v *view.View) error {
		for after, more := uint64(0), true; more; more = after > 0 {
			list, next, err := v.Timeline(contest, after, page)
			if err != nil {
				return err
			}
			all, after = append(all, list...), next
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wantSigned checks that the timeline has the signatures that were posted, and that each
// can be verified without the other events.
func wantSigned(t tester, m *Machine, events []score.Event) {
	t.Helper()
	for _, page := range []int{1, 7, 1000} {
		all := timelineOf(t, m, "OG50BC/rain", page)
		if len(all) != len(events) {
			t.Fatalf("the timeline has %d events, want %d", len(all), len(events))
		}
		for i, l := range all {
			if !bytes.Equal(l.Signature, events[i].Signature) {
				t.Fatalf("in pages of %d, event %d (%s) does not have the posted signature", page, i, l.ID)
			}
			if l.Key == "" || page == 1 || page == 7 {
				continue // verified once
			}
			form, err := signing.FormOf(&score.Event{ID: l.ID, Source: l.Source, Seq: l.Seq, Type: l.Type,
				Time: l.Time, ContestID: l.ContestID, Key: l.Key}, l.Data)
			if err != nil || !new(signing.Verifier).Verify(m.Access().Grants[l.Key].Public, testLineage, form, l.Signature) {
				t.Fatalf("in pages of %d, event %d (%s) cannot be verified: %v", page, i, l.ID, err)
			}
		}
	}
}

// wantRuns checks the number of runs in the database, and of their signatures.
func wantRuns(t *testing.T, m *Machine, most, signatures int) {
	t.Helper()
	runs, n := 0, 0
	for _, r := range records(t, snapshotOf(t, m)) {
		if r.bucket != string(database.Signatures) {
			continue
		}
		runs++
		for rest := []byte(r.value); len(rest) > 0; n++ {
			_, size := protowire.ConsumeBytes(rest)
			if size < 0 {
				t.Fatalf("the run %x is damaged", r.key)
			}
			rest = rest[size:]
		}
	}
	if runs > most || n != signatures {
		t.Errorf("%d signatures are in %d runs; want %d in %d or fewer", n, runs, signatures, most)
	}
}

func TestEachSignatureOfARunCanBeVerifiedAlone(t *testing.T) {
	trees := []int{1, 7, 256}
	if fullRun() {
		trees = []int{1, 2, 7, 100, 256}
	}
	for _, tree := range trees {
		t.Run(fmt.Sprint("tree of ", tree), func(t *testing.T) {
			m := guardedMachine(t)
			events := signedAlerts(t, 1, 700, tree)
			// Posts that do not match the trees, and two of one event.
			for _, part := range [][]score.Event{events[:1], events[1:300], events[300:301], events[301:]} {
				for _, r := range applyPosts(t, m, score.Post{Events: part, Mode: score.UntilRefused})[0] {
					if r.Problem != nil {
						t.Fatal(r.Problem)
					}
				}
			}
			wantSigned(t, m, events)
			wantRuns(t, m, 14, len(events))
			restored := newMachine(t)
			if err := restored.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
				t.Fatal(err)
			}
			wantSigned(t, restored, events)
		})
	}
}

// Refused, unsigned and duplicate events are between the events of a run, and voids
// rewrite some of them.
func TestRunsContainOnlyTheSignaturesOfAppliedEvents(t *testing.T) {
	m := guardedMachine(t)
	events := signedAlerts(t, 1, 40, 8)
	mustPosted := func(p score.Post) {
		t.Helper()
		for _, r := range applyPosts(t, m, p)[0] {
			if r.Problem != nil {
				t.Fatal(r.Problem)
			}
		}
	}
	token := unsignedAlert(1, "bard/f", 1, "hail")
	token.Key, token.Token = "", "feed"
	mustPosted(score.Post{Events: slices.Concat(events[:5], []score.Event{token}, events[5:10]),
		Mode: score.UntilRefused})
	// This post begins with duplicates.
	mustPosted(score.Post{Events: slices.Concat(events[3:10], events[10:15]), Mode: score.UntilRefused})
	forged := slices.Clone(events[15:25])
	forged[6].Data = &score.Alert{Text: "sun"}
	before := stateOf(t, m)
	if r := applyPosts(t, m, score.Post{Events: forged})[0]; r[0].Problem == nil || stateOf(t, m) != before {
		t.Fatalf("all or none: got %+v", r)
	}
	if r := applyPosts(t, m, score.Post{Events: forged, Mode: score.UntilRefused})[0]; len(r) != 7 ||
		r[6].Problem == nil {
		t.Fatalf("until refused: got %+v", r)
	}
	mustPosted(score.Post{Events: events[21:39]})
	void := unsignedAlert(1, "bard/a", 40, "")
	void.Type, void.Data = score.TypeEventVoid, &score.EventVoid{Voids: events[30].ID, Reason: "sun"}
	next := unsignedAlert(1, "bard/a", 41, "late")
	last := signEvents(t, 1, []score.Event{void, next})
	mustPosted(score.Post{Events: last})
	wantSigned(t, m, slices.Concat(events[:5], []score.Event{token}, events[5:39], last))
	if l := timelineOf(t, m, "OG50BC/rain", 1000)[31]; l.ID != events[30].ID || l.VoidedBy != 41 {
		t.Errorf("the voided event is %+v", l)
	}
}
