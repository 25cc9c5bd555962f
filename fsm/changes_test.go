package fsm

import (
	"bytes"
	"context"
	"slices"
	"testing"
)

func wantAll(string) bool  { return true }
func wantNone(string) bool { return false }

const (
	defineRun = `{"id":"d","type":"contest.define","contest_id":"OG/RUN",` +
		`"data":{"kind":"ranked","sport":"marathon","result_type":"TIME","splits":["half","finish"],` +
		`"competitors":[{"code":"A","organisation":"GAU"}]}}`
	startRun  = `{"id":"s","type":"contest.status","contest_id":"OG/RUN","data":{"schedule_status":"RUNNING"}}`
	goldMedal = `{"id":"m","type":"medal.award","contest_id":"OG/MEN",` +
		`"data":{"award_id":"men-1","medal":"GOLD","organisation":"GAU"}}`
)

func TestChangesNamesEachChangedRecordOnce(t *testing.T) {
	m := newMachine(t)
	mustApply(t, m, "%s", defineRun)
	from, changed := m.Track()
	if from != 1 {
		t.Fatalf("tracking began at revision %d, want 1", from)
	}
	mustApply(t, m, "%s", startRun)
	mustApply(t, m, `{"id":"a","type":"alert","contest_id":"OG/RUN","data":{"text":"one"}}`)
	mustApply(t, m, "%s", goldMedal)
	select {
	case <-changed:
	default:
		t.Fatal("the channel has no value")
	}
	c := m.Changes(wantAll, wantAll)
	slices.Sort(c.Contests)
	slices.Sort(c.Timelines)
	if c.To != 4 || !slices.Equal(c.Contests, []string{"OG/RUN"}) ||
		!slices.Equal(c.Timelines, []string{"OG/MEN", "OG/RUN"}) || !slices.Equal(c.Tables, []string{"OG"}) {
		t.Errorf("got %+v", c)
	}
	// An alert changes the timeline, but no record.
	if len(c.Records) != 1 || c.Records[0].ID != "OG/RUN" || c.Records[0].Revision != 2 || len(c.MedalTables) != 1 ||
		c.MedalTables[0].Revision != 4 {
		t.Errorf("the new values are %+v and %+v", c.Records, c.MedalTables)
	}
	if c = m.Changes(wantAll, wantAll); len(c.Contests)+len(c.Timelines)+len(c.Tables) != 0 {
		t.Errorf("changes are returned twice: %+v", c)
	}
	mustApply(t, m, `{"id":"b","type":"alert","contest_id":"OG/RUN","data":{"text":"two"}}`)
	if c = m.Changes(wantNone, wantNone); len(c.Timelines) != 1 || len(c.Contests) != 0 {
		t.Errorf("an alert changed more than a timeline: %+v", c)
	}
	mustApply(t, m, `{"id":"f","type":"contest.status","contest_id":"OG/RUN","data":{"clock":"1"}}`)
	if c = m.Changes(wantNone, wantNone); len(c.Contests) != 1 || len(c.Records) != 0 {
		t.Errorf("a record that was not wanted was returned: %+v", c)
	}
}

func TestTheValuesOfChangesBelongToTheCaller(t *testing.T) {
	m := newMachine(t)
	m.Track()
	mustApply(t, m, "%s", defineRun)
	c := m.Changes(wantAll, wantAll)
	c.Records[0].Competitors[0].Code = "B"
	c.Records[0].ScheduleStatus = "FINISHED"
	mustApply(t, m, "%s", startRun)
	if again := m.Changes(wantAll, wantAll).Records[0]; again.Competitors[0].Code != "A" ||
		again.ScheduleStatus != "RUNNING" {
		t.Errorf("the state was changed from outside: %+v", again)
	}
}

func TestAwaitReturnsWhenTheRevisionIsApplied(t *testing.T) {
	m := newMachine(t)
	reached := make(chan uint64, 1)
	go func() {
		if err := m.Await(context.Background(), 2); err != nil {
			t.Error(err)
		}
		reached <- m.Revision()
	}()
	mustApply(t, m, "%s", defineRun)
	mustApply(t, m, "%s", startRun)
	if revision := <-reached; revision < 2 {
		t.Errorf("waiting for revision 2 ended at revision %d", revision)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.Await(ctx, 3); err == nil {
		t.Error("waiting for a revision that was never applied ended without an error")
	}
}

func TestInstallingASnapshotWakesAwait(t *testing.T) {
	from, to := newMachine(t), newMachine(t)
	mustApply(t, from, "%s", defineRun)
	mustApply(t, from, "%s", startRun)
	snapshot := snapshotOf(t, from)
	reached := make(chan error, 1)
	go func() { reached <- to.Await(context.Background(), 2) }()
	if err := to.Restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	if err := <-reached; err != nil {
		t.Fatal(err)
	}
}
