package raftlog

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// sworn is a member of a sworn group with a small log.
type sworn struct {
	*follower
	dir      string
	cosigned atomic.Uint64 // the index of the seal of its last round
	last     uint64        // of the log
	output   bytes.Buffer
}

func newSworn(t *testing.T) *sworn {
	m := &sworn{follower: &follower{t: t, members: raft.Configuration{}}, dir: t.TempDir()}
	_, m.master = raft.NewInmemTransport("")
	m.open()
	if err := m.store.Stable.SetUint64([]byte(termKey), 1); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *sworn) open() {
	m.store = openStore(m.t, m.dir, func(o *Options) {
		o.Bounds = small
		o.Bounds.TrailingEntries = 2
		o.Cosigned = m.cosigned.Load
		o.Logger = slog.New(slog.NewTextHandler(&m.output, nil))
	})
}

// append appends entries of 32 KiB.
func (m *sworn) append(count int) {
	m.t.Helper()
	for range count {
		m.last++
		mustStore(m.t, m.store.Log, sized(m.last, 32<<10))
	}
}

// snapshot takes a snapshot of all entries.
func (m *sworn) snapshot() { m.storeSnapshot(m.last, 1) }

func (m *sworn) wantHistory(what string, want history) {
	m.t.Helper()
	if got := historyOf(m.t, m.store); !got.equals(want) {
		m.t.Errorf("%s: it has %+v; want %+v", what, got, want)
	}
}

func TestTheLogIsShortenedOnlyBehindTheLastRoundThatWasCosigned(t *testing.T) {
	m := newSworn(t)
	m.append(4)
	m.snapshot() // nothing is cosigned yet
	m.wantHistory("without rounds", history{3, 4, []uint64{4}})
	m.append(4)
	m.cosigned.Store(6)
	m.snapshot()
	m.wantHistory("a snapshot after the round", history{5, 8, []uint64{8, 4}})
	for range 3 {
		m.append(4)
		m.snapshot()
	}
	m.wantHistory("more snapshots without certificates", history{5, 20, []uint64{20, 16, 4}})
	if m.store.Short() {
		t.Error("it says that it could not go back")
	}
	m.cosigned.Store(18)
	if err := m.store.Log.Compact(); err != nil {
		t.Fatal(err)
	}
	m.wantHistory("a later round is cosigned", history{17, 20, []uint64{20, 16, 4}})
	m.append(4)
	m.snapshot()
	m.wantHistory("the next snapshot", history{17, 24, []uint64{24, 20, 16}})
	wantGoBack(t, m.store.GoBack(m.cosigned.Load(), "no three agree", false), 18)
	m.store.Close()
	m.open()
	m.wantHistory("it has gone back", history{17, 18, []uint64{16}})
}

// A master that does not seal could fill the disks otherwise.
func TestTheBoundOfTheLogHoldsWithoutCertificates(t *testing.T) {
	m := newSworn(t)
	m.append(1)
	m.cosigned.Store(1)
	took := 0
	for range 4 * small.Log / (32 << 10) {
		m.append(1)
		if m.store.Log.holding.Load() {
			if err := m.store.Log.Compact(); err != nil { // as Bound does
				t.Fatal(err)
			}
		}
		if m.store.Log.NeedsSnapshot() {
			m.snapshot()
			took++
			most := 3
			if m.store.Short() {
				most = 2
			}
			if snapshots := historyOf(t, m.store).snapshots; len(snapshots) > most {
				t.Fatalf("it has the snapshots %v; want %d at most", snapshots, most)
			}
		}
		if m.store.Log.Full() {
			t.Fatalf("it is full with %d bytes, at entry %d", m.store.Log.Bytes(), m.last)
		}
	}
	if !m.store.Short() || took < 3 {
		t.Errorf("after %d snapshots it could go back: %t", took, !m.store.Short())
	}
	if got := strings.Count(m.output.String(), "no longer reaches back"); got != 1 {
		t.Errorf("it warned %d times:\n%s", got, &m.output)
	}
	wantUndecided(t, m.store.GoBack(m.cosigned.Load(), "no three agree", false))
	m.cosigned.Store(m.last)
	if m.snapshot(); m.store.Short() {
		t.Error("it could not go back to a later round")
	}
	if got := historyOf(t, m.store).snapshots; len(got) != 2 || !slices.Contains(got, m.last) {
		t.Errorf("it has the snapshots %v", got)
	}
}

func TestTheLogIsShortenedWhenALaterRoundIsCosigned(t *testing.T) {
	m := newSworn(t)
	m.append(4)
	m.cosigned.Store(2)
	m.snapshot()
	m.wantHistory("a snapshot after the round", history{1, 4, []uint64{4}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- m.store.Bound(ctx, func(d time.Duration) time.Duration { return d }, func() error { return nil })
	}()
	m.append(testSegmentSize / (32 << 10))
	eventually(t, "it looks at the log no more", func() bool { return len(m.store.Log.Grown()) == 0 })
	m.cosigned.Store(4)
	m.append(testSegmentSize / (32 << 10))
	eventually(t, "the log is not shortened", func() bool {
		first, err := m.store.Log.FirstIndex()
		return err == nil && first == 5
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
