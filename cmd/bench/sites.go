package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Distance needs a network that belongs to the bench alone. It runs itself again in a network namespace of its own, where each member of a group gets a
// further one. Between them is no wire, but this process: it carries each packet after it has kept it for a while. So the kernels' own TCP has to deal with
// the distance, as it would have to with tc's netem, which not every kernel has. All of it is gone with the process.

// insideVar is set where the bench runs in a network of its own.
const insideVar = "BENCH_NETWORK"

// errNoNetwork: this machine does not let the bench have a network of its own.
var errNoNetwork = errors.New("no network of its own (needs root, the program ip and /dev/net/tun)")

// inOwnNetwork runs this program once more, in its own network.
func inOwnNetwork(ctx context.Context, out io.Writer, args ...string) error {
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.Join(errNoNetwork, err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, self, args...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 10 * time.Second
	c.Env = append(os.Environ(), insideVar+"=1")
	c.Stdout, c.Stderr = out, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err = c.Run()
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
		return errors.Join(errNoNetwork, failed.Err)
	}
	return err
}

// site is a place in the network: a namespace, and the thread that is in it.
type site struct {
	host  string
	tun   *os.File // its way to all other sites
	calls chan func()
}

// mesh is sites that are equally far from each other. The first is where this process itself is; it is near to all.
type mesh struct {
	sites []*site
	delay time.Duration // one way
	lost  atomic.Int64  // packets
}

// newMesh makes n sites and this process's own.
func newMesh(n int, delay time.Duration) (*mesh, error) {
	if os.Getenv(insideVar) == "" {
		return nil, errors.New("a mesh is made in a network of its own only")
	}
	m := &mesh{delay: delay}
	for i := range n + 1 {
		s := &site{host: fmt.Sprintf("127.77.0.%d", i+1), calls: make(chan func())}
		ready := make(chan error)
		go s.live(i > 0, ready)
		if err := <-ready; err != nil {
			m.close()
			return nil, errors.Join(errNoNetwork, err)
		}
		m.sites = append(m.sites, s)
	}
	for i := range m.sites {
		fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
		if err != nil {
			m.close()
			return nil, fmt.Errorf("a timer: %w", err)
		}
		go m.carry(i, os.NewFile(uintptr(fd), "timer"))
	}
	return m, nil
}

// members are the sites that are far from each other.
func (m *mesh) members() []*site { return m.sites[1:] }

func (m *mesh) close() {
	for _, s := range m.sites {
		close(s.calls)
		s.tun.Close()
	}
}

// live does what is called for within the site, until calls is closed. The thread ends with it: it is of no use elsewhere.
func (s *site) live(apart bool, ready chan<- error) {
	runtime.LockOSThread()
	err := s.settle(apart)
	ready <- err
	if err != nil {
		return
	}
	for f := range s.calls {
		f()
	}
}

func (s *site) settle(apart bool) error {
	if apart {
		if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	const device = "far0"
	r, err := unix.NewIfreq(device)
	if err == nil {
		r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("making a network device: %w", err)
	}
	s.tun = os.NewFile(uintptr(fd), device)
	// Frontends without certificates take addresses of the loopback only; here these lead out.
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/all/route_localnet", []byte("1"), 0o644); err != nil {
		s.tun.Close()
		return err
	}
	c := exec.Command("ip", "-batch", "-")
	c.Stdin = strings.NewReader(fmt.Sprintf("link set lo up\naddr del 127.0.0.1/8 dev lo\naddr add 127.0.0.1/32 dev lo\naddr add %s/24 scope global dev %s\nlink set %s up\n", s.host, device, device))
	if out, err := c.CombinedOutput(); err != nil {
		s.tun.Close()
		return fmt.Errorf("ip: %w: %s", err, clip(out))
	}
	return nil
}

// do does something in the site: what it starts, and the connections that it opens, are there. On no site it does it here.
func (s *site) do(f func()) {
	if s == nil {
		f()
		return
	}
	done := make(chan struct{})
	s.calls <- func() {
		defer close(done)
		f()
	}
	<-done
}

// dial connects from the site. The address must have no name in it.
func (s *site) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	s.do(func() { conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr) })
	return conn, err
}

// start starts a server in the site.
func (s *site) start(name, dir, program string, args ...string) (p *process, err error) {
	s.do(func() { p, err = start(name, dir, program, args...) })
	return p, err
}

// packet is one that is on its way.
type packet struct {
	due  time.Time
	to   *site
	data []byte
}

// carry takes the packets that leave a site where they belong.
func (m *mesh) carry(from int, timer *os.File) {
	const onTheWay = 4096
	far := make(chan packet, onTheWay)
	defer close(far)
	go m.arrive(far, timer)
	buf := make([]byte, 1<<16)
	for {
		n, err := m.sites[from].tun.Read(buf)
		if err != nil {
			return // it is closed
		}
		to := m.destination(buf[:n])
		switch {
		case to < 0:
		case from == 0 || to == 0:
			m.hand(m.sites[to], buf[:n])
		default:
			far <- packet{time.Now().Add(m.delay), m.sites[to], slices.Clone(buf[:n])}
		}
	}
}

// arrive hands over each packet when it is due. It waits for a timer of the kernel, because Go's are up to a millisecond late.
func (m *mesh) arrive(far <-chan packet, timer *os.File) {
	defer timer.Close()
	expired := make([]byte, 8)
	for p := range far {
		if left := time.Until(p.due); left > 0 {
			set := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(left))}
			if err := control(timer, func(fd int) error { return unix.TimerfdSettime(fd, 0, &set, nil) }); err == nil {
				_, _ = timer.Read(expired)
			}
		}
		m.hand(p.to, p.data)
	}
}

func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return errors.Join(raw.Control(func(fd uintptr) { err = do(int(fd)) }), err)
}

// hand gives a site a packet. What is lost, TCP sends again, 200 ms later: so it is counted.
func (m *mesh) hand(to *site, data []byte) {
	if _, err := to.tun.Write(data); err != nil {
		m.lost.Add(1)
	}
}

// destination is the number of the site that a packet is for; -1 for none.
func (m *mesh) destination(ip []byte) int {
	if len(ip) < 20 || ip[0]>>4 != 4 || ip[16] != 127 || ip[17] != 77 || ip[18] != 0 {
		return -1
	}
	if i := int(ip[19]) - 1; i >= 0 && i < len(m.sites) {
		return i
	}
	return -1
}

// roundTrip is the median time to open a connection from one site to a server at another, which takes one round trip.
func (m *mesh) roundTrip(ctx context.Context, from *site, addr string) (time.Duration, error) {
	var took []time.Duration
	for range 21 {
		began := time.Now()
		conn, err := from.dial(ctx, "tcp", addr)
		if err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
		conn.Close()
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
