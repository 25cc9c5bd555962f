package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is a server that the bench started.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string // the file that has its output
	args []string
	done chan struct{} // closed when it has ended
}

// start starts a server that dies with the bench. Its output goes to a file in dir.
func start(name, dir, program string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), args: args, done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	// Both programs read their settings from the environment too: what the caller has there must not change what is measured.
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LAUREL_") && !strings.HasPrefix(v, "ETCD_") {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	return p, nil
}

// again starts what has ended once more, with the same data.
func (p *process) again() (*process, error) {
	return start(p.name, filepath.Dir(p.log), p.cmd.Path, p.args...)
}

// kill ends the process and its children at once.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// signal signals the process and its children, if it has not ended.
func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.done: // its number may be another's by now
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, s)
	}
}

// await calls ready until it returns nil, the process ends, or the time is up.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		err := ready(ctx)
		if err == nil {
			tick.Stop()
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended (%s); its log says:\n%s", p.name, p.cmd.ProcessState, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s did not get ready: %w; its log says:\n%s", p.name, err, p.tail())
		case <-tick.C:
		}
	}
}

func (p *process) tail() []byte {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-2000):]
}

// freePorts finds addresses on the loopback that nobody listens on now.
func freePorts(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at the end, so that no port comes twice
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// ground is two addresses for each member of a group, and where it starts: at its site, or on the loopback, where no site is.
func ground(sites []*site) (addrs []string, at []*site, err error) {
	if len(sites) == 0 {
		addrs, err = freePorts(2 * groupSize)
		return addrs, make([]*site, groupSize), err
	}
	for _, s := range sites {
		addrs = append(addrs, s.host+":8080", s.host+":9090")
	}
	return addrs, sites, nil
}
