package watch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
)

// fakeMemory is a Memory that counts.
type fakeMemory struct {
	mu         sync.Mutex
	full       bool
	limit      int // 0 for none
	held, most int
}

func (m *fakeMemory) Hold(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full || m.limit > 0 && m.held > 0 && m.held+n > m.limit {
		return false
	}
	m.held += n
	m.most = max(m.most, m.held)
	return true
}

func (m *fakeMemory) Resize(from, to int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held += to - from
	m.most = max(m.most, m.held)
}

func (m *fakeMemory) setFull(full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = full
}

func (m *fakeMemory) now() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held
}

// countingStore counts the pages of timelines that are read.
type countingStore struct {
	*fakeStore
	pages atomic.Int64
}

func (s *countingStore) Events(ctx context.Context, id string, after uint64) ([]Event, bool, error) {
	s.pages.Add(1)
	return s.fakeStore.Events(ctx, id, after)
}

// longTimelines returns a store and a hub with n events of a KiB in each of two timelines.
func longTimelines(t *testing.T, n int) (*countingStore, *Hub) {
	t.Helper()
	s := &countingStore{fakeStore: newFakeStore()}
	s.padding = `,"text":"` + strings.Repeat("x", 1000) + `"`
	last := uint64(0)
	for range n {
		last = s.change("C/1", "C/2")
	}
	h := newHub(t, s)
	awaitDelivered(t, h, last)
	return s, h
}

// parse returns the events of a stream.
func parse(t *testing.T, stream []byte) (list []streamEvent) {
	t.Helper()
	conn, _ := net.Pipe() // for its deadlines
	c := &client{t: t, conn: conn, r: bufio.NewReader(bytes.NewReader(stream))}
	for {
		e, err := c.next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := len(list); n > 0 && list[n-1].data.More {
			if e.event != "snapshot" || list[n-1].id != e.id && list[n-1].id != "" {
				t.Fatalf("a part of a snapshot is followed by %s with the id %s", e.event, e.id)
			}
			e.data.Timeline = append(list[n-1].data.Timeline, e.data.Timeline...)
			e.data.Scores = append(list[n-1].data.Scores, e.data.Scores...)
			list = list[:n-1]
		}
		list = append(list, e)
	}
}

// TestALongSnapshotComesInEventsOfBoundedSize reads a snapshot as a client that takes one
// event at a time.
func TestALongSnapshotComesInEventsOfBoundedSize(t *testing.T) {
	const contests = 20_000
	s, h := longTimelines(t, 1000)
	for i := range contests {
		s.change(fmt.Sprint("C/", i+1))
	}
	awaitDelivered(t, h, s.lastRevision())
	_, stream, err := begin(t.Context(), h, Subjects{Everything: true, Timelines: []string{"C/1"}}, "")
	if err != nil {
		t.Fatal(err)
	}
	snapshot, _, _ := strings.Cut(string(stream), "event: heartbeat\n")
	events := strings.Split(strings.TrimSuffix(snapshot, "\n\n"), "\n\n")
	seen := 0
	for i, event := range events {
		lines := strings.Split(event, "\n")
		data, ok := strings.CutPrefix(lines[1], "data: ")
		var lists map[string]any
		if err := json.Unmarshal([]byte(data), &lists); err != nil || !ok || lines[0] != "event: snapshot" {
			t.Fatalf("event %d begins with %.100q: %v", i, event, err)
		}
		for _, name := range listNames {
			if _, ok := lists[name].([]any); !ok {
				t.Fatalf("event %d has no list %s", i, name)
			}
		}
		seen += len(lists["scores"].([]any))
		last := i == len(events)-1
		if more := lists["more"] == true; more == last || more != (len(lines) == 2) {
			t.Errorf("event %d of %d has more=%v and %d lines; only the last has an id", i, len(events), more, len(lines))
		}
		if len(event) > pageBytes+eventsPage*1100 {
			t.Errorf("event %d has %d bytes", i, len(event))
		}
	}
	if seen != contests || len(events) < 4 {
		t.Errorf("%d events have %d contests; want %d in some", len(events), seen, contests)
	}
}

func TestTheBeginningOfAStreamIsWrittenPageByPage(t *testing.T) {
	const events = 3000
	s, h := longTimelines(t, events)
	for i := range 2000 {
		s.change(fmt.Sprint("C/", i+1))
	}
	awaitDelivered(t, h, s.lastRevision())
	m := &fakeMemory{}
	w, err := h.Subscribe(Subjects{Competitions: []string{"C"}, Timelines: []string{"C/1", "C/2"}}, Client{Memory: m})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Remove(w)
	var stream []byte
	parts := 0
	err = h.Begin(t.Context(), w, "", func(part []byte) error {
		if n := m.now(); len(part) > partBytes || n < len(part) || n > eventsPage*1100+pageBytes+2000*nameBytes {
			t.Errorf("a part of %d bytes while %d are held", len(part), n)
		}
		stream = append(stream, part...)
		parts++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.now() != 0 || m.most > timelinesHold {
		t.Errorf("%d bytes are held at the end, %d at most before", m.now(), m.most)
	}
	list := parse(t, stream)
	if len(list) != 1 || len(list[0].data.Timeline) != 2*(events+1) || len(list[0].data.Scores) != 2000 || parts < 20 {
		t.Errorf("%d parts have %d events of the stream; want a whole snapshot", parts, len(list))
	}
}

func TestAClientThatDoesNotReadHoldsOnePageOfTheBeginning(t *testing.T) {
	s, h := longTimelines(t, 10_000)
	before := s.pages.Load()
	m := &fakeMemory{}
	w, err := h.Subscribe(Subjects{Timelines: []string{"C/1", "C/2"}}, Client{Memory: m})
	if err != nil {
		t.Fatal(err)
	}
	parts := 0
	err = h.Begin(t.Context(), w, "", func([]byte) error {
		if n := s.pages.Load() - before; n > 1 {
			t.Errorf("%d pages of events were read; want one", n)
		}
		if n := m.now(); n > eventsPage*1100+pageBytes {
			t.Errorf("%d bytes are held; want a page", n)
		}
		parts++
		return context.DeadlineExceeded // as after SlowWriteTimeout
	})
	if !errors.Is(err, context.DeadlineExceeded) || parts != 1 || m.now() != 0 {
		t.Errorf("got %v after %d parts, and %d bytes are still held", err, parts, m.now())
	}
	h.Remove(w)
}

func TestABeginningWaitsForRoomInItsClientsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		h := newHub(t, s)
		awaitDelivered(t, h, s.change("C/1"))
		m := &fakeMemory{full: true}
		w, err := h.Subscribe(Subjects{Contests: []string{"C/1"}}, Client{Memory: m})
		if err != nil {
			t.Fatal(err)
		}
		var stream []byte
		begin := func() error {
			return h.Begin(t.Context(), w, "", func(part []byte) error {
				stream = append(stream, part...)
				return nil
			})
		}
		if err := begin(); !errors.Is(err, ErrNoMemory) || len(stream) > 0 {
			t.Errorf("without room: got %q, %v; want ErrNoMemory", stream, err)
		}
		done := make(chan error, 1)
		go func() { done <- begin() }()
		synctest.Wait()
		m.setFull(false)
		if err := <-done; err != nil || !strings.HasPrefix(string(stream), "event: snapshot") {
			t.Errorf("with room: got %q, %v", stream, err)
		}
		h.Remove(w)
	})
}

func TestASnapshotNamesTheIncarnationsThatHaveEnded(t *testing.T) {
	for want, former := range map[string][]string{
		`{"incarnation":"fake","timeline"`:                    nil,
		`{"incarnation":"fake","former":["b"],"timeline"`:     {"b"},
		`{"incarnation":"fake","former":["a","b"],"timeline"`: {"a", "b"},
	} {
		s, h := longTimelines(t, 1)
		s.former = former
		w, err := h.Subscribe(Subjects{Timelines: []string{"C/1"}}, Client{})
		if err != nil {
			t.Fatal(err)
		}
		var stream []byte
		err = h.Begin(t.Context(), w, "", func(part []byte) error {
			stream = append(stream, part...)
			return nil
		})
		if err != nil || !strings.HasPrefix(string(stream), "event: snapshot\ndata: "+want) {
			t.Errorf("the stream begins with %.120q, %v; want %s", stream, err, want)
		}
	}
}

// More happens while a client takes the beginning slowly than may wait for a watcher.
func TestAStreamThatIsTakenSlowlyMissesNothingOfABusyTimeline(t *testing.T) {
	s, h := longTimelines(t, 2000)
	w, err := h.Subscribe(Subjects{Timelines: []string{"C/1"}}, Client{})
	if err != nil {
		t.Fatal(err)
	}
	var stream []byte
	var busy sync.Once
	err = h.Begin(t.Context(), w, "", func(part []byte) error {
		busy.Do(func() {
			for range maxPendingEvents + 100 {
				s.change("C/1")
			}
			awaitDelivered(t, h, s.lastRevision())
		})
		stream = append(stream, part...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Remove(w)
	if list := parse(t, stream); len(list) != 1 || len(list[0].data.Timeline) != 2000+maxPendingEvents+100 {
		t.Errorf("got %d events; want all in a snapshot", len(list))
	}
}

func TestAStreamOfOneTimelineResumesPageByPage(t *testing.T) {
	const events = 3000
	_, h := longTimelines(t, events)
	_, stream, err := begin(t.Context(), h, Subjects{Timelines: []string{"C/1"}, Contests: []string{"C/1"}}, "fake-1")
	if err != nil {
		t.Fatal(err)
	}
	list := parse(t, stream)
	if len(list) != events { // all but the first, and the record
		t.Fatalf("got %d events; want %d", len(list), events)
	}
	for i, e := range list[:events-1] {
		revision := uint64(2*i + 3)
		if e.event != "timeline" || e.data.Revision != revision || e.id != fmt.Sprint("fake-1-", revision) {
			t.Fatalf("event %d is %s of revision %d with the id %s", i, e.event, e.data.Revision, e.id)
		}
	}
	if last := list[events-1]; last.event != "score" || last.id != fmt.Sprint("fake-", 2*events) {
		t.Errorf("last came %s with the id %s", last.event, last.id)
	}
}

func TestAStreamOfSeveralTimelinesThatIsFarBehindBeginsWithASnapshot(t *testing.T) {
	const events = 3000
	_, h := longTimelines(t, events)
	subjects := Subjects{Timelines: []string{"C/1", "C/2"}}
	_, stream, err := begin(t.Context(), h, subjects, "fake-1")
	if err != nil {
		t.Fatal(err)
	}
	if list := parse(t, stream); len(list) != 1 || list[0].event != "snapshot" || len(list[0].data.Timeline) != 2*events {
		t.Errorf("got %d events; want a snapshot", len(list))
	}
	_, stream, err = begin(t.Context(), h, subjects, fmt.Sprint("fake-", 2*events-20))
	if err != nil {
		t.Fatal(err)
	}
	last := uint64(0)
	for _, e := range parse(t, stream) {
		if e.event != "timeline" || e.data.Revision <= last {
			t.Errorf("after revision %d came %s of revision %d", last, e.event, e.data.Revision)
		}
		last = e.data.Revision
	}
	if last != 2*events {
		t.Errorf("a stream that is a little behind got the events up to revision %d; want %d", last, 2*events)
	}
}

func TestTooManyRecordsAreRefusedBeforeAnythingIsWritten(t *testing.T) {
	s := newFakeStore()
	for i := range maxRecords + 1 {
		s.change(fmt.Sprint("C/", i))
	}
	h := newHub(t, s)
	for _, timelines := range [][]string{nil, {"C/1"}} {
		w, err := h.Subscribe(Subjects{Everything: true, Timelines: timelines}, Client{})
		if err != nil {
			t.Fatal(err)
		}
		err = h.Begin(t.Context(), w, "", func(part []byte) error {
			t.Errorf("with the timelines %v: %.80q was written", timelines, part)
			return nil
		})
		if !errors.Is(err, ErrTooManyRecords) {
			t.Errorf("with the timelines %v: got %v", timelines, err)
		}
		h.Remove(w)
	}
}

// recordingConn is a connection that remembers the longest write.
type recordingConn struct {
	net.Conn
	longest atomic.Int64
}

func (c *recordingConn) Write(b []byte) (int, error) {
	c.longest.Store(max(c.longest.Load(), int64(len(b))))
	return c.Conn.Write(b)
}

func TestWhatWaitsForAWatcherIsWrittenInPages(t *testing.T) {
	s, h := longTimelines(t, 1)
	conn, server := net.Pipe()
	recording := &recordingConn{Conn: server}
	c := watchOn(t, h, Subjects{Timelines: []string{"C/1"}}, "", conn, recording)
	c.mustNext()
	release := c.holdWrites()
	const events = 2000
	for range events {
		s.change("C/1")
	}
	awaitDelivered(t, h, s.lastRevision())
	release()
	for i := range events {
		e := c.mustNext()
		if want := uint64(i + 3); e.event != "timeline" || e.data.Revision != want || !strings.HasSuffix(e.id, fmt.Sprint("-", want)) {
			t.Fatalf("got %s of revision %d with the id %s; want revision %d", e.event, e.data.Revision, e.id, want)
		}
	}
	if n := recording.longest.Load(); n > pageBytes+pageBytes/10 { // with event ids
		t.Errorf("%d bytes were written at once; want %d at most", n, pageBytes)
	}
}

func TestWhatAWatcherDoesNotTakeIsHeldInItsClientsMemory(t *testing.T) {
	watchWith := func(m *fakeMemory, within time.Duration) (*countingStore, *Watcher) {
		s, h := longTimelines(t, 1)
		h.slowWrite = within
		conn, server := net.Pipe()
		t.Cleanup(func() { conn.Close() })
		w, _, err := beginAs(t.Context(), h, Subjects{Timelines: []string{"C/1"}}, Client{Memory: m}, "")
		if err != nil {
			t.Fatal(err)
		}
		h.Attach(w, server)
		return s, w
	}
	m := &fakeMemory{}
	s, w := watchWith(m, time.Hour)
	s.change("C/1")
	waitFor(t, "what it does not take is held", func() bool { return m.now() > 1000 && m.now() < pageBytes })
	w.hub.Remove(w)
	waitFor(t, "nothing is held any longer", func() bool { return m.now() == 0 && w.hub.Count() == 0 })

	full := &fakeMemory{}
	s, w = watchWith(full, 50*time.Millisecond)
	full.setFull(true)
	s.change("C/1")
	waitFor(t, "the watcher without room has left", func() bool { return w.hub.Count() == 0 })
	if n := full.now(); n != 0 {
		t.Errorf("%d bytes are held for it", n)
	}
}

// All that is written over TLS and HTTP/2 is held for a moment, of readers as well.
func TestManyReadersAtOneAddressKeepTheirStreams(t *testing.T) {
	const readers, changes = 300, 3
	s := newFakeStore()
	s.padding = `,"text":"` + strings.Repeat("x", 20_000) + `"`
	h := newHub(t, s)
	awaitDelivered(t, h, s.change("C/1"))
	m := &fakeMemory{limit: timelinesHold}
	var read atomic.Int64 // events
	for range readers {
		conn, server := net.Pipe() // without a descriptor, like those
		t.Cleanup(func() { conn.Close() })
		w, _, err := beginAs(t.Context(), h, Subjects{Timelines: []string{"C/1"}}, Client{Memory: m}, "")
		if err != nil {
			t.Fatal(err)
		}
		h.Attach(w, server)
		go func() {
			for in := bufio.NewReader(conn); ; {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == "event: timeline\n" {
					read.Add(1)
				}
			}
		}()
	}
	for i := range changes {
		s.change("C/1")
		waitFor(t, "all have the change, or have left", func() bool {
			return read.Load() == int64(i+1)*readers || h.Count() < readers
		})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := h.Count(); n != readers || m.most > m.limit+pageBytes {
		t.Errorf("%d of %d readers are left; %d bytes were held, and the limit is %d", n, readers, m.most, m.limit)
	}
}

// Others at its address may hold nearly all of the memory.
func TestASmallChangeNeedsLittleRoom(t *testing.T) {
	s, h := longTimelines(t, 1)
	m := &fakeMemory{}
	conn, server := net.Pipe()
	t.Cleanup(func() { conn.Close() })
	w, _, err := beginAs(t.Context(), h, Subjects{Timelines: []string{"C/1"}}, Client{Memory: m}, "")
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	m.held, m.limit = pageBytes, pageBytes+10_000
	m.mu.Unlock()
	h.Attach(w, server)
	last := s.change("C/1")
	c := &client{t: t, conn: conn, r: bufio.NewReader(conn), w: w}
	if e := c.mustNext(); e.data.Revision != last {
		t.Errorf("got revision %d; want %d", e.data.Revision, last)
	}
}

// limitedConn is a connection that knows whether a write has a time limit, which never passes.
type limitedConn struct {
	*net.TCPConn
	limited atomic.Bool
}

func (c *limitedConn) SetWriteDeadline(t time.Time) error {
	c.limited.Store(!t.IsZero())
	return nil
}

func TestAWatcherThatWasSlowOnceKeepsItsStream(t *testing.T) {
	s := newFakeStore()
	s.padding = `,"text":"` + strings.Repeat("x", 100_000) + `"`
	h := newHub(t, s)
	awaitDelivered(t, h, s.change("C/1"))
	m := &fakeMemory{}
	conn, accepted := dial(t)
	server := &limitedConn{TCPConn: accepted.(*net.TCPConn)}
	w, _, err := beginAs(t.Context(), h, Subjects{Timelines: []string{"C/1"}}, Client{Memory: m}, "")
	if err != nil {
		t.Fatal(err)
	}
	h.Attach(w, server)
	c := &client{t: t, conn: conn, r: bufio.NewReader(conn), w: w}
	waitFor(t, "the connection takes no more", func() bool {
		s.change("C/1")
		return m.now() > 0 && server.limited.Load()
	})
	for last := s.lastRevision(); c.mustNext().data.Revision < last; {
	}
	waitFor(t, "what is written later has no time limit", func() bool { return !server.limited.Load() })
	last := s.change("C/1")
	if e := c.mustNext(); e.data.Revision != last {
		t.Errorf("got %+v; want revision %d", e.event, last)
	}
}

func TestASnapshotHasTheEventsThatCanBeReadBeforeTheyAreDispatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		h := newHub(t, s)
		awaitDelivered(t, h, s.change("C/1"))
		s.mu.Lock()
		s.revision++
		s.changed["C/1"] = append(s.changed["C/1"], s.revision)
		s.mu.Unlock()
		joins := subscribe(t, h, Subjects{Timelines: []string{"C/1"}}, "")
		synctest.Wait()
		s.invalidations.Add([]string{"timeline/C/1"}, false, 2)
		c := <-joins
		if e := c.mustNext(); e.event != "snapshot" || len(e.data.Timeline) != 2 || e.id != "fake-2" {
			t.Errorf("first came %s with %d events and the id %s; want both events", e.event, len(e.data.Timeline), e.id)
		}
		last := s.change("C/1")
		if e := c.mustNext(); e.event != "timeline" || e.data.Revision != last {
			t.Errorf("then came %+v; want the next event", e)
		}
	})
}

func TestAClientThatMayNoLongerWatchGetsNoFurtherPartOfTheBeginning(t *testing.T) {
	_, h := longTimelines(t, 1000)
	permitted := true
	w, err := h.Subscribe(Subjects{Timelines: []string{"C/1"}}, Client{Permitted: func() bool { return permitted }})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Remove(w)
	parts := 0
	begin := func() error {
		return h.Begin(t.Context(), w, "", func([]byte) error {
			parts++
			permitted = false
			return nil
		})
	}
	for range 2 {
		if err := begin(); !errors.Is(err, ErrNotPermitted) || parts != 1 {
			t.Errorf("got %d parts and %v; want one, and ErrNotPermitted", parts, err)
		}
	}
}
