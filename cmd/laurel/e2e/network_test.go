package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Cuts need a network of the test's own. The test runs itself again as root of a new
// network namespace, and starts each frontend in a further namespace behind a bridge. The
// clients are at the bridge, so that they reach all frontends. This needs root, or a
// system that allows users to make namespaces. Nothing outside of the namespaces is
// changed.

const (
	insideVar   = "E2E_NETWORK"  // set where a test runs in its own network
	programsVar = "E2E_PROGRAMS" // directory of the programs that the outer run has built
)

// inOwnNetwork reports whether this is the run in the new namespace.
func inOwnNetwork() bool { return os.Getenv(insideVar) != "" }

// errNoNetwork means that the system does not allow the namespace.
var errNoNetwork = errors.New("no network of its own")

// runInOwnNetwork runs the calling test again in a new network namespace, and passes on
// its output and failure.
func runInOwnNetwork(t *testing.T) error {
	t.Helper()
	for _, need := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(need); err != nil {
			return errors.Join(errNoNetwork, err)
		}
	}
	program(t, "laurel")
	args := []string{"-test.run", "^" + t.Name() + "$", "-test.v", "-test.timeout", "0"}
	for _, a := range os.Args[1:] {
		if strings.HasPrefix(a, "-test.artifacts") || strings.HasPrefix(a, "-test.outputdir") {
			args = append(args, a)
		}
	}
	c := exec.CommandContext(t.Context(), os.Args[0], args...)
	c.Env = append(os.Environ(), insideVar+"=1", programsVar+"="+programs.dir)
	c.Stdout, c.Stderr = t.Output(), t.Output()
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := c.Start(); err != nil {
		if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
			err = failed.Err
		}
		return errors.Join(errNoNetwork, err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("in its own network: %v", err)
	}
	return nil
}

// network is a bridge and the places behind it.
type network struct {
	t     testing.TB
	sites []*exec.Cmd // processes that do nothing but hold a namespace
	lines [][]*line   // from and to each place, for slow links; nil before addLines
}

const bridge = "laurel0"

// siteAddr and siteMAC return the addresses of the ith place, counted from 0. They are
// loopback addresses, as frontends without certificates need, but are routed between the
// places.
func siteAddr(i int) string { return fmt.Sprintf("127.77.0.%d", i+1) }
func siteMAC(i int) string  { return fmt.Sprintf("02:4c:00:00:00:%02x", i+1) }

// nobody is an address that no place has.
const nobody = "02:4c:00:00:00:ff"

// newNetwork makes a network of n places in the namespace of the test.
func newNetwork(t testing.TB, n int) *network {
	t.Helper()
	if !inOwnNetwork() {
		t.Fatal("a network is made in a namespace of the test's own only")
	}
	dir := os.Getenv(programsVar)
	programs.dir, programs.build = dir, func() error { return nil }
	w := &network{t: t}
	w.free(nil)
	w.ip(nil, "link add "+bridge+" type bridge", "addr add 127.77.0.254/24 scope global dev "+bridge,
		"link set "+bridge+" up")
	for i := range n {
		hold := exec.Command("sleep", "infinity")
		hold.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		if err := hold.Start(); err != nil {
			skipOrFail(t, "a further network namespace: %v", err)
		}
		t.Cleanup(func() {
			_ = hold.Process.Kill() // an error means that it has ended
			_ = hold.Wait()         // the error is that it was killed
		})
		w.sites = append(w.sites, hold)
		w.ip(nil, fmt.Sprintf("link add site%d type veth peer name eth0 netns %d", i, hold.Process.Pid),
			fmt.Sprintf("link set site%d master %s up", i, bridge))
		w.free(hold)
		w.ip(hold, "link set eth0 address "+siteMAC(i), "addr add "+siteAddr(i)+"/24 scope global dev eth0",
			"link set eth0 up")
	}
	for i := range n {
		for j := range n {
			w.join(i, j)
		}
	}
	return w
}

// free limits the loopback interface to one address, so that others of the range can be
// routed.
func (w *network) free(at *exec.Cmd) {
	w.t.Helper()
	args := []string{"sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet"}
	if at != nil {
		args = append(w.enter(at), args...)
	}
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		skipOrFail(w.t, "route_localnet: %v\n%s", err, out)
	}
	w.ip(at, "link set lo up", "addr del 127.0.0.1/8 dev lo", "addr add 127.0.0.1/32 dev lo")
}

// ip runs ip commands in a place, or at the bridge.
func (w *network) ip(at *exec.Cmd, lines ...string) {
	w.t.Helper()
	args := []string{"ip", "-batch", "-"}
	if at != nil {
		args = append(w.enter(at), args...)
	}
	c := exec.Command(args[0], args[1:]...)
	c.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := c.CombinedOutput(); err != nil {
		skipOrFail(w.t, "%s: %v\n%s", strings.Join(lines, "; "), err, out)
	}
}

// enter returns the command that runs another one in a place. It execs the other, so that
// signals reach the right process.
func (w *network) enter(at *exec.Cmd) []string {
	return []string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", at.Process.Pid), "--"}
}

// cut silently drops all packets from one place to another: they go to an address that no
// place has.
func (w *network) cut(from, to int) {
	w.t.Helper()
	w.neighbour(from, to, nobody)
	if w.lines != nil {
		w.lines[from][to].setCut(true)
	}
}

// join ends a cut.
func (w *network) join(from, to int) {
	w.t.Helper()
	w.neighbour(from, to, siteMAC(to))
	if w.lines != nil {
		w.lines[from][to].setCut(false)
	}
}

// isolate cuts a place off from all others of the first n.
func (w *network) isolate(i, n int) {
	w.t.Helper()
	for j := range n {
		w.cut(i, j)
		w.cut(j, i)
	}
}

// reunite ends isolate.
func (w *network) reunite(i, n int) {
	w.t.Helper()
	for j := range n {
		w.join(i, j)
		w.join(j, i)
	}
}

func (w *network) neighbour(from, to int, mac string) {
	w.t.Helper()
	if from != to {
		w.ip(w.sites[from], fmt.Sprintf("neigh replace %s lladdr %s dev eth0 nud permanent", siteAddr(to), mac))
	}
}

// place moves frontend f to the ith place, from its next start.
func (w *network) place(f *frontend, i int) {
	f.move(siteAddr(i)+":8080", siteAddr(i)+":9090")
	f.within = w.enter(w.sites[i])
}
