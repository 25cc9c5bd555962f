package frontend

import (
	"context"
	"io"
	"time"

	"laurel/backup"
	"laurel/cluster"
)

// saves is a member as package backup sees it.
type saves struct{ *cluster.Member }

// Version names the state of the member. The access control is another value after each change.
func (s saves) Version() backup.Version {
	return backup.Version{Store: s.Lineage(), Revision: s.Revision(), Change: s.Access()}
}

// Save writes a snapshot that has everything that was acknowledged before.
func (s saves) Save(ctx context.Context, w io.Writer, at time.Time) (revision uint64, err error) {
	snapshot, err := s.Snapshot(ctx)
	if err != nil {
		return 0, err
	}
	defer snapshot.Release()
	return snapshot.Revision, snapshot.Write(w, at)
}

// runBackups makes backups until ctx ends, if there is a plan for them.
func (f *Frontend) runBackups(ctx context.Context) {
	if f.backups != nil {
		f.backups.Run(ctx)
	}
}

func newBackups(plan *backup.Plan, m *cluster.Member, o *cluster.Options) *backup.Runner {
	if plan == nil {
		return nil
	}
	o.Logger.Info("the master makes backups", "target", plan.Target, "every", plan.Every, "keep", plan.Keep)
	return &backup.Runner{Plan: *plan, Source: saves{m}, Metrics: backup.NewMetrics(o.Metrics), Logger: o.Logger}
}
