package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cmd/bench/load"
	"laurel/internal/localgroup"
)

const (
	laurelName = "laurel"
	etcdName   = "etcd"
	natsName   = "nats"

	groupSize = 3

	// Which members are loaded.
	toMaster = "master"
	toAll    = "all" // in turn, the master last, so that a single poster is one that is forwarded
)

// system is a group of servers that takes durable writes.
type system interface {
	processes() []*localgroup.Process
	// writers returns n writers that write to the master or to all members.
	writers(ctx context.Context, to string, n int) ([]load.Writer, error)
	// lastSeq returns the last seq of a source that the store has.
	lastSeq(ctx context.Context, source string) (uint64, error)
	stop()
}

// startSystem starts a system. Only Laurel has another size than groupSize.
func (b *bench) startSystem(ctx context.Context, dir, name string, size int) (system, error) {
	switch dir = filepath.Join(dir, name); name {
	case etcdName:
		return startEtcd(ctx, b.etcd, dir)
	case natsName:
		return startNATS(ctx, dir)
	}
	return b.startFrontends(ctx, dir, size, false)
}

// verify compares the events that were acknowledged with those that the store has.
func verify(ctx context.Context, s system, writers ...load.Writer) error {
	acked := map[string]uint64{} // writers may share a source
	for _, w := range writers {
		acked[w.Source()] += w.Acked()
	}
	for source, want := range acked {
		if err := verifySource(ctx, s, source, want, false); err != nil {
			return err
		}
	}
	return nil
}

// verifySource does so for one source. With unsure the store may have one event more.
func verifySource(ctx context.Context, s system, source string, want uint64, unsure bool) error {
	got, err := s.lastSeq(ctx, source)
	if err == nil && got != want && !(unsure && got == want+1) {
		err = fmt.Errorf("the store is wrong: %d events of %s were acknowledged, it has %d", want, source, got)
	}
	return err
}

// startProcess starts a server that ends with the bench. Its output goes to NAME.log in
// dir. It gets none of the settings that the caller has in the environment for Laurel and
// etcd.
func startProcess(name, dir, program string, args ...string) (*localgroup.Process, error) {
	cmd := exec.Command(program, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LAUREL_") && !strings.HasPrefix(v, "ETCD_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	return localgroup.StartProcess(name, filepath.Join(dir, name+".log"), cmd)
}

// members is the processes of a group.
type members struct {
	list    []*localgroup.Process
	args    [][]string // of each
	program string
	dir     string
}

func (m *members) processes() []*localgroup.Process { return m.list }

func (m *members) add(name string, args []string) (*localgroup.Process, error) {
	p, err := startProcess(name, m.dir, m.program, args...)
	if err == nil {
		m.list, m.args = append(m.list, p), append(m.args, args)
	}
	return p, err
}

// restart starts a member that has ended again, with its data.
func (m *members) restart(i int) (err error) {
	m.list[i], err = startProcess(m.list[i].Name, m.dir, m.program, m.args[i]...)
	return err
}

func (m *members) stop() {
	for _, p := range m.list {
		p.Kill()
	}
}

// await calls ready until it returns nil, the process ends, or the time is over.
func await(ctx context.Context, p *localgroup.Process, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
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

func getJSON(ctx context.Context, url string, v any) error {
	return callJSON(ctx, http.MethodGet, url, "", nil, v)
}

// callJSON reads the answer to a request into v, or nothing where v is nil.
func callJSON(ctx context.Context, method, url, token string, body []byte, v any) error {
	_, answer, err := call(ctx, method, url, token, body)
	if err != nil || v == nil {
		return err
	}
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}

// call makes one request. An answer without a 2xx status is an error.
func call(ctx context.Context, method, url, token string, body []byte) (http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	res, answer, err := exchange(ctx, http.DefaultClient, method, url, token, body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: status %s: %s", method, url, res.Status, load.Clip(answer))
	}
	if err != nil {
		return nil, nil, err
	}
	return res.Header, answer, nil
}

// exchange makes one request and returns the whole answer, whatever its status.
func exchange(ctx context.Context, c *http.Client, method, url, token string, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	return res, answer, err
}
