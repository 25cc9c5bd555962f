package localgroup

import (
	"context"
	"time"

	"laurel/internal/cli"
)

// maxRestartPause bounds the pause before the next attempt to restart a frontend that
// keeps failing.
const maxRestartPause = 30 * time.Second

// Notice reports what happened to a child.
type Notice struct {
	Frontend Frontend
	Kind     Kind
	// Reason is how the process ended, such as "signal: killed", and RestartIn the pause
	// before it is started again; 0 if it is not.
	Reason    string
	RestartIn time.Duration
	// LogTail is the end of the log of a process that ended before it was ready.
	LogTail string
}

// Kind is what happened to a child.
type Kind uint8

const (
	Died         Kind = iota
	Restarted         // and ready
	Left              // removed from the group; it is not restarted
	Contradicted      // its data directory contradicts the group; it is not restarted
)

// supervise restarts the frontend whenever it has died, until the group is closed.
func (m *member) supervise() {
	ctx, o := m.group.ctx, &m.group.o
	ready, pause := true, o.RestartAfter
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.proc.Done():
		}
		switch m.proc.State().ExitCode() {
		case cli.ExitRemoved:
			o.Notify(Notice{Frontend: m.frontend(), Kind: Left})
			return
		case cli.ExitContradiction:
			o.Notify(Notice{Frontend: m.frontend(), Kind: Contradicted, LogTail: m.proc.LogTail()})
			return
		}
		n := Notice{Frontend: m.frontend(), Kind: Died, Reason: m.proc.State().String()}
		if ready {
			pause = o.RestartAfter
		} else {
			n.LogTail, pause = m.proc.LogTail(), nextPause(pause)
		}
		n.RestartIn = pause
		o.Notify(n)
		if pause == 0 || !m.restart(ctx, pause) {
			return
		}
		if ready = m.await(ctx) == nil; ready {
			o.Notify(Notice{Frontend: m.frontend(), Kind: Restarted})
		}
	}
}

// restart tries until a process has started. It reports false if the group was closed before.
func (m *member) restart(ctx context.Context, pause time.Duration) bool {
	for ; ; pause = nextPause(pause) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
		err := m.start()
		if err == nil {
			return true
		}
		m.group.o.Notify(Notice{Frontend: m.frontend(), Kind: Died, Reason: err.Error(), RestartIn: nextPause(pause)})
	}
}

func nextPause(pause time.Duration) time.Duration { return min(2*pause, maxRestartPause) }
