package cluster

import (
	"context"
	"errors"
	"io"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/cluster/peer"
	"laurel/cluster/readindex"
	"laurel/fsm"
	"laurel/fsm/archive"
	"laurel/score"
)

// archivist takes snapshots of this member's own state.
type archivist struct {
	*replica
	rounds   *readindex.Rounds
	released func(ctx context.Context, revision uint64) bool // see poll.Config
}

// Snapshot returns a snapshot that has every event which was acknowledged, or shown to
// anybody, before the call, and none that nobody may see yet. The error cache.ErrNotLeased
// means that this member may not answer now, but the master may.
func (a *archivist) Snapshot(ctx context.Context) (*queries.Snapshot, error) {
	var s *fsm.Snapshot
	take := func() (revision uint64, err error) {
		if s != nil {
			s.Release()
		}
		if s, err = a.machine.Snapshot(); err != nil {
			return 0, err
		}
		return s.Head.Revision, nil
	}
	_, err := a.frontend.Direct(ctx, a.machine, take)
	if errors.Is(err, cache.ErrNotLeased) && a.CacheMode() == score.Pull && a.leadership() != nil {
		err = a.prove(ctx, take)
	}
	if err != nil {
		if s != nil {
			s.Release()
		}
		return nil, err
	}
	return &queries.Snapshot{
		Lineage: s.Access.Settings.Lineage, Incarnation: s.Access.Settings.Incarnation,
		Revision: s.Head.Revision, Index: s.Head.Applied,
		Write:   func(w io.Writer, at time.Time) error { return archive.Write(w, at, s.Write) },
		Release: s.Release,
	}, nil
}

// prove takes a snapshot at the master in pull mode, in which nobody has a lease.
func (a *archivist) prove(ctx context.Context, take func() (uint64, error)) error {
	if err := a.rounds.Confirm(ctx); err != nil {
		return err
	}
	revision, err := take()
	if err == nil && !a.released(ctx, revision) {
		err = peer.NoMaster()
	}
	return err
}
