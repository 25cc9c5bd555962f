package e2e

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A slow link has a limited rate and a delay. Not every kernel has netem, so the test
// process itself carries the packets of a slow link: each place has a TUN device, and
// while a link is slow, the routes of its two ends lead there. Open connections go on
// over the slow link.

const tunDevice = "slow0"

// maxQueued is how long a packet may wait on a line. A line drops packets that would wait
// longer, as a router does, and TCP adapts to the rate.
const maxQueued = 50 * time.Millisecond

// line carries packets in one direction between two places.
type line struct {
	to       *os.File // the TUN device of the destination
	onTheWay chan packet

	mu      sync.Mutex
	rate    float64 // bytes per second
	delay   time.Duration
	free    time.Time // when the last accepted packet has left the sender
	cut     bool
	carried int64 // bytes
}

type packet struct {
	due  time.Time
	data []byte
}

// accept schedules a packet, or drops it if the line is cut or its queue is full.
func (l *line) accept(now time.Time, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	leaves := now
	if l.free.After(now) {
		leaves = l.free
	}
	if l.cut || l.rate == 0 || leaves.Sub(now) > maxQueued {
		return
	}
	leaves = leaves.Add(time.Duration(float64(len(data)) / l.rate * float64(time.Second)))
	select {
	case l.onTheWay <- packet{leaves.Add(l.delay), data}:
		l.free = leaves
	default:
	}
}

// deliver writes each packet to its destination when it is due, until the line is closed.
func (l *line) deliver() {
	for p := range l.onTheWay {
		if left := time.Until(p.due); left > 0 {
			<-time.After(left)
		}
		l.mu.Lock()
		if !l.cut {
			l.carried += int64(len(p.data))
		}
		cut := l.cut
		l.mu.Unlock()
		if !cut {
			_, _ = l.to.Write(p.data) // TCP repeats a packet that the destination does not take
		}
	}
}

// bytes returns how much the line has carried.
func (l *line) bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.carried
}

func (l *line) setCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

func (l *line) setPace(rate float64, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.delay = rate, delay
}

// addLines gives each place of the network a TUN device, so that its links can be slow.
// It returns an error if the system does not allow such devices.
func (w *network) addLines() error {
	var tuns []*os.File
	for _, s := range w.sites {
		tun, err := openTUN(s.Process.Pid)
		if err != nil {
			return fmt.Errorf("a TUN device: %w", err)
		}
		w.t.Cleanup(func() { tun.Close() })
		w.ip(s, "link set "+tunDevice+" up")
		tuns = append(tuns, tun)
	}
	w.lines = make([][]*line, len(w.sites))
	for i := range w.sites {
		for j := range w.sites {
			const atMost = 4096 // packets: more than fit into maxQueued and the delay
			l := &line{to: tuns[j], onTheWay: make(chan packet, atMost)}
			w.lines[i] = append(w.lines[i], l)
			go l.deliver()
		}
		go carry(tuns[i], w.lines[i])
	}
	return nil
}

// carry hands the packets that leave a place to the lines that begin there, until its TUN
// device is closed.
func carry(from *os.File, lines []*line) {
	defer func() {
		for _, l := range lines {
			close(l.onTheWay)
		}
	}()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if j := destination(buf[:n]); j >= 0 && j < len(lines) {
			lines[j].accept(time.Now(), append([]byte(nil), buf[:n]...))
		}
	}
}

// destination returns the number of the place that an IPv4 packet is for, or -1.
func destination(packet []byte) int {
	const header = 20
	if len(packet) < header || packet[0]>>4 != 4 || packet[16] != 127 || packet[17] != 77 {
		return -1
	}
	return int(packet[19]) - 1
}

// openTUN makes a TUN device in the network namespace of a process.
func openTUN(pid int) (tun *os.File, err error) {
	// The device belongs to the namespace of the thread that opens it. The thread returns
	// to its own namespace afterwards; it must not end, because its child processes would
	// end with it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	defer func() {
		if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
			panic("a thread cannot return to its network namespace: " + err.Error())
		}
	}()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	r, err := unix.NewIfreq(tunDevice)
	if err == nil {
		r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), tunDevice), nil
}

// slow limits the rate of the link between two places, in bytes per second in each
// direction, and adds a delay. It needs addLines.
func (w *network) slow(i, j int, rate float64, delay time.Duration) {
	w.t.Helper()
	for _, way := range [][2]int{{i, j}, {j, i}} {
		w.lines[way[0]][way[1]].setPace(rate, delay)
		w.ip(w.sites[way[0]], fmt.Sprintf("route replace %s/32 dev %s src %s",
			siteAddr(way[1]), tunDevice, siteAddr(way[0])))
	}
}

// fast ends slow.
func (w *network) fast(i, j int) {
	w.t.Helper()
	for _, way := range [][2]int{{i, j}, {j, i}} {
		w.ip(w.sites[way[0]], fmt.Sprintf("route del %s/32 dev %s", siteAddr(way[1]), tunDevice))
	}
}

// addMarks posts a mark for each of a number of competitors, and returns the number of
// events. A snapshot has about 300 bytes for each.
func (f *frontend) addMarks(t testing.TB, marks int) (events uint64) {
	t.Helper()
	const inOneArray = 1000
	event := func(kind, data string) string {
		events++
		return fmt.Sprintf(`{"id":"bulk-%d","source":"bard/bulk","seq":%d,"type":%q,"contest_id":%q,"data":%s}`,
			events, events, kind, bulk, data)
	}
	list := []string{
		event("contest.define",
			`{"kind":"ranked","sport":"e-sport","title":"Open","result_type":"POINTS","sort":"desc"}`),
		event("contest.status", `{"schedule_status":"RUNNING","result_status":"LIVE"}`),
	}
	for i := range marks {
		list = append(list, event("result.set", fmt.Sprintf(
			`{"competitor":"c%08d","split":"finish","mark":%d}`, i, i*7919%1_000_003)))
		if len(list) == inOneArray || i == marks-1 {
			apply(t, f, "["+strings.Join(list, ",")+"]")
			list = list[:0]
		}
	}
	return events
}

// bulk is the contest that makes snapshots large.
const bulk = "BULK/OPEN"

// installedSnapshot is logged at level DEBUG when a snapshot from another frontend was
// installed.
const installedSnapshot = "raft: Installed remote snapshot"

// count returns how often the current process of f has logged a message.
func (f *frontend) count(t testing.TB, message string) int {
	t.Helper()
	return strings.Count(f.output(t), message)
}
