package cluster

import (
	"strings"

	"laurel/cluster/disk"
	"laurel/score"
)

// newDiskWatch returns what watches the disk of the member.
func (m *Member) newDiskWatch() *disk.Watch {
	w := &disk.Watch{
		Dir: m.opts.Dir, Free: disk.Free, Needs: m.storage.DiskNeeds, Reserve: m.storage.Reserve(),
		Scarce: m.storage.Scarce, Logger: m.log,
	}
	if f := m.opts.hooks.diskFree; f != nil {
		w.Free = f
	}
	return w
}

// awaitRoom waits for room in the log of this master. It returns why posts must be refused
// for lack of room there, or on the disks of too many voters.
func (p *poster) awaitRoom() *score.Problem {
	if without := p.withoutRoom(); without != nil {
		return score.Problemf(score.NoSpace,
			"the disks of too few voters have room for posts: make room on that of %s; "+
				"nothing of this post was processed; retry later", strings.Join(without, ", "))
	}
	if p.storage.Log.Full() {
		p.batcher.Written() // what waits behind this batch is refused as soon
	}
	if !p.storage.Log.AwaitRoom(p.ctx, p.scaled(roomTimeout)) {
		return score.Problemf(score.RateLimited,
			"the log is full until a snapshot is written; nothing of this post was processed; retry in 1 s")
	}
	return nil
}

// lacksRoom reports whether this member has no room for posts, and a majority has. A master
// must store what it accepts, and would end once its disk is full.
func (m *Member) lacksRoom() bool {
	own := m.disk.Look()
	return own != nil && !own.Room && m.poster.withoutRoom() == nil
}

// watchRoom logs at the master when posts begin to be refused for lack of room, and when they
// are accepted again, and has a master that lacks room hand over. It is called after each poll.
func (m *Member) watchRoom() {
	if m.leadership() != nil && m.lacksRoom() {
		m.lookAtLeadership()
	}
	without := m.poster.withoutRoom()
	refuses := without != nil && m.leadership() != nil
	if m.refuses == refuses {
		return
	}
	m.refuses = refuses
	switch {
	case refuses:
		m.log.Error("posts are refused: the disks of too few voters have room for them; make room",
			"without_room", strings.Join(without, ","))
	case m.leadership() != nil:
		m.log.Info("posts are accepted again: enough voters have room on their disks")
	}
}
