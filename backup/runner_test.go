package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// store is a Source of which a test sets the state.
type store struct {
	mu      sync.Mutex
	leads   context.Context
	end     context.CancelFunc
	version Version
}

func newStore() *store { return &store{version: Version{Store: "games", Revision: 1}} }

func (s *store) Leadership() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leads == nil || s.leads.Err() != nil {
		return nil
	}
	return s.leads
}

// lead makes the frontend the master, or ends that.
func (s *store) lead(leads bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		s.end()
	}
	s.leads = nil
	if leads {
		s.leads, s.end = context.WithCancel(context.Background())
	}
}

func (s *store) Version() Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

func (s *store) post(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version.Revision = revision
}

func (s *store) Save(_ context.Context, w io.Writer, at time.Time) (uint64, error) {
	v := s.Version()
	_, err := fmt.Fprintf(w, "revision %d at %d", v.Revision, at.Unix())
	return v.Revision, err
}

// memory is a Target in memory.
type memory struct {
	mu     sync.Mutex
	files  map[string]string
	calls  []string
	put    func(ctx context.Context) error // fails or hangs, if it is set
	list   error
	delete error

	within  int      // calls of Put
	overlap []string // calls within another one
}

// called notes a call. m.mu must be held.
func (m *memory) called(call string) {
	m.calls = append(m.calls, call)
	if m.within > 0 {
		m.overlap = append(m.overlap, call)
	}
}

func (m *memory) String() string { return "memory" }

func (m *memory) Put(ctx context.Context, write func(io.Writer) (string, error)) (int64, error) {
	m.mu.Lock()
	m.called("put")
	m.within++
	put := m.put
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.within--
	}()
	if put != nil {
		if err := put(ctx); err != nil {
			return 0, err
		}
	}
	var content strings.Builder
	name, err := write(&content)
	if err != nil {
		return 0, err
	}
	m.add(name, content.String())
	return int64(content.Len()), nil
}

func (m *memory) add(name, content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files == nil {
		m.files = map[string]string{}
	}
	m.files[name] = content
}

func (m *memory) List(_ context.Context, beginning string) (names []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.called("list")
	for name := range m.files {
		if strings.HasPrefix(name, beginning) {
			names = append(names, name)
		}
	}
	return names, m.list
}

func (m *memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.called("delete")
	if m.delete == nil {
		delete(m.files, name)
	}
	return m.delete
}

func (m *memory) names() (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// refuse sets the errors of List and Delete.
func (m *memory) refuse(list, remove error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list, m.delete = list, remove
}

func (m *memory) count(call string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.calls {
		if c == call {
			n++
		}
	}
	return n
}

// world is a Runner in virtual time.
type world struct {
	*store
	*memory
	*Runner
	registry *prometheus.Registry
	log      strings.Builder
}

// metric returns the value of a metric.
func (w *world) metric(name string) float64 {
	families, err := w.registry.Gather()
	for _, f := range families {
		if m := f.GetMetric(); err == nil && f.GetName() == name {
			return m[0].GetGauge().GetValue() + m[0].GetCounter().GetValue()
		}
	}
	panic(fmt.Sprintf("there is no metric %s: %v", name, err))
}

// play runs f beside a Runner with the interval of a minute, in virtual time.
func play(t *testing.T, keep int, f func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{store: newStore(), memory: &memory{}, registry: prometheus.NewRegistry()}
		w.Runner = &Runner{
			Plan: Plan{Target: w.memory, Every: time.Minute, Keep: keep}, Source: w.store,
			Metrics: NewMetrics(w.registry), Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.Run(ctx); close(ended) }()
		f(w)
		cancel()
		w.store.lead(false)
		<-ended
		if len(w.overlap) > 0 {
			t.Errorf("the target was called within another call: %q", w.overlap)
		}
	})
}

// pass lets time pass, to a moment at which nothing is due.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestOnlyTheMasterMakesBackups(t *testing.T) {
	play(t, 0, func(w *world) {
		pass(time.Hour)
		if len(w.calls) > 0 {
			t.Errorf("a frontend that is not the master called %q", w.calls)
		}
		w.store.lead(true)
		pass(settleTime + lookEvery)
		if names := w.names(); len(names) != 1 || !strings.HasPrefix(names[0], "laurel-games-1-20") {
			t.Errorf("a new master has made %q", names)
		}
		w.post(2)
		pass(time.Minute)
		if names := w.names(); len(names) != 2 {
			t.Errorf("after the interval there are %q", names)
		}
		w.store.lead(false)
		w.post(3)
		pass(time.Hour)
		if names := w.names(); len(names) != 2 {
			t.Errorf("after another one became the master there are %q", names)
		}
	})
}

func TestAStateThatIsSavedAlreadyIsNotSavedAgain(t *testing.T) {
	play(t, 0, func(w *world) {
		w.store.lead(true)
		pass(time.Hour)
		if names := w.names(); len(names) != 1 {
			t.Errorf("there are %q", names)
		}
		if last := w.metric("laurel_backup_last_success_timestamp_seconds"); time.Since(time.Unix(int64(last), 0)) > time.Minute+lookEvery {
			t.Errorf("the last success is said to be at %s", time.Unix(int64(last), 0))
		}
		w.store.mu.Lock()
		w.store.version.Change = new(int) // a grant, without an event
		w.store.mu.Unlock()
		pass(time.Minute)
		if names := w.names(); len(names) != 2 {
			t.Errorf("after a change of the access control there are %q", names)
		}
	})
}

func TestABackupThatIsGoneIsMadeAgainAlthoughNothingHasChanged(t *testing.T) {
	last := func(w *world) time.Duration {
		return time.Since(time.Unix(int64(w.metric("laurel_backup_last_success_timestamp_seconds")), 0))
	}
	play(t, 0, func(w *world) {
		w.store.lead(true)
		pass(10 * time.Minute)
		w.memory.mu.Lock()
		clear(w.memory.files) // the disk was lost, and another one is there
		w.memory.mu.Unlock()
		pass(time.Minute)
		if names := w.names(); len(names) != 1 || !strings.Contains(w.log.String(), "not there any more") {
			t.Errorf("a minute after the backups were lost there are %q:\n%s", names, &w.log)
		}
		// Nobody answers there.
		w.refuse(errors.New("no route"), nil)
		w.memory.mu.Lock()
		w.memory.put = func(context.Context) error { return errors.New("no route") }
		w.memory.mu.Unlock()
		pass(10 * time.Minute)
		if failed := w.metric("laurel_backup_failures_total"); failed == 0 || last(w) < 9*time.Minute {
			t.Errorf("after ten minutes without the target %g failures are counted, and the last success is %s ago", failed, last(w))
		}
	})
	play(t, 0, func(w *world) {
		w.refuse(errors.ErrUnsupported, nil) // nobody can list what is there
		w.store.lead(true)
		pass(10 * time.Minute)
		if n := w.count("put"); n != 1 || last(w) > time.Minute+lookEvery {
			t.Errorf("%d backups were made, and the last success is %s ago", n, last(w))
		}
	})
}

func TestANewMasterGoesOnFromTheLastBackup(t *testing.T) {
	play(t, 0, func(w *world) {
		last := File{"games", 1, time.Now().Add(-20 * time.Second)}
		w.add(last.Name(), "")
		w.add(File{"another", 9, time.Now()}.Name(), "")
		w.store.lead(true)
		pass(30 * time.Second)
		if n := w.count("put"); n > 0 || w.metric("laurel_backup_revision") != 1 {
			t.Errorf("20 s after the last backup a new master made %d, and knows of revision %g", n,
				w.metric("laurel_backup_revision"))
		}
		pass(12 * time.Second)
		if n := w.count("put"); n != 1 {
			t.Errorf("a minute after the last backup a new master has made %d", n)
		}
	})
	// A name from the future, of a clock that was wrong, does not keep a store from being saved.
	play(t, 0, func(w *world) {
		w.add(File{"games", 1, time.Now().Add(24 * time.Hour)}.Name(), "")
		w.store.lead(true)
		pass(10 * time.Second)
		if n := w.count("put"); n != 1 {
			t.Errorf("beside a name from the future a new master has made %d", n)
		}
	})
}

func TestKeepDeletesNothingButOldBackupsOfTheStore(t *testing.T) {
	play(t, 3, func(w *world) {
		foreign := []string{
			"laurel-another-1-20000101T000000Z.snap.gz", "laurel-games-1-20000101T000000Z.snap.gz.old",
			"laurel-games-01-20000101T000000Z.snap.gz", "laurel-games-1-20000101T000000Z-1.snap.gz",
			"laurel-games-1-2000.snap.gz", "games", "laurel-games2-1-20000101T000000Z.snap.gz", "laurel-games-.snap.gz",
		}
		for _, name := range foreign {
			w.add(name, "foreign")
		}
		for i := range uint64(5) { // of an earlier master
			w.add(File{"games", i + 1, time.Now().Add(time.Duration(i)*time.Minute - time.Hour)}.Name(), "")
		}
		future := File{"games", 3, time.Now().Add(time.Hour)}.Name() // of a clock that was wrong
		w.add(future, "")
		w.store.lead(true)
		for i := range uint64(10) {
			w.post(10 + i)
			pass(time.Minute)
		}
		var kept []string
		for _, name := range w.names() {
			if !slices.Contains(foreign, name) && name != future {
				kept = append(kept, name)
			}
		}
		if all := len(w.names()); len(kept) != 3 || all != len(foreign)+1+3 ||
			!strings.HasPrefix(kept[2], "laurel-games-19-") || !strings.HasPrefix(kept[0], "laurel-games-17-") {
			t.Errorf("there are %q", w.names())
		}
	})
}

// A store that was restored from an old backup must not push out the newer ones of before.
func TestWhatWasSavedBeforeARestoreStays(t *testing.T) {
	play(t, 2, func(w *world) {
		w.store.lead(true)
		for i := range uint64(5) {
			w.post(400 + i)
			pass(time.Minute)
		}
		before := w.names()
		for i := range uint64(5) { // of the backup of revision 327
			w.post(1_000_000_328 + i)
			pass(time.Minute)
		}
		names := w.names()
		if len(before) < 2 || len(names) != len(before)+2 || !slices.Contains(names, before[len(before)-1]) {
			t.Errorf("before the restore there were %q, and now there are %q", before, names)
		}
	})
}

func TestBackupsGoOnWithoutTheRightToListOrToDelete(t *testing.T) {
	play(t, 1, func(w *world) {
		refusal := fmt.Errorf("%w: create only", errors.ErrUnsupported)
		w.refuse(refusal, nil)
		w.store.lead(true)
		for i := range uint64(10) {
			w.post(10 + i)
			pass(time.Minute)
		}
		if n := len(w.names()); n != 10 {
			t.Errorf("%d backups were made in ten minutes", n)
		}
		w.refuse(nil, refusal)
		for i := range uint64(10) {
			w.post(20 + i)
			pass(time.Minute)
		}
		if n, failed := len(w.names()), w.metric("laurel_backup_failures_total"); n != 20 || failed > 0 {
			t.Errorf("%d backups were made in twenty minutes, and %g failed", n, failed)
		}
		if n := strings.Count(w.log.String(), "create only"); n != 2 {
			t.Errorf("two kinds of refusal are logged in %d lines:\n%s", n, &w.log)
		}
	})
}

func TestAFailureIsCountedAndTriedAgainAfterGrowingPauses(t *testing.T) {
	play(t, 0, func(w *world) {
		w.memory.put = func(context.Context) error { return errors.New("no room") }
		w.store.lead(true)
		pass(10 * time.Minute)
		tries, failed := w.count("put"), w.metric("laurel_backup_failures_total")
		// 5 s, 10 s, 20 s, 40 s, and a minute from then on, all of them at least by half.
		if tries < 11 || tries > 26 || failed != float64(tries) {
			t.Errorf("it was tried %d times in ten minutes, and %g failed", tries, failed)
		}
		w.memory.mu.Lock()
		w.memory.put = nil
		w.memory.mu.Unlock()
		pass(time.Minute)
		if names := w.names(); len(names) != 1 {
			t.Errorf("after the failures there are %q", names)
		}
		if !strings.Contains(w.log.String(), "no room") {
			t.Errorf("the reason is not logged:\n%s", &w.log)
		}
	})
}

func TestABackupEndsWithTheMastership(t *testing.T) {
	play(t, 0, func(w *world) {
		w.memory.put = func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
		w.store.lead(true)
		pass(time.Minute)
		if n := w.count("put"); n != 1 {
			t.Fatalf("%d backups are under way", n)
		}
		w.store.lead(false)
		synctest.Wait()
		if failed := w.metric("laurel_backup_failures_total"); failed > 0 || !strings.Contains(w.log.String(), "no longer the master") {
			t.Errorf("%g failures are counted:\n%s", failed, &w.log)
		}
		if names := w.names(); len(names) > 0 {
			t.Errorf("it has left %q", names)
		}
	})
}

func TestATargetThatHangsIsBounded(t *testing.T) {
	play(t, 0, func(w *world) {
		hanging := make(chan struct{})
		w.memory.put = func(context.Context) error { <-hanging; return nil } // it does not even notice the end of ctx
		w.store.lead(true)
		pass(settleTime + lookEvery + limit + graceTime + 100*time.Millisecond)
		if failed := w.metric("laurel_backup_failures_total"); failed != 1 {
			t.Errorf("%g failures are counted", failed)
		}
		pass(time.Hour)
		if n, failed := w.count("put"), w.metric("laurel_backup_failures_total"); n != 1 || failed < 2 {
			t.Errorf("%d backups were begun while one hangs, and %g failures are counted", n, failed)
		}
		close(hanging)
		w.memory.mu.Lock()
		w.memory.put = nil
		w.memory.mu.Unlock()
		pass(2 * time.Minute)
		if names := w.names(); len(names) != 1 { // what comes after its time is nothing
			t.Errorf("after it hung there are %q", names)
		}
	})
}

// With the same state as before, and as a new master, a Runner first looks what is there.
func TestATargetThatHangsIsNotAskedWhatItHas(t *testing.T) {
	play(t, 0, func(w *world) {
		w.store.lead(true)
		pass(10 * time.Minute)
		hanging := make(chan struct{})
		w.memory.mu.Lock()
		clear(w.memory.files) // the backup is made again, although nothing has changed
		w.memory.put = func(context.Context) error { <-hanging; return nil }
		w.memory.mu.Unlock()
		pass(time.Minute + limit + graceTime + time.Hour)
		w.store.lead(false)
		pass(time.Minute)
		w.store.lead(true)
		pass(time.Hour)
		if n, failed := w.count("put"), w.metric("laurel_backup_failures_total"); n != 2 || failed < 2 {
			t.Errorf("%d backups were begun, of which the second hangs, and %g failures are counted", n, failed)
		}
		close(hanging)
		w.memory.mu.Lock()
		w.memory.put = nil
		w.memory.mu.Unlock()
		pass(2 * time.Minute)
		if names := w.names(); len(names) != 1 {
			t.Errorf("after it hung there are %q", names)
		}
	})
}
