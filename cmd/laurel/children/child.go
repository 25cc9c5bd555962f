package children

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"laurel/cmd/laurel/local"
	"laurel/internal/cli"
)

// child is a frontend and its present process.
type child struct {
	group *Group
	first Frontend

	mu   sync.Mutex
	at   Frontend // PID changes, the rest does not
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

func (c *child) frontend() Frontend {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// start starts a process. What it says is appended to the log.
func (c *child) start() error {
	log, err := os.OpenFile(c.at.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := c.group.o.Command(c.frontend(), c.first)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes()
	s := start{cmd, make(chan error)}
	c.group.starts <- s
	if err := <-s.done; err != nil {
		return err
	}
	done := make(chan struct{})
	c.mu.Lock()
	c.cmd, c.done, c.at.PID = cmd, done, cmd.Process.Pid
	c.mu.Unlock()
	go func() {
		defer close(done)
		_ = cmd.Wait() // what it says is in ProcessState
	}()
	return nil
}

// state is how a wait for a child ended.
type state uint8

const (
	ready   state = iota
	ended         // the process is gone
	stopped       // the wait is over
)

// await waits until the process is ready to answer.
func (c *child) await(ctx context.Context) state {
	const often = 50 * time.Millisecond
	for tick := time.NewTicker(often); ; {
		if answers(ctx, c.at.URL()+"/readyz") {
			return ready
		}
		select {
		case <-c.done:
			return ended
		case <-ctx.Done():
			return stopped
		case <-tick.C:
		}
	}
}

// keep starts the process again whenever it has died, until the group is closed.
func (c *child) keep() {
	ctx, o := c.group.ctx, &c.group.o
	up, pause := true, o.RestartAfter
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.done:
		}
		switch c.cmd.ProcessState.ExitCode() {
		case cli.ExitRemoved:
			o.Notice(Notice{Frontend: c.frontend(), What: Left})
			return
		case cli.ExitContradiction:
			o.Notice(Notice{Frontend: c.frontend(), What: Unfit, Tail: c.tail()})
			return
		}
		n := Notice{Frontend: c.frontend(), What: Died, How: c.how()}
		if up {
			pause = o.RestartAfter
		} else {
			n.Tail, pause = c.tail(), longer(pause)
		}
		n.Again = pause
		o.Notice(n)
		if !c.restart(ctx, pause) {
			return
		}
		if up = c.await(ctx) == ready; up {
			o.Notice(Notice{Frontend: c.frontend(), What: Back})
		}
	}
}

// restart tries until there is a process again; false if the group was closed before.
func (c *child) restart(ctx context.Context, pause time.Duration) bool {
	for ; sleep(ctx, pause); pause = longer(pause) {
		err := c.start()
		if err == nil {
			return true
		}
		c.group.o.Notice(Notice{Frontend: c.frontend(), What: Died, How: err.Error(), Again: longer(pause)})
	}
	return false
}

// longer is the pause before the next try of something that goes on failing.
func longer(pause time.Duration) time.Duration { return min(2*pause, 30*time.Second) }

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// stop ends the process, kindly first.
func (c *child) stop() {
	if c.cmd == nil {
		return
	}
	if c.cmd.Process.Signal(syscall.SIGTERM) != nil {
		_ = c.cmd.Process.Kill() // it has ended already, or there is no SIGTERM here
	}
	deadline := time.NewTimer(c.group.o.StopWithin)
	defer deadline.Stop()
	select {
	case <-c.done:
	case <-deadline.C:
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// how says in which way the process has ended.
func (c *child) how() string { return c.cmd.ProcessState.String() }

// tail is the end of the log.
func (c *child) tail() string { return local.LogEnd(c.at.Log) }
