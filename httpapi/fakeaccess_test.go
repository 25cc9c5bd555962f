package httpapi

import (
	"context"

	"laurel/trust/access"
)

func (g *fakeGroup) Access() *access.State {
	if a := g.access.Load(); a != nil {
		return a
	}
	return access.NewState()
}

func (g *fakeGroup) ChangeAccess(ctx context.Context, c access.Change) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	next, what, problem := g.Access().Apply(&c)
	if problem != nil {
		return problem
	}
	g.access.Store(next)
	g.records.trail = append(g.records.trail, access.AuditEntry{Number: uint64(len(g.records.trail) + 1), At: c.At, By: c.By, What: what})
	return nil
}

func (v *fakeRecords) Audit(after uint64, limit int) (list []access.AuditEntry, next uint64, err error) {
	for _, line := range v.trail {
		if line.Number <= after {
			continue
		}
		if len(list) == limit {
			return list, list[limit-1].Number, nil
		}
		list = append(list, line)
	}
	return list, 0, nil
}
