package localgroup

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a running program whose output is appended to a log.
type Process struct {
	Name string
	Log  string // path

	cmd  *exec.Cmd
	done chan struct{}
}

// StartProcess starts cmd and appends its output to the file log. Without attributes of
// its own the process ends with this one: on Linux the kernel kills it when this process
// dies.
func StartProcess(name, log string, cmd *exec.Cmd) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = cmp.Or(cmd.SysProcAttr, childAttributes())
	p := &Process{Name: name, Log: log, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux kills such a child when the thread that started it ends, not the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the result is in cmd.ProcessState
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// State returns how the process ended. It is valid after Done is closed.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill kills the process and returns when it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // an error means that it has ended already
	<-p.done
}

// Stop asks the process to end, kills it if it is late, and returns when it has ended.
func (p *Process) Stop(within time.Duration) {
	if p.Signal(syscall.SIGTERM) != nil {
		p.Kill() // it has ended already, or there is no SIGTERM here
		return
	}
	select {
	case <-p.done:
	case <-time.After(within):
		p.Kill()
	}
}

// LogTail returns the last lines of the log.
func (p *Process) LogTail() string { return logTail(p.Log) }

// logTail returns the last lines of a log, few enough for a terminal. For a log that
// cannot be read it returns the reason.
func logTail(path string) string {
	const maxBytes, maxLines = 8 << 10, 12
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b[max(0, len(b)-maxBytes):]), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-maxLines):], []byte("\n")))
}
