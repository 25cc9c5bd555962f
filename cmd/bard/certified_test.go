package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"laurel/client"
	"laurel/client/verify"
	"laurel/internal/testwitness"
	"laurel/score"
)

// desk is a keeper, and two frontends of a group that certifies what the second one is posted.
type desk struct {
	*keeper
	*testwitness.Group
	urls [2]string

	mu     sync.Mutex
	said   strings.Builder
	posted []string // at the second frontend
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{Group: testwitness.New(t, "games")}
	d.Certify(map[string]string{"roster": "{}"})
	for i := range d.urls {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost {
				d.ServeHTTP(w, r)
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || i == 0 {
				t.Errorf("the first frontend was posted %s, %v", body, err)
			}
			d.mu.Lock()
			d.posted = append(d.posted, string(body))
			d.mu.Unlock()
			d.certifyTo(2)
			fmt.Fprint(w, "[]")
		}))
		t.Cleanup(s.Close)
		d.urls[i] = s.URL
	}
	c, err := client.New(d.urls[:], client.Options{Timeout: time.Minute, AttemptTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	r := verify.NewCertified(c, d.Policy, "")
	d.keeper = &keeper{
		client: c, reader: r, patience: time.Minute, sources: map[int]string{}, kept: map[string][]uncertified{}, moved: time.Now(),
		println: func(format string, args ...any) {
			d.mu.Lock()
			defer d.mu.Unlock()
			fmt.Fprintf(&d.said, format+"\n", args...)
		},
	}
	return d
}

func (d *desk) certifyTo(seq int) {
	d.Certify(map[string]string{"bards/desk": fmt.Sprintf(`{"source":"desk","last_seq":%d,"last_id":"x"}`, seq)})
}

// acknowledge has the first frontend acknowledge the events 1 and 2.
func (d *desk) acknowledge(t *testing.T, ago time.Duration) {
	t.Helper()
	for seq := uint64(1); seq <= 2; seq++ {
		if err := d.expect(t.Context(), int(seq), "desk"); err != nil {
			t.Fatal(err)
		}
		d.keep(client.Answer{Line: client.Line{Number: int(seq), Seq: seq, JSON: fmt.Appendf(nil, `{"n":%d}`, seq)},
			Result: score.Result{Status: score.Applied, Seq: seq}, URL: d.urls[0]})
		d.kept["desk"][seq-1].at = time.Now().Add(-ago)
	}
}

func TestEventsAreKeptUntilTheyAreCertified(t *testing.T) {
	d := newDesk(t)
	d.acknowledge(t, -time.Hour) // so that none is posted elsewhere, however long this takes
	for last := range 2 {
		d.certifyTo(last)
		if d.look(t.Context()); d.count != 2-last {
			t.Fatalf("certified up to %d: %d events are kept", last, d.count)
		}
	}
	defer d.begin(t.Context())()
	d.certifyTo(2)
	if err := d.wait(t.Context(), 0); err != nil || len(d.posted) > 0 {
		t.Errorf("%v; posted again was %q", err, d.posted)
	}
}

func TestWhatIsNotCertifiedIsPostedElsewhereAndWhoAcknowledgedItIsNamed(t *testing.T) {
	d := newDesk(t)
	d.acknowledge(t, 2*postAgainAfter)
	defer d.begin(t.Context())()
	if err := d.wait(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	want := d.urls[0] + " acknowledged 2 events of desk from seq 1 on, which are not certified after 5s"
	if len(d.posted) != 1 || d.posted[0] != `[{"n":1},{"n":2}]` || !strings.Contains(d.said.String(), want) {
		t.Errorf("posted was %q; it said\n%s", d.posted, d.said.String())
	}
}

func TestWhoAcknowledgedWhatIsNeverCertifiedIsNamed(t *testing.T) {
	d := newDesk(t)
	d.patience = 100 * time.Millisecond
	d.acknowledge(t, -time.Hour) // so that none is posted elsewhere, however long this takes
	defer d.begin(t.Context())()
	err := d.wait(t.Context(), 0)
	if err == nil || !strings.Contains(err.Error(), "2 events are acknowledged and not certified: desk from seq 1 on by "+d.urls[0]) {
		t.Errorf("got %v", err)
	}
}
