package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"laurel/internal/localgroup"
)

// startProcess starts a server that ends with the bench. Its output goes to NAME.log in dir. It gets none
// of the settings that the caller has in the environment for Laurel and etcd.
func startProcess(name, dir, program string, args ...string) (*localgroup.Process, error) {
	cmd := exec.Command(program, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LAUREL_") && !strings.HasPrefix(v, "ETCD_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	return localgroup.StartProcess(name, filepath.Join(dir, name+".log"), cmd, localgroup.Child)
}

// await calls ready until it returns nil, the process ends, or the time is over.
func await(ctx context.Context, p *localgroup.Process, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Done():
			return fmt.Errorf("%s ended (%s); the end of its log:\n%s", p.Name, p.State(), p.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; the end of its log:\n%s", p.Name, err, p.LogTail())
		case <-tick.C:
		}
	}
}

// freePorts returns loopback addresses on which nobody listens now.
func freePorts(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // at the end, so that no port comes twice
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
